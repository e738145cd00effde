"""Precisions a critic can be loaded in: what they take, which one "auto" takes, and the layers that hold
their weights packed.

Packed are the linear layers of the text half alone. The vision tower, where all detail of a picture passes
through, and the head, from whose logits scores are read, stay in 16 bit.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..errors import CriticError
from . import model_folder as files
from .quantized_linear import Float8Linear, Int8Linear, Nf4Linear, QuantizedLinear

log = logging.getLogger(__name__)

BF16, FP16, FP32, FP8, INT8, FOUR_BIT = "bf16", "fp16", "fp32", "fp8", "int8", "4-bit"
NAMES = (BF16, FP16, FP32, FP8, INT8, FOUR_BIT)
"""All precisions; "auto" is the seventh choice."""
_WHOLE = {BF16: torch.bfloat16, FP16: torch.float16, FP32: torch.float32}
_OTHER_NAMES = {str(dtype).removeprefix("torch."): name for name, dtype in _WHOLE.items()}
_BESIDE = 2_000_000_000
"""Bytes that "auto" leaves beside the weights: two pictures' keys and values, and what core keeps free."""
_BITSANDBYTES = (0, 50)
"""Before 0.50 it unpacked all weights in every step as soon as two pictures were judged at once."""


@dataclass(frozen=True)
class Precision:
    """`name` is one of NAMES, or how a model was quantised before it was saved; `dtype` is what all is
    computed in, `why` a line for people."""

    name: str
    dtype: torch.dtype
    why: str = ""

    @property
    def packed(self) -> bool:
        """Whether the text half's linear layers are packed as they are read."""
        return self.name in _KINDS

    def __str__(self):
        return f"{self.name}, {self.why}" if self.why else self.name


def choose_precision(
    wanted: str | torch.dtype, device: torch.device, folder: Path, room: int | None = None, fast_bf16=None
) -> Precision:
    """The precision for the user's choice, "auto" or one of NAMES (torch's names and dtypes will do as well).

    "auto" takes the best that fits into `room` bytes, as far as that is known; anything else is taken as it
    is, or refused. `fast_bf16` says whether the device is good at bfloat16, by default as torch says.
    """
    if isinstance(wanted, torch.dtype):
        wanted = str(wanted).removeprefix("torch.")
    wanted = _OTHER_NAMES.get(wanted, wanted)
    if wanted not in ("auto", *NAMES):
        raise ValueError(f"precision must be auto or one of {', '.join(NAMES)}, not {wanted!r}.")
    if device.type == "cpu":
        half = FP32
    else:
        half = BF16 if (_has_bf16(device) if fast_bf16 is None else fast_bf16) else FP16
    if method := files.quantization_method(folder):
        if wanted in _KINDS:
            raise ValueError(
                f"precision {wanted} cannot be had of {folder.name}, which is quantised by {method} already. "
                "Choose auto, or download the model unquantised."
            )
        return Precision(method, _WHOLE.get(wanted, _WHOLE[half]), "as the model was saved")
    if wanted in _WHOLE:
        return Precision(wanted, _WHOLE[wanted])
    if wanted != "auto":
        _check_packed(wanted, device)
        return Precision(wanted, _WHOLE[half])
    if device.type == "cpu":
        return Precision(FP32, torch.float32, "because most processors are slow in half precision")
    if room is None:
        return Precision(half, _WHOLE[half], f"because {device} computes fast in it")
    told = f"because {room / 1e9:.1f} GB can be free on {device}"
    kinds = (half, INT8, FOUR_BIT) if has_bitsandbytes() else (half, INT8)
    sizes = {name: size(folder, name) for name in kinds}
    for name in kinds:
        if sizes[name] + _BESIDE <= room:
            return Precision(name, _WHOLE[half], f"{told}: its weights take {sizes[name] / 1e9:.1f}")
    name = kinds[-1]
    more = "" if has_bitsandbytes() else "; 4-bit would be smaller, but needs bitsandbytes >= 0.50"
    return Precision(
        name, _WHOLE[half], f"{told}, which even that ({sizes[name] / 1e9:.1f} GB) hardly fits{more}"
    )


def size(folder: Path, name: str) -> int:
    """Bytes that a folder's weights take on a graphics card, from the headers of its files. What a packed
    model does not pack counts as 16 bit."""
    total = 0
    for _, tensor, entry in files.tensors(folder):
        rows, *rest = entry["shape"] or [1]
        count = rows
        for length in rest:
            count *= length
        in_text = tensor.startswith("model.language_model.layers.") and tensor.endswith("proj.weight")
        if name in _KINDS and in_text:
            total += _KINDS[name].bytes(rows, count)
        else:
            total += count * _WHOLE.get(name, torch.bfloat16).itemsize
    return total


def quantize_layers(model: nn.Module, name: str, dtype: torch.dtype) -> None:
    """Put packed layers in the place of the text half's linear ones; their weights come later."""
    for module in list(model.model.language_model.modules()):
        for own, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                bias = child.bias is not None
                setattr(module, own, _KINDS[name](child.in_features, child.out_features, bias, dtype))


def has_bitsandbytes() -> bool:
    """Whether a bitsandbytes that is new enough is installed; does not import it."""
    from importlib import metadata

    if importlib.util.find_spec("bitsandbytes") is None:
        return False
    try:
        version = metadata.version("bitsandbytes").split(".")[:2]
        return tuple(map(int, version)) >= _BITSANDBYTES
    except (metadata.PackageNotFoundError, ValueError):
        return False


_KINDS: dict[str, type[QuantizedLinear]] = {FP8: Float8Linear, INT8: Int8Linear, FOUR_BIT: Nf4Linear}


def _check_packed(name: str, device: torch.device) -> None:
    if name == FOUR_BIT and not has_bitsandbytes():
        raise CriticError(
            "precision 4-bit takes bitsandbytes 0.50 or newer, which is not installed. Install it with "
            'ComfyUI\'s Python: pip install "bitsandbytes>=0.50". Or choose int8, which needs nothing.'
        )
    if name == FP8:
        try:
            torch.zeros(1, device=device).to(torch.float8_e4m3fn)
        except (RuntimeError, TypeError) as error:
            said = str(error).splitlines()[0]
            raise CriticError(
                f"precision fp8 cannot be had on {device} ({said}). Choose int8: as small, and nearer."
            ) from error


def _has_bf16(device: torch.device) -> bool:
    if device.type == "mps":
        return False
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
