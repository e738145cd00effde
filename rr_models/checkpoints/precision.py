"""Precisions a critic can be loaded in: the memory each takes, and which one "auto" chooses.

Only the linear layers of the text half are quantized. The vision tower, which every detail of an image passes
through, and the output head, from whose logits scores are read, stay in 16 bit.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import CriticError, first_line
from . import model_folder
from .kernels import DEQUANTIZING, Kernel, choose_int8_kernel
from .quantized_linear import QUANTIZED_LAYERS

AUTO = "auto"
BF16, FP16, FP32, FP8, INT8, FOUR_BIT = "bf16", "fp16", "fp32", "fp8", "int8", "4-bit"
NAMES = (BF16, FP16, FP32, FP8, INT8, FOUR_BIT)
"""All precisions; "auto" is the seventh choice."""
_DTYPES = {BF16: torch.bfloat16, FP16: torch.float16, FP32: torch.float32}
_NAMES_BY_DTYPE = {str(dtype).removeprefix("torch."): name for name, dtype in _DTYPES.items()}
_RESERVE = 2_000_000_000
"""Bytes that "auto" leaves free besides the weights: keys and values of two images, and ComfyUI's reserve."""
_MIN_BITSANDBYTES = (0, 50)
"""Before 0.50 it dequantized all weights in every step once two images were judged at the same time."""


@dataclass(frozen=True)
class Precision:
    """`name` is one of NAMES, or the method by which a model was quantized before it was saved; `dtype` is
    what is computed in; `reason` is a phrase for people; `kernel` multiplies the weights of int8."""

    name: str
    dtype: torch.dtype
    reason: str = ""
    kernel: Kernel = DEQUANTIZING

    @property
    def label(self) -> str:
        """What judgements record: with the same label and dtype, the same numbers are computed."""
        return f"{self.name} ({self.kernel.name})" if self.kernel.name else self.name

    @property
    def quantizes(self) -> bool:
        """Whether the text half's linear layers are quantized as they are loaded."""
        return self.name in QUANTIZED_LAYERS

    def __str__(self):
        return f"{self.label}, {self.reason}" if self.reason else self.label


def choose_precision(
    choice: str | torch.dtype,
    device: torch.device,
    folder: Path,
    free_bytes: int | None = None,
    fast_bf16: bool | None = None,
) -> Precision:
    """The precision for the user's choice: "auto" or one of NAMES (torch's names and dtypes work as well).

    "auto" takes the best that fits into `free_bytes`, if that is given, but nothing that is slower than a
    smaller one; any other choice is used as it is.
    `fast_bf16` says whether the device is fast in bfloat16, by default as torch reports. Raises ValueError
    for an unknown precision or one this folder cannot have, CriticError if device or packages lack it.
    """
    if isinstance(choice, torch.dtype):
        choice = str(choice).removeprefix("torch.")
    choice = _NAMES_BY_DTYPE.get(choice, choice)
    if choice not in (AUTO, *NAMES):
        raise ValueError(f"precision must be auto or one of {', '.join(NAMES)}, not {choice!r}.")
    if device.type == "cpu":
        default = FP32
    else:
        default = BF16 if (_has_bf16(device) if fast_bf16 is None else fast_bf16) else FP16
    if method := model_folder.quantization_method(folder):
        if choice in QUANTIZED_LAYERS:
            raise ValueError(
                f"precision {choice} is not available for {folder.name}, which is already quantized by "
                f"{method}. Use auto, or download the unquantized model."
            )
        return Precision(method, _DTYPES.get(choice, _DTYPES[default]), "as the model was saved")
    if choice in _DTYPES:
        return Precision(choice, _DTYPES[choice])
    if choice != AUTO:
        _check_available(choice, device)
        kernel = choose_int8_kernel(device, _DTYPES[default]) if choice == INT8 else DEQUANTIZING
        return Precision(choice, _DTYPES[default], kernel=kernel)
    if device.type == "cpu":
        return Precision(FP32, torch.float32, "because most CPUs are slow in half precision")
    if free_bytes is None:
        return Precision(default, _DTYPES[default], f"because {device} computes fast in it")
    return _largest_that_fits(folder, default, free_bytes, device)


def _largest_that_fits(folder: Path, default: str, free_bytes: int, device: torch.device) -> Precision:
    dtype, sizes = _DTYPES[default], {name: size(folder, name) for name in (default, INT8, FOUR_BIT)}
    fitting = [name for name, taken in sizes.items() if taken + _RESERVE <= free_bytes]
    kernel = DEQUANTIZING if default in fitting else choose_int8_kernel(device, dtype)
    name = _fastest(default, fitting, kernel.is_packed, has_bitsandbytes())
    reason = f"because {free_bytes / 1e9:.1f} GB can be free on {device}"
    if name in fitting:
        reason += f": its weights take {sizes[name] / 1e9:.1f}"
    else:
        reason += f", where even this one ({sizes[name] / 1e9:.1f} GB) barely fits"
    if name == FOUR_BIT and INT8 in fitting:
        reason += f"; int8 ({sizes[INT8] / 1e9:.1f}) would be slower, without kernels of comfy-kitchen for it"
    if name == INT8 and INT8 not in fitting:
        reason += "; 4-bit would be smaller, but needs bitsandbytes >= 0.50"
    return Precision(name, dtype, reason, kernel if name == INT8 else DEQUANTIZING)


def _fastest(default: str, fitting: list[str], packed_int8: bool, four_bit: bool) -> str:
    """The precision that "auto" takes: `default`, in 16 bit, is the fastest and the most accurate. int8 is
    more accurate than 4-bit, but only packed kernels make it as fast. `four_bit`: whether there is one."""
    if default in fitting or not four_bit:
        return default if default in fitting else INT8
    return INT8 if INT8 in fitting and packed_int8 else FOUR_BIT


def size(folder: Path, precision: str) -> int:
    """Bytes that a folder's weights take on a GPU, from the headers of its files. The layers that a quantized
    model leaves unquantized count as 16 bit."""
    total = 0
    for _, tensor, entry in model_folder.tensors(folder):
        shape = entry["shape"] or [1]
        count = math.prod(shape)
        in_text = tensor.startswith("model.language_model.layers.") and tensor.endswith("proj.weight")
        if precision in QUANTIZED_LAYERS and in_text:
            total += QUANTIZED_LAYERS[precision].weight_bytes(shape[0], count)
        else:
            total += count * _DTYPES.get(precision, torch.bfloat16).itemsize
    return total


def has_bitsandbytes() -> bool:
    """Whether a recent enough bitsandbytes is installed; does not import it."""
    from importlib import metadata

    if importlib.util.find_spec("bitsandbytes") is None:
        return False
    try:
        version = metadata.version("bitsandbytes").split(".")[:2]
        return tuple(map(int, version)) >= _MIN_BITSANDBYTES
    except (metadata.PackageNotFoundError, ValueError):
        return False


def _check_available(name: str, device: torch.device) -> None:
    if name == FOUR_BIT and not has_bitsandbytes():
        raise CriticError(
            "precision 4-bit needs bitsandbytes 0.50 or newer, which is not installed. Install it with "
            'ComfyUI\'s Python: pip install "bitsandbytes>=0.50". Or use int8, which needs no package.'
        )
    if name == FP8:
        try:
            torch.zeros(1, device=device).to(torch.float8_e4m3fn)
        except (RuntimeError, TypeError) as error:
            raise CriticError(
                f"precision fp8 is not supported on {device} ({first_line(error)}); use int8 (same size, "
                "more accurate)."
            ) from error


def _has_bf16(device: torch.device) -> bool:
    if device.type == "mps":
        return False
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
