"""The preallocated key/value cache: one row per sequence, each filled to its own length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

CACHE_BUCKET = 512
"""The width of a cache is a multiple of this, so that images of similar sizes give equal widths."""
SCRATCH_COLUMNS = 256
"""Columns after the last one. Tokens that only pad a step are written there, and nothing reads them."""


def cache_width(prompt_tokens: int, max_new_tokens: int) -> int:
    """Columns for a prompt, its answer, and the inner nodes of a trie fed after the answer's last token."""
    return -(-(prompt_tokens + max_new_tokens + SCRATCH_COLUMNS) // CACHE_BUCKET) * CACHE_BUCKET


def cells(rows: int, width: int) -> int:
    """Tokens that a cache of this size holds, scratch and prefix included."""
    return (rows + 1) * (width + SCRATCH_COLUMNS)


class KVCache:
    """Keys and values of every layer, [rows + 1, kv heads, width + SCRATCH_COLUMNS, head size] each.

    `layers` holds both of a layer in one tensor, [rows + 1, 2, kv heads, ...]: one launch writes them.

    The extra row, `prefix_row`, holds the prefix that the prompts of neighbouring requests share.
    """

    def __init__(self, model: Qwen3VLForConditionalGeneration, rows: int, width: int):
        config = model.config.get_text_config()
        kv_heads = config.num_key_value_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.rows, self.width, self.prefix_row = rows, width, rows
        self.device, dtype = model.device, model.model.language_model.embed_tokens.weight.dtype
        shape = (rows + 1, 2, kv_heads, width + SCRATCH_COLUMNS, head_size)
        count = config.num_hidden_layers
        self.layers = [torch.zeros(shape, dtype=dtype, device=self.device) for _ in range(count)]
        self.keys, self.values = ([layer[:, part] for layer in self.layers] for part in (0, 1))
        self._used: set[int] = set()

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.layers)

    @property
    def cells(self) -> int:
        return cells(self.rows, self.width)

    def fits(self, rows: int, width: int) -> bool:
        """Whether `rows` sequences of up to `width` columns have space."""
        return self.rows >= rows and self.width >= width

    def start_row(self, row: int) -> None:
        """Clear a row for its next sequence.

        A mask keeps out what an earlier sequence left, but only while it is finite: 0 times NaN is NaN.
        """
        if row in self._used:  # a fresh row is zero, and on a CPU its pages are not even committed yet
            for layer in self.layers:
                layer[row].zero_()
        self._used.add(row)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` columns of one row to another."""
        for layer in self.layers:
            layer[target, :, :, :length] = layer[source, :, :, :length]
