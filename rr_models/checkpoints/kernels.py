"""Products with 8-bit weights of one scale per row, and which kernel multiplies int8 weights on a device.

Dequantizing works everywhere, but moves five bytes for every one that is stored. Packed kernels read that one
byte only. They round more, each in its own way, so their names are part of what a judgement records. One is
chosen only where it is known to be faster, and after it has multiplied a few small matrices correctly.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import first_line

log = logging.getLogger(__name__)

Multiply = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""`multiply(x, weight, scale)`: x [..., inputs] times the transpose of weight [outputs, inputs], 8 bit, times
scale [outputs], float32. The result [..., outputs] has x's dtype."""


_ALIGNMENT = 16
"""Packed kernels read this many numbers at once, some without looking where a row ends."""


def dequantized_linear(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The product as plain torch computes it, with the weights converted to x's dtype first."""
    if x.dtype == torch.float16:  # sums of numbers up to 448 would leave its range
        return F.linear(x, weight.half() * scale[:, None].half())
    return (F.linear(x, weight.to(x.dtype)) * scale).to(x.dtype)


def hadamard_rotated(weight: torch.Tensor) -> torch.Tensor:
    """A weight [outputs, inputs] with its rows rotated by a regular Hadamard matrix, 256 numbers at a time
    (64 or 16 if 256 does not divide them). Rotated twice, it is as it was.

    Activations rotated alike give the same product, but have no outliers any more: a language model has a few
    large channels, which would make the steps coarse in which all others are rounded.
    """
    size = _group_size(weight.shape[1])
    matrix = base = torch.tensor([[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]) / 2
    while len(matrix) < size:
        matrix = torch.kron(matrix, base)
    groups = weight.unflatten(1, (-1, size))
    return (groups @ matrix.to(weight)).flatten(1)


def _group_size(inputs: int) -> int:
    return next(size for size in (256, 64, _ALIGNMENT) if inputs % size == 0)


@dataclass(frozen=True)
class Kernel:
    """A way to multiply 8-bit weights. `name` tells apart what rounds differently; "" is dequantizing. Its
    weights are `rotated` before they are quantized, where it rotates activations alike."""

    name: str
    multiply: Multiply
    rotated: Callable[[torch.Tensor], torch.Tensor] = lambda weight: weight

    @property
    def is_packed(self) -> bool:
        """Whether it reads weights as they are stored, without dequantizing them."""
        return bool(self.name)

    def fits(self, inputs: int, outputs: int) -> bool:
        """Whether it can multiply a weight of this shape."""
        return not (self.is_packed and (inputs % _ALIGNMENT or outputs % _ALIGNMENT))


_FEW_ROWS = 32
"""Up to so many rows torch's kernel is at least as fast as dequantizing, for weights of any size (AVX2)."""


def _int8pack_linear(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) > _FEW_ROWS or not weight.is_cpu:
        return dequantized_linear(x, weight, scale)
    # only its bfloat16 form is vectorized; the scales stay out of it, as it would round them
    ones = torch.ones(len(weight), dtype=torch.bfloat16)
    # a copy, as it would read rows that are not aligned all the same, and crash
    rows = rows.to(torch.bfloat16, copy=True, memory_format=torch.contiguous_format)
    # torch has no public function for it
    sums = torch._weight_int8pack_mm(rows, weight, ones)  # pyright: ignore[reportPrivateImportUsage]
    return (sums * scale).to(x.dtype).view(*x.shape[:-1], -1)


def _kitchen_linear(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    from comfy_kitchen import int8_linear

    size = _group_size(weight.shape[1])
    return int8_linear(x, weight, scale, out_dtype=x.dtype, convrot=True, convrot_groupsize=size)


DEQUANTIZING = Kernel("", dequantized_linear)
INT8PACK = Kernel("int8pack", _int8pack_linear)
"""torch's kernel for processors: weights packed, activations and sums rounded to bfloat16."""
COMFY_KITCHEN = Kernel("comfy-kitchen", _kitchen_linear, hadamard_rotated)
"""ComfyUI's kernels: weights packed; activations rotated, then rounded to 8 bits with one scale per row."""


@functools.cache
def choose_int8_kernel(device: torch.device, dtype: torch.dtype) -> Kernel:
    """The kernel for int8 weights on `device`, computing in `dtype`. Says in the log if a kernel that should
    run there does not multiply correctly."""
    kernel = _expected_kernel(device, dtype)
    if kernel.is_packed and (fault := _fault(kernel, device, dtype)):
        log.warning("int8 weights are dequantized on %s: %s %s", device, kernel.name, fault)
        return DEQUANTIZING
    return kernel


def _expected_kernel(device: torch.device, dtype: torch.dtype) -> Kernel:
    """The kernel that should be the fastest, by what device and packages say of themselves."""
    if device.type == "cpu" and dtype in (torch.float32, torch.bfloat16) and _has_fast_int8pack():
        return INT8PACK
    if device.type == "cuda" and _kitchen_backend(device, dtype) in ("cuda", "hip"):
        return COMFY_KITCHEN
    return DEQUANTIZING


def _has_fast_int8pack() -> bool:
    """Whether torch's kernel is vectorized; elsewhere it exists, but is slower than dequantizing."""
    vectorized = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    return vectorized and sys.platform != "win32" and hasattr(torch, "_weight_int8pack_mm")


def _kitchen_backend(device: torch.device, dtype: torch.dtype) -> str:
    """The backend by which comfy-kitchen would multiply, "" for none. Only "cuda" and "hip" are compiled:
    "eager" copies all weights for every product, and "triton" tunes itself at each new shape."""
    try:  # before 0.2.11 it has no int8_linear
        from comfy_kitchen import int8_linear, registry  # noqa: F401
    except ImportError:
        return ""
    if device.type == "cuda" and not torch.cuda.is_available():
        return ""
    some = torch.zeros(1, 256, dtype=dtype, device=device)
    try:  # it checks what it is given: the device and its generation, and the dtype
        return registry.get_capable_backend("int8_linear", {"x": some})
    except RuntimeError as error:
        log.info("comfy-kitchen cannot multiply int8 weights on %s: %s", device, first_line(error))
        return ""


def _fault(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> str:
    """What is wrong with a kernel's products of few and of many rows; "" if nothing is."""
    outputs, inputs = 96, 4096
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (outputs, inputs), dtype=torch.int8, generator=generator)
    weight[:2] = torch.tensor([[127], [-127]])  # the largest sums there can be
    scale = torch.logspace(-4, -2, outputs)
    whole = kernel.rotated(weight.float() * scale[:, None])  # what the kernel's weights stand for
    for rows in (1, 2, 8, 33, 130):
        x = torch.randn(rows, inputs, generator=generator)
        x[1:2] = 1
        try:
            product = kernel.multiply(x.to(device, dtype), weight.to(device), scale.to(device))
        except Exception as error:  # compiled code of another package: anything can come out of it
            return f"fails ({first_line(error)})"
        wanted = x.to(dtype).float() @ whole.T
        # of a few rows, a product may happen to be small: then its error counts beside its usual size
        off = _rms(product.cpu().float() - wanted) / _rms(wanted).maximum(whole.norm(dim=1))
        if not off.max() < _TOLERANCE:  # also if it is NaN
            return f"is wrong by {off.max():.0%} for {rows} rows"
    return ""


def _rms(products: torch.Tensor) -> torch.Tensor:
    """The root mean square of each column."""
    return products.pow(2).mean(0).sqrt()


_TOLERANCE = 0.05
"""Twice the relative error that rounding explains: 0.006 in bfloat16, 0.022 with activations in 8 bits."""
