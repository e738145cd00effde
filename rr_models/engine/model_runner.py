"""Forward passes of a Qwen3-VL's text half over a cache whose rows each have their own length.

Keys and values go straight to their columns in the preallocated cache, and a decode step does no work per
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .decoder_layer import DecoderLayer, Rotary, norm
from .kv_cache import SCRATCH_COLUMNS, KVCache

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration


class ModelRunner:
    """Runs `model` (Qwen3VLForConditionalGeneration) over `cache`, for as long as its weights stay in place.

    `fuse` (default: except on the CPU, where it gains nothing, and weights may still be mapped files): plain
    weights of the model that read the same input are joined; see Projections.
    """

    def __init__(self, model: Qwen3VLForConditionalGeneration, cache: KVCache, fuse: bool | None = None):
        self.model, self.cache, self.device = model, cache, model.device
        config = model.config.get_text_config()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon, self.text = config.rms_norm_eps, model.model.language_model
        self.group = self.heads // self.kv_heads
        fuse = self.device.type != "cpu" if fuse is None else fuse
        self.layers = [DecoderLayer(layer, self.head_size, self.epsilon, fuse) for layer in self.text.layers]
        # no position is larger than the column of its token
        self.rotary = Rotary(self.text, cache.width + SCRATCH_COLUMNS, self.group)

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
        hidden, rotation = hidden.clone(), self.rotary.of_prompt(positions)
        for number, layer in enumerate(self.layers):

            def attend(states: torch.Tensor, number=number) -> torch.Tensor:
                query, written = self._split(states)
                cache.layers[number][row, :, :, start:end] = written[0]
                key, value = cache.layers[number][row, :, None, :, :end]
                if self.device.type == "cpu":  # its kernel for grouped heads is many times slower than a copy
                    key, value = (x.repeat_interleave(self.group, 1) for x in (key, value))
                mask = _after(start, end) if start else None
                grouped = key.shape[1] != query.shape[1]
                attended = F.scaled_dot_product_attention(
                    query, key, value, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
                )
                return attended.transpose(1, 2).flatten(2)

            hidden = layer(hidden, rotation(number), attend)
            if number < len(deepstack):
                hidden[0, is_image] += deepstack[number].to(hidden.dtype)
        return self._norm(hidden)[:, -1]

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
        index = columns[:, None, None, :, None]
        index = index.expand(rows, 2, self.kv_heads, tokens, self.head_size)
        hidden, rotation = self.text.embed_tokens(token_ids), self.rotary.of_step(positions)
        # added to the scores of attention, which would otherwise convert it in every layer
        bias = torch.zeros(mask.shape, dtype=hidden.dtype, device=self.device)
        bias.masked_fill_(mask.logical_not(), -torch.inf)
        bias = bias[:, None].repeat(1, 1, self.group, 1)  # one block of queries for each head of a group
        padded = hidden.new_zeros(batch, tokens, self.heads, self.head_size) if batch > rows else None
        for number, layer in enumerate(self.layers):

            def attend(states: torch.Tensor, number=number) -> torch.Tensor:
                query, written = self._split(states[:rows])
                cached = self.cache.layers[number][first_row : first_row + rows]
                cached.scatter_(3, index, written)
                key, value = cached[:, :, :, :read].unbind(1)
                # the heads of a group become more queries on the same keys: the cache is read once, in place
                query = query.reshape(rows, self.kv_heads, self.group * tokens, self.head_size)
                attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
                attended = attended.reshape(rows, self.heads, tokens, self.head_size).transpose(1, 2)
                if padded is None:
                    return attended.flatten(2)
                padded[:rows] = attended
                return padded.flatten(2)

            hidden = layer(hidden, rotation(number), attend)
        return self._norm(hidden)

    def forward(
        self, token_ids, positions, columns, mask, wanted: torch.Tensor, first_row: int = 0
    ) -> torch.Tensor:
        """A `step`, and the logits after the tokens `wanted` [batch, n]: [batch, n, vocabulary]."""
        hidden = self.step(token_ids, positions, columns, mask, first_row)
        return self.logits(hidden[torch.arange(len(wanted), device=wanted.device)[:, None], wanted])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., hidden] -> [..., vocabulary], float32."""
        return self.model.lm_head(hidden).float()

    def _split(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries [rows, heads, tokens, size] and keys and values [rows, 2, kv heads, tokens, size]."""
        written = states[:, :, self.heads :].unflatten(2, (2, self.kv_heads))
        return states[:, :, : self.heads].transpose(1, 2), written.permute(0, 2, 3, 1, 4)

    def _norm(self, hidden: torch.Tensor) -> torch.Tensor:
        return norm(hidden, self.text.norm.weight, self.epsilon)


def _after(start: int, end: int):
    """The mask of tokens `start` to `end`: each sees all before it."""
    from torch.nn.attention.bias import causal_lower_right  # imports torch's compiler

    return causal_lower_right(end - start, end)
