"""How much memory judging takes beside the weights, and what it looks like when there is not enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .model_runner import SCRATCH_COLUMNS
from .scheduler import PADDED_BATCH_SIZE, TOKEN_BUCKETS

OUT_OF_MEMORY_HINT = (
    "Lower max_pixels, choose a lighter precision (int8, 4-bit) in Load Critic, or set its device to cpu."
)
"""What to do when memory runs out."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that judging takes beside the weights: `once`, however many answers are in the making at a time,
    and for `each` of them."""

    once: int
    each: int

    def __call__(self, rows: int) -> int:
        """Bytes for so many answers at a time."""
        return self.once + rows * self.each

    def rows(self, free: int, most: int) -> int:
        """How many answers at a time fit into `free` bytes: 1 to `most`."""
        return max(1, min(most, (free - self.once) // self.each))


def estimate_memory(
    model: torch.nn.Module, prompt: int, picture: int, pictures: int, columns: int
) -> MemoryEstimate:
    """What answers take whose prompts have up to `prompt` tokens and whose rows of the cache have `columns`.
    Pictures have up to `picture` tokens each, those of one prompt `pictures` together.

    The cache has a row for each answer, and one for what they share. Beside it stands the largest of what is
    there one after the other: a picture in the vision tower, a prompt in a layer, or the logits of a step.
    """
    text, seeing = model.config.get_text_config(), model.config.vision_config
    width = model.dtype.itemsize
    heads, groups = text.num_attention_heads, text.num_key_value_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    row = 2 * width * text.num_hidden_layers * groups * size * (columns + SCRATCH_COLUMNS)
    features = width * pictures * text.hidden_size * (1 + len(seeing.deepstack_visual_indexes))
    reading = prompt * width * (4 * text.hidden_size + max(3 * text.intermediate_size, 5 * heads * size))
    patches = picture * seeing.spatial_merge_size**2
    colours = seeing.in_channels * seeing.temporal_patch_size * seeing.patch_size**2
    inside = width * (4 * seeing.hidden_size + max(2 * seeing.intermediate_size, 6 * seeing.hidden_size))
    looking = patches * max(inside + width * colours, 6 * colours)
    # in the model's precision and in 32 bit; and what a row keeps of them
    step = PADDED_BATCH_SIZE * TOKEN_BUCKETS[1] * text.vocab_size * (width + 4)
    kept = TOKEN_BUCKETS[1] * text.vocab_size * 4
    return MemoryEstimate(row + features + max(reading, looking, step), row + kept)
