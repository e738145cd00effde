"""One layer of the language model, in as few launches as its weights allow.

The model's own modules compute every product, so any precision or quantisation of theirs works unchanged.
Only plain weights are treated specially: those that read the same input are multiplied as one, and a product
is added to the hidden state while it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Projections:
    """Linear layers that read the same input; with plain weights that are `fused`, one matrix product."""

    def __init__(self, layers: Sequence[Any], fuse: bool):
        self.layers, self.sizes = layers, [layer.out_features for layer in layers]
        self.weight = fused(layers) if fuse and all(map(is_plain, layers)) else None

    def __call__(self, x: torch.Tensor) -> list[torch.Tensor] | tuple[torch.Tensor, ...]:
        """The output of each layer."""
        if self.weight is None:
            return [layer(x) for layer in self.layers]
        return F.linear(x, self.weight).split(self.sizes, -1)

    def side_by_side(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs of all layers in one tensor."""
        return torch.cat(self(x), -1) if self.weight is None else F.linear(x, self.weight)


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer is nothing but a product with its weight."""
    return type(layer) is nn.Linear and layer.bias is None


def fused(layers: Sequence[nn.Linear]) -> torch.Tensor:
    """The weights of all layers, one below the other.

    The layers' own parameters become views of it: nothing is in memory twice, and what they multiplied before
    they multiply now. Weights that were fused before are not copied again.
    """
    sizes, inputs = [layer.out_features for layer in layers], layers[0].in_features
    if _are_fused([layer.weight for layer in layers]):
        return layers[0].weight.detach().as_strided((sum(sizes), inputs), (inputs, 1))
    with torch.inference_mode(False), torch.no_grad():
        whole = torch.cat([layer.weight.detach() for layer in layers])
        for layer, part in zip(layers, whole.split(sizes), strict=True):
            layer.weight = nn.Parameter(part, requires_grad=False)
    if whole.is_cuda:  # the memory of the old ones has no use: the next layer's are as large
        torch.cuda.empty_cache()
    return whole


def _are_fused(weights: Sequence[torch.Tensor]) -> bool:
    """Whether each weight begins where the one before it ends, in the same memory."""
    storages = {weight.untyped_storage().data_ptr() for weight in weights}
    ends = [weight.data_ptr() + weight.nbytes for weight in weights]
    starts = [weight.data_ptr() for weight in weights[1:]]
    return len(storages) == 1 and starts == ends[:-1] and all(w.is_contiguous() for w in weights)


class DecoderLayer:
    """`layer` of Qwen3-VL's text model. `fuse`: see Projections; the same weights then lie elsewhere."""

    def __init__(self, layer: Any, head_size: int, epsilon: float, fuse: bool):
        attention, mlp = layer.self_attn, layer.mlp
        self.layer, self.head_size, self.epsilon = layer, head_size, epsilon
        self.projections = Projections([attention.q_proj, attention.k_proj, attention.v_proj], fuse)
        self.gate_and_up = Projections([mlp.gate_proj, mlp.up_proj], fuse)

    def __call__(
        self,
        hidden: torch.Tensor,
        rotation: torch.Tensor,
        attend: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """hidden [batch, tokens, hidden], which is overwritten; `rotation` is that of Rotary for this layer.

        `attend` gets [batch, tokens, query, key and value heads, head size], queries and keys rotated, and
        returns [batch, tokens, hidden].
        """
        layer, (batch, tokens, _) = self.layer, hidden.shape
        states = self.projections.side_by_side(norm(hidden, layer.input_layernorm.weight, self.epsilon))
        states = states.view(batch, tokens, -1, self.head_size)
        self._rotate(states, rotation)
        hidden = _add(hidden, layer.self_attn.o_proj, attend(states))
        gate, up = self.gate_and_up(norm(hidden, layer.post_attention_layernorm.weight, self.epsilon))
        return _add(hidden, layer.mlp.down_proj, layer.mlp.act_fn(gate) * up)

    def _rotate(self, states: torch.Tensor, rotation: torch.Tensor) -> None:
        """Normalise and rotate queries and keys, in place."""
        cos, sin = rotation.unbind(2)
        groups = cos.shape[2]
        # values too: one more head costs less than a copy of the others
        normed = norm(states, None, self.epsilon)
        heads = states.shape[2] * groups // (groups + 1)
        states, normed = (x[:, :, :heads].unflatten(2, (groups, -1)) for x in (states, normed))
        torch.mul(normed, cos, out=states)
        (low, high), (x, y), (sin_low, sin_high) = (t.chunk(2, -1) for t in (states, normed, sin))
        low.addcmul_(y, sin_low)
        high.addcmul_(x, sin_high)


class Rotary:
    """What queries and keys are multiplied by: the weight of their norm times cos and sin of their position,
    computed in 32 bit. Steps look their positions up, below `positions`.
    """

    def __init__(self, text: Any, positions: int, groups: int):
        self.embedding = text.rotary_emb
        weights = []
        for layer in text.layers:
            query, key = (norm.weight.float() for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm))
            of_heads = torch.stack([query] * groups + [key])  # key heads are the last group
            low, high = of_heads.chunk(2, -1)
            weights.append(torch.stack([of_heads, torch.cat((-high, low), -1)]))
        self.weights = torch.stack(weights)[..., None, :]  # [layers, 2, groups + 1, 1, head size]
        self.dtype = text.layers[0].self_attn.q_norm.weight.dtype
        numbers = torch.arange(positions, device=self.weights.device)
        self.table = self._cos_and_sin(numbers.expand(3, 1, positions))[0].flatten(1)

    def of_prompt(self, positions: torch.Tensor) -> Callable[[int], torch.Tensor]:
        """positions [3, 1, tokens] -> by layer, [1, tokens, 2, groups + 1, 1, head size]."""
        turns = self._cos_and_sin(positions)[..., None, None, :]
        return lambda layer: (turns * self.weights[layer]).to(self.dtype)

    def of_step(self, positions: torch.Tensor) -> Callable[[int], torch.Tensor]:
        """Positions [batch, tokens] of text -> by layer, [batch, tokens, 2, groups + 1, 1, head size]."""
        turns = F.embedding(positions, self.table).unflatten(-1, (2, 1, 1, -1))
        layers = (turns * self.weights[:, None, None]).to(self.dtype)
        return lambda layer: layers[layer]

    def _cos_and_sin(self, positions: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, 2, head size], float32."""
        return torch.stack(self.embedding(self.weights.new_empty(0), positions), 2)


def norm(x: torch.Tensor, weight: torch.Tensor | None, epsilon: float) -> torch.Tensor:
    """RMS norm over the last dimension."""
    return F.rms_norm(x, (x.shape[-1],), weight, epsilon)


def _add(hidden: torch.Tensor, layer: Any, x: torch.Tensor) -> torch.Tensor:
    """`hidden` plus `layer` of x, in place."""
    if not is_plain(layer):
        return hidden.add_(layer(x))
    hidden.view(-1, hidden.shape[-1]).addmm_(x.flatten(0, 1), layer.weight.t())
    return hidden
