"""Linear layers with quantized weights: int8, fp8 and 4-bit (nf4), dequantized on the fly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class QuantizedLinear(nn.Module):
    """A linear layer whose weight is packed when it arrives, by `take`. Empty until then."""

    def __init__(self, inputs: int, outputs: int, bias: bool, dtype: torch.dtype):
        super().__init__()
        self.in_features, self.out_features, self.dtype = inputs, outputs, dtype
        empty = torch.empty(outputs, dtype=dtype, device="meta")
        self.bias = nn.Parameter(empty, requires_grad=False) if bias else None
        self.empty()

    @property
    def nbytes(self) -> int:
        """What the weight takes once it is there, in bytes."""
        return self.bytes(self.out_features, self.in_features * self.out_features)

    def empty(self) -> None:
        """Let go of the weight."""
        self.weight = self.scale = None

    def take(self, weight: torch.Tensor) -> None:
        """Pack a weight [outputs, inputs], on the device where it is."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}"


class _ScaledLinear(QuantizedLinear):
    """One byte a weight and one scale a row. A row is unpacked as it is multiplied, in plain torch, so this
    runs wherever torch does and moves between devices like any layer."""

    STORED: torch.dtype
    LARGEST: float

    @staticmethod
    def bytes(rows: int, count: int) -> int:
        return count + 4 * rows

    def take(self, weight: torch.Tensor) -> None:
        weight = weight.float()
        scale = (weight.abs().amax(1) / self.LARGEST).clamp(min=1e-12)
        packed = weight / scale[:, None]
        if not self.STORED.is_floating_point:
            packed = packed.round()
        self.weight = nn.Parameter(packed.to(self.STORED), requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.to(x.dtype)
        if x.dtype == torch.float16:  # sums of numbers up to 448 would leave its range
            return F.linear(x, weight * self.scale[:, None].half(), self.bias)
        out = (F.linear(x, weight) * self.scale).to(x.dtype)
        return out if self.bias is None else out + self.bias


class Int8Linear(_ScaledLinear):
    """Integers from -127 to 127."""

    STORED, LARGEST = torch.int8, 127.0


class Float8Linear(_ScaledLinear):
    """Floats of 8 bits, 3 of them for the fraction (e4m3)."""

    STORED, LARGEST = torch.float8_e4m3fn, 448.0


class Nf4Linear(QuantizedLinear):
    """bitsandbytes' NF4, its scales packed in turn; its kernels multiply from the packed form."""

    @staticmethod
    def bytes(rows: int, count: int) -> int:
        blocks = -(-count // 64)
        return -(-count // 2) + blocks + 4 * -(-blocks // 256)

    def empty(self) -> None:
        super().empty()
        self.state = None

    def take(self, weight: torch.Tensor) -> None:
        from bitsandbytes import functional

        packed, self.state = functional.quantize_4bit(
            weight.contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4"
        )
        self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from bitsandbytes import matmul_4bit

        return matmul_4bit(x, self.weight.t(), quant_state=self.state, bias=self.bias)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        if self.state is not None:
            self.state.to(self.weight.device)
        return self
