"""Forward passes of a Qwen3-VL's text half over a cache whose rows each have their own length.

The model's own modules are called, so any precision or quantisation of theirs works unchanged. Only the order
of the calls is ours: keys and values go straight to their columns in the preallocated cache, and a decode
step does no work per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from .kv_cache import KVCache

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration


class ModelRunner:
    """Runs `model` (Qwen3VLForConditionalGeneration) over `cache`."""

    def __init__(self, model: Qwen3VLForConditionalGeneration, cache: KVCache):
        self.model, self.cache, self.device = model, cache, model.device
        config = model.config.get_text_config()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon = config.rms_norm_eps

    @property
    def text(self):
        # looked up at every call: the modules change when weights are dropped and read again
        return self.model.model.language_model

    def embed(self, token_ids: Sequence[int]) -> torch.Tensor:
        """[1, tokens, hidden]."""
        return self.text.embed_tokens(torch.tensor([token_ids], device=self.device))

    def prefill(
        self,
        row: int,
        start: int,
        hidden: torch.Tensor,
        positions: torch.Tensor,
        is_image: torch.Tensor,
        deepstack: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """Append part of a prompt to a row that holds `start` tokens.

        hidden [1, n, hidden], positions [3, 1, n]; `is_image` [n] marks image tokens, and `deepstack` holds
        what the vision tower adds to those in each of the first layers, [image tokens, hidden]. Returns the
        hidden state of the last token, [1, hidden].
        """
        end, cache = start + hidden.shape[1], self.cache

        def attend(layer: int, query, key, value):
            cache.keys[layer][row, :, start:end] = key[0]
            cache.values[layer][row, :, start:end] = value[0]
            key = cache.keys[layer][row : row + 1, :, :end]
            value = cache.values[layer][row : row + 1, :, :end]
            if self.device.type == "cpu":  # its kernel for grouped heads is many times slower than a copy
                key, value = (x.repeat_interleave(self.heads // self.kv_heads, 1) for x in (key, value))
            grouped = key.shape[1] != query.shape[1]
            if start == 0:
                return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
            from torch.nn.attention.bias import causal_lower_right  # imports torch's compiler

            mask = causal_lower_right(query.shape[2], end)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)

        added = {layer: (is_image, features) for layer, features in enumerate(deepstack)}
        return self._layers(hidden, positions, attend, added)[:, -1]

    def step(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        columns: torch.Tensor,
        mask: torch.Tensor,
        first_row: int = 0,
    ) -> torch.Tensor:
        """Decode the same number of tokens for neighbouring rows of the cache, starting at `first_row`.

        token_ids and positions [batch, tokens]; columns [rows, tokens] are where in the cache the tokens go
        (columns from `cache.width` on are scratch); mask [rows, tokens, read] is True where a token attends
        to one of the first `read` columns of its row. A batch larger than the rows pads the matrix products
        to a constant shape. Returns hidden states [batch, tokens, hidden].
        """
        batch, tokens = token_ids.shape
        rows, read = len(columns), mask.shape[-1]
        index = columns[:, None, :, None].expand(rows, self.kv_heads, tokens, self.head_size)
        group = self.heads // self.kv_heads
        mask = mask[:, None].repeat(1, 1, group, 1)  # one block of queries for each head of a group

        def attend(layer: int, query, key, value):
            keys, values = (
                tensors[layer][first_row : first_row + rows]
                for tensors in (self.cache.keys, self.cache.values)
            )
            keys.scatter_(2, index, key[:rows])
            values.scatter_(2, index, value[:rows])
            # the heads of a group become more queries on the same keys: the cache is read once, in place
            query = query[:rows].reshape(rows, self.kv_heads, group * tokens, self.head_size)
            attended = F.scaled_dot_product_attention(
                query, keys[:, :, :read], values[:, :, :read], attn_mask=mask
            )
            attended = attended.reshape(rows, self.heads, tokens, self.head_size)
            return attended if rows == batch else F.pad(attended, (0, 0, 0, 0, 0, 0, 0, batch - rows))

        hidden = self.text.embed_tokens(token_ids)
        return self._layers(hidden, positions.expand(3, batch, tokens), attend, {})

    def forward(
        self, token_ids, positions, columns, mask, wanted: torch.Tensor, first_row: int = 0
    ) -> torch.Tensor:
        """A `step`, and the logits after the tokens `wanted` [batch, n]: [batch, n, vocabulary]."""
        hidden = self.step(token_ids, positions, columns, mask, first_row)
        return self.logits(hidden[torch.arange(len(wanted), device=wanted.device)[:, None], wanted])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., hidden] -> [..., vocabulary], float32."""
        return self.model.lm_head(hidden).float()

    def _layers(self, hidden: torch.Tensor, positions: torch.Tensor, attend, added: dict) -> torch.Tensor:
        batch, tokens, _ = hidden.shape
        cos, sin = (x[:, None] for x in self.text.rotary_emb(hidden, positions))
        for number, layer in enumerate(self.text.layers):
            attention = layer.self_attn
            x = self._norm(hidden, layer.input_layernorm)
            query, key, value = (
                project(x).view(batch, tokens, -1, self.head_size)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            query = _rotate(self._norm(query, attention.q_norm).transpose(1, 2), cos, sin)
            key = _rotate(self._norm(key, attention.k_norm).transpose(1, 2), cos, sin)
            attended = attend(number, query, key, value.transpose(1, 2))
            hidden = hidden + attention.o_proj(attended.transpose(1, 2).reshape(batch, tokens, -1))
            hidden = hidden + layer.mlp(self._norm(hidden, layer.post_attention_layernorm))
            if number in added:
                is_image, features = added[number]
                hidden = hidden.clone()
                hidden[0, is_image] += features.to(hidden.dtype)
        return self._norm(hidden, self.text.norm)

    def _norm(self, x: torch.Tensor, norm: Any) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), norm.weight, self.epsilon)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin
