"""The text half of a Qwen3-VL, run over a cache whose rows each have their own length.

The weights are the model's own modules, so any precision or quantisation of theirs is used as it is; only
the order of calls is ours: keys and values go straight to their place in a preallocated cache, and a step
does no work per row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

SCRATCH_COLUMNS = 256
"""Columns behind the last one, for tokens that only fill up a step's shape."""


class ModelRunner:
    """Runs `model` (Qwen3VLForConditionalGeneration) over `rows` rows of up to `width` tokens each.

    One more row, `self.shared`, holds what several rows begin with.
    """

    def __init__(self, model: torch.nn.Module, rows: int, width: int):
        self.text = model.model.language_model
        self.head = model.lm_head
        config = model.config.get_text_config()
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon = config.rms_norm_eps
        self.rows, self.width, self.shared = rows, width, rows
        self.device, dtype = model.device, self.text.embed_tokens.weight.dtype
        shape = (rows + 1, self.groups, width + SCRATCH_COLUMNS, self.size)
        self.keys = [torch.zeros(shape, dtype=dtype, device=self.device) for _ in self.text.layers]
        self.values = [torch.zeros_like(keys) for keys in self.keys]

    def embed(self, ids: Sequence[int]) -> torch.Tensor:
        """[1, tokens, hidden]."""
        return self.text.embed_tokens(torch.tensor([ids], device=self.device))

    def prefill(
        self,
        row: int,
        start: int,
        hidden: torch.Tensor,
        positions: torch.Tensor,
        pictures: torch.Tensor,
        deepstack: Sequence[torch.Tensor] = (),
    ) -> torch.Tensor:
        """Append a stretch of prompt behind the row's first `start` tokens.

        hidden [1, n, hidden], positions [3, 1, n]; `pictures` [n] says which tokens are a picture's, and
        `deepstack` holds what the vision tower adds to those in the first layers, [pictures, hidden] each.
        Returns the hidden state of the last token, [1, hidden].
        """
        end = start + hidden.shape[1]

        def attend(layer: int, query, key, value):
            self.keys[layer][row, :, start:end] = key[0]
            self.values[layer][row, :, start:end] = value[0]
            key = self.keys[layer][row : row + 1, :, :end]
            value = self.values[layer][row : row + 1, :, :end]
            if self.device.type == "cpu":  # its kernel for grouped heads is many times slower than a copy
                key, value = (x.repeat_interleave(self.heads // self.groups, 1) for x in (key, value))
            grouped = key.shape[1] != query.shape[1]
            if start == 0:
                return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
            from torch.nn.attention.bias import causal_lower_right  # brings torch's compiler along

            mask = causal_lower_right(query.shape[2], end)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)

        added = {layer: (pictures, features) for layer, features in enumerate(deepstack)}
        return self._layers(hidden, positions, attend, added)[:, -1]

    def copy(self, row: int, to: int, length: int) -> None:
        """Let a row begin with what another holds."""
        for cache in (*self.keys, *self.values):
            cache[to, :, :length] = cache[row, :, :length]

    def step(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        columns: torch.Tensor,
        mask: torch.Tensor,
        first: int = 0,
    ) -> torch.Tensor:
        """One forward of the same number of tokens for neighbouring rows of the cache, from the `first` on.

        ids and positions [lines, tokens]; columns (where in the cache they go; from `width` on nobody reads)
        [rows, tokens]; mask [rows, tokens, read], True for what a token may see of the row's first `read`
        columns. Lines beyond the rows only give the products their shape. Returns hidden states [lines,
        tokens, hidden].
        """
        lines, tokens = ids.shape
        rows, read = len(columns), mask.shape[-1]
        where = columns[:, None, :, None].expand(rows, self.groups, tokens, self.size)
        each = self.heads // self.groups
        mask = mask[:, None].repeat(1, 1, each, 1)  # one stretch of queries for each head of a group

        def attend(layer: int, query, key, value):
            keys, values = (cache[layer][first : first + rows] for cache in (self.keys, self.values))
            keys.scatter_(2, where, key[:rows])
            values.scatter_(2, where, value[:rows])
            # a group's heads as more queries on the same keys: the cache is read once, as it lies
            query = query[:rows].reshape(rows, self.groups, each * tokens, self.size)
            seen = F.scaled_dot_product_attention(
                query, keys[:, :, :read], values[:, :, :read], attn_mask=mask
            )
            seen = seen.reshape(rows, self.heads, tokens, self.size)
            return seen if rows == lines else F.pad(seen, (0, 0, 0, 0, 0, 0, 0, lines - rows))

        hidden = self.text.embed_tokens(ids)
        return self._layers(hidden, positions.expand(3, lines, tokens), attend, {})

    def answer(self, ids, positions, columns, mask, where: torch.Tensor, first: int = 0) -> torch.Tensor:
        """A `step`, and the logits behind the tokens `where` [lines, wanted]: [lines, wanted, vocabulary]."""
        hidden = self.step(ids, positions, columns, mask, first)
        return self.logits(hidden[torch.arange(len(where), device=where.device)[:, None], where])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.head(hidden).float()

    def _layers(self, hidden: torch.Tensor, positions: torch.Tensor, attend, added: dict) -> torch.Tensor:
        batch, tokens, _ = hidden.shape
        cos, sin = (x[:, None] for x in self.text.rotary_emb(hidden, positions))
        for number, layer in enumerate(self.text.layers):
            own = layer.self_attn
            x = self._norm(hidden, layer.input_layernorm)
            query, key, value = (
                project(x).view(batch, tokens, -1, self.size)
                for project in (own.q_proj, own.k_proj, own.v_proj)
            )
            query = _rotate(self._norm(query, own.q_norm).transpose(1, 2), cos, sin)
            key = _rotate(self._norm(key, own.k_norm).transpose(1, 2), cos, sin)
            seen = attend(number, query, key, value.transpose(1, 2))
            hidden = hidden + own.o_proj(seen.transpose(1, 2).reshape(batch, tokens, -1))
            hidden = hidden + layer.mlp(self._norm(hidden, layer.post_attention_layernorm))
            if number in added:
                where, features = added[number]
                hidden = hidden.clone()
                hidden[0, where] += features.to(hidden.dtype)
        return self._norm(hidden, self.text.norm)

    def _norm(self, x: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), norm.weight, self.epsilon)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin
