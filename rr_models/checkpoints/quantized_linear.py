"""Linear layers with quantized weights: int8, fp8 and 4-bit (NF4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from .kernels import DEQUANTIZING, Kernel

if TYPE_CHECKING:
    from bitsandbytes.functional import QuantState


class QuantizedLinear(nn.Module):
    """A linear layer without a weight until `quantize` is given one."""

    weight: nn.Parameter | None

    def __init__(self, inputs: int, outputs: int, bias: bool, dtype: torch.dtype):
        super().__init__()
        self.in_features, self.out_features, self.dtype = inputs, outputs, dtype
        placeholder = torch.empty(outputs, dtype=dtype, device="meta")
        self.bias = nn.Parameter(placeholder, requires_grad=False) if bias else None
        self.clear()

    @staticmethod
    def weight_bytes(rows: int, count: int) -> int:
        """Bytes of a quantized weight of `rows` rows and `count` numbers, scales included."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes of this layer's weight once it is there."""
        return self.weight_bytes(self.out_features, self.in_features * self.out_features)

    def clear(self) -> None:
        """Free the weight."""
        self.weight = None

    def quantize(self, weight: torch.Tensor) -> None:
        """Quantize a weight [outputs, inputs], on the device where it is."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"


class _ScaledLinear(QuantizedLinear):
    """One byte per weight and one scale per row. Moves between devices like any layer."""

    STORED: torch.dtype
    LARGEST: float
    kernel: Kernel = DEQUANTIZING
    scale: nn.Parameter | None

    @staticmethod
    def weight_bytes(rows: int, count: int) -> int:
        return count + 4 * rows

    def clear(self) -> None:
        super().clear()
        self.scale = None

    def quantize(self, weight: torch.Tensor) -> None:
        weight = self.kernel.rotated(weight.float())
        scale = (weight.abs().amax(1) / self.LARGEST).clamp(min=1e-12)
        quantized = weight / scale[:, None]
        if not self.STORED.is_floating_point:
            quantized = quantized.round()
        self.weight = nn.Parameter(quantized.to(self.STORED), requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.weight is None or self.scale is None:
            raise RuntimeError("This layer's weight is not loaded.")
        out = self.kernel.multiply(x, self.weight, self.scale)
        return out if self.bias is None else out + self.bias


class Int8Linear(_ScaledLinear):
    """Integers from -127 to 127, multiplied by a kernel of their own where one is set."""

    STORED, LARGEST = torch.int8, 127.0

    def set_kernel(self, kernel: Kernel) -> None:
        """Use this kernel for the weight that is quantized next, if it can multiply one of this shape."""
        if kernel.fits(self.in_features, self.out_features):
            self.kernel = kernel


class Float8Linear(_ScaledLinear):
    """8-bit floats with 3 bits for the fraction (e4m3)."""

    STORED, LARGEST = torch.float8_e4m3fn, 448.0


class Nf4Linear(QuantizedLinear):
    """bitsandbytes' NF4 with quantized scales; its kernels dequantize as they multiply."""

    state: QuantState | None

    @staticmethod
    def weight_bytes(rows: int, count: int) -> int:
        blocks = -(-count // 64)
        return -(-count // 2) + blocks + 4 * -(-blocks // 256)

    def clear(self) -> None:
        super().clear()
        self.state = None

    def quantize(self, weight: torch.Tensor) -> None:
        from bitsandbytes import functional

        quantized, self.state = functional.quantize_4bit(
            weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
        )
        self.weight = nn.Parameter(quantized, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # its documented function, though the package has no __all__
        from bitsandbytes import matmul_4bit  # pyright: ignore[reportPrivateImportUsage]

        if self.weight is None or self.state is None:
            raise RuntimeError("This layer's weight is not loaded.")
        return matmul_4bit(x, self.weight.t(), quant_state=self.state, bias=self.bias)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        if self.weight is not None and self.state is not None:
            self.state.to(self.weight.device)
        return self


QUANTIZED_LAYERS: dict[str, type[QuantizedLinear]] = {
    "fp8": Float8Linear,
    "int8": Int8Linear,
    "4-bit": Nf4Linear,
}
"""precision -> the layer that holds a weight in it."""


def quantize_layers(
    model: nn.Module, precision: str, dtype: torch.dtype, int8_kernel: Kernel = DEQUANTIZING
) -> None:
    """Replace all linear layers in `model` by quantized ones without weights, which compute in `dtype`."""
    layer_class = QUANTIZED_LAYERS[precision]
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                bias = child.bias is not None
                layer = layer_class(child.in_features, child.out_features, bias, dtype)
                if isinstance(layer, Int8Linear):
                    layer.set_kernel(int8_kernel)
                setattr(module, name, layer)
