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
import torch.nn.functional as F
from torch import nn

from .. import weights as files
from ..errors import CriticError

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


def choose(
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
    if method := files.quantised(folder):
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


def pack(model: nn.Module, name: str, dtype: torch.dtype) -> None:
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


class Packed(nn.Module):
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


class _Scaled(Packed):
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


class Int8(_Scaled):
    """Integers from -127 to 127."""

    STORED, LARGEST = torch.int8, 127.0


class Float8(_Scaled):
    """Floats of 8 bits, 3 of them for the fraction (e4m3)."""

    STORED, LARGEST = torch.float8_e4m3fn, 448.0


class FourBit(Packed):
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


_KINDS: dict[str, type[Packed]] = {FP8: Float8, INT8: Int8, FOUR_BIT: FourBit}


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
