"""Memory estimate for a batch, without the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .kv_cache import SCRATCH_COLUMNS
from .scheduler import PADDED_BATCH_SIZE, TOKEN_BUCKETS

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

OUT_OF_MEMORY_HINT = (
    "Lower max_pixels, choose a lighter precision (int8, 4-bit) in Load Critic, or set its device to cpu."
)
"""What the user can do when memory runs out."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that judging takes besides the weights: `fixed`, and `per_sequence` for each answer at a time.

    Both include a row of the KV cache, of `cache_row` bytes.
    """

    fixed: int
    per_sequence: int
    cache_row: int = 0

    def total(self, batch_size: int) -> int:
        """Bytes for `batch_size` concurrent answers."""
        return self.fixed + batch_size * self.per_sequence

    def additional(self, batch_size: int, cache_bytes: int) -> int:
        """Bytes still to be allocated where a cache of `cache_bytes` bytes was kept from an earlier run."""
        return self.total(batch_size) - min(cache_bytes, (batch_size + 1) * self.cache_row)

    def max_batch_size(self, free: int, limit: int) -> int:
        """How many concurrent answers fit into `free` bytes: 1 to `limit`."""
        return max(1, min(limit, (free - self.fixed) // self.per_sequence))


def estimate_memory(
    model: Qwen3VLForConditionalGeneration,
    prompt_tokens: int,
    largest_image_tokens: int,
    all_image_tokens: int,
    cache_columns: int,
) -> MemoryEstimate:
    """Estimate for prompts of up to `prompt_tokens` tokens in a cache of `cache_columns` columns.

    No image has more than `largest_image_tokens` tokens, and no prompt more than `all_image_tokens` image
    tokens.

    The cache has a row for each answer and one for the shared prefix. On top comes the largest of what exists
    one at a time: an image in the vision tower, a prompt in a layer, or the logits of a step.
    """
    text: Any = model.config.get_text_config()
    vision: Any = model.config.vision_config
    itemsize = model.dtype.itemsize
    heads, kv_heads = text.num_attention_heads, text.num_key_value_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // heads
    cache_row = 2 * itemsize * text.num_hidden_layers * kv_heads * head_size
    cache_row *= cache_columns + SCRATCH_COLUMNS
    features = itemsize * all_image_tokens * text.hidden_size * (1 + len(vision.deepstack_visual_indexes))
    prefill = 4 * text.hidden_size + max(3 * text.intermediate_size, 5 * heads * head_size)
    prefill *= prompt_tokens * itemsize
    patches = largest_image_tokens * vision.spatial_merge_size**2
    patch_values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    vision_layer = 4 * vision.hidden_size + max(2 * vision.intermediate_size, 6 * vision.hidden_size)
    encode_image = patches * max(itemsize * (vision_layer + patch_values), 6 * patch_values)
    # logits of a step in the model's precision and in float32; and what a sequence keeps of them
    step_logits = PADDED_BATCH_SIZE * TOKEN_BUCKETS[1] * text.vocab_size * (itemsize + 4)
    kept_logits = TOKEN_BUCKETS[1] * text.vocab_size * 4
    fixed = cache_row + features + max(prefill, encode_image, step_logits)
    return MemoryEstimate(fixed, cache_row + kept_logits, cache_row)
