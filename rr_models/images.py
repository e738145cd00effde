"""Pictures: ComfyUI IMAGE tensors [H, W, C] <-> PIL, their hash, and the patches that a Qwen3-VL takes.

The patches equal those of the Hugging Face image processor. Above the pixel cap the size differs on purpose:
training shrank a picture to the cap first and rounded its sides to whole tokens afterwards, and so does this.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .errors import ModelFolderError

if TYPE_CHECKING:
    from PIL import Image

PIXEL_CAP = 802_816
"""Pixels of the largest picture in the critics' training: 784 tokens of 32 x 32."""

_LONGEST_RATIO = 200  # beyond this one side would be a fraction of a token; Hugging Face draws the same line


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its pictures. `read` takes it from the settings in a model's folder."""

    patch_size: int = 16
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 65_536
    max_pixels: int = PIXEL_CAP
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @classmethod
    def read(cls, settings: dict, max_pixels: int | None = None) -> Preprocessing:
        """From the content of preprocessor_config.json. `max_pixels` replaces the cap of training, but never
        goes beyond what the folder itself allows."""
        if max_pixels is not None and max_pixels < 1:
            raise ValueError(
                f"max_pixels must be at least 1, not {max_pixels}; leave it out for the cap of training."
            )
        size = settings.get("size") or {}
        if not isinstance(size, dict):
            raise _wrong("size", size, 'an object like {"shortest_edge": 65536, "longest_edge": 16777216}')
        allowed = _count("max_pixels", size.get("longest_edge") or settings.get("max_pixels") or PIXEL_CAP)
        least = _count(
            "min_pixels", size.get("shortest_edge") or settings.get("min_pixels") or cls.min_pixels
        )
        most = min(max_pixels or PIXEL_CAP, allowed)
        return cls(
            patch_size=_count("patch_size", settings.get("patch_size", cls.patch_size)),
            merge_size=_count("merge_size", settings.get("merge_size", cls.merge_size)),
            temporal_patch_size=_count(
                "temporal_patch_size", settings.get("temporal_patch_size", cls.temporal_patch_size)
            ),
            min_pixels=min(least, most),
            max_pixels=most,
            mean=_three("image_mean", settings.get("image_mean", cls.mean)),
            std=_three("image_std", settings.get("image_std", cls.std)),
        )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width a picture is brought to: first under the cap, then each side to whole tokens."""
        if max(height, width) > _LONGEST_RATIO * min(height, width):
            raise ValueError(
                f"image is {width} x {height}; no side may be over {_LONGEST_RATIO} times the other. Crop it."
            )
        token = self.patch_size * self.merge_size
        if height * width > self.max_pixels:
            shrink = math.sqrt(self.max_pixels / (height * width))
            height, width = max(1, int(height * shrink)), max(1, int(width * shrink))
        rounded = round(height / token) * token, round(width / token) * token
        if rounded[0] * rounded[1] < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            return math.ceil(height * grow / token) * token, math.ceil(width * grow / token) * token
        return max(token, rounded[0]), max(token, rounded[1])


def pixel_values(
    image: torch.Tensor, how: Preprocessing, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """A picture as patches, float32 [n, 3 * temporal * patch * patch] in merging order; its grid (1, h, w).

    The patches are laid out on `device`; only bytes travel there. Pillow resizes: torch's own way is faster,
    but brings some pixels of some sizes out many levels away from it.
    """
    from PIL import Image

    pixels = _bytes(image)
    height, width = how.size(*pixels.shape[:2])
    if pixels.shape[:2] != (height, width):
        pixels = _bytes_of(Image.fromarray(pixels.numpy()).resize((width, height), Image.Resampling.BICUBIC))
    patch, merge = how.patch_size, how.merge_size
    rows, columns = height // patch, width // patch
    # merged rows, columns, then rows, columns within, colour; as bytes, which are a quarter to move
    pixels = pixels.to(device).reshape(rows // merge, merge, patch, columns // merge, merge, patch, 3)
    pixels = pixels.permute(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, 1, patch * patch)
    mean, std = (torch.tensor(x, device=device).reshape(3, 1, 1) for x in (how.mean, how.std))
    patches = pixels.float().mul_(1 / 255).sub_(mean).div_(std)
    patches = torch.cat([patches] * how.temporal_patch_size, 2)  # half the time of expanding and copying
    return patches.reshape(rows * columns, -1), (1, rows, columns)


def to_pil(image: torch.Tensor) -> Image.Image:
    """An IMAGE tensor as RGB, values cut to whole bytes as ComfyUI's Save Image does. Alpha is dropped."""
    from PIL import Image

    return Image.fromarray(_bytes(image).numpy())


def from_pil(picture: Image.Image) -> torch.Tensor:
    """Inverse of `to_pil`: float32 [H, W, 3] in 0..1."""
    return _bytes_of(picture.convert("RGB")).float() / 255


def pictures(made: object) -> list[tuple[object, torch.Tensor]]:
    """What a generator made, as pairs: each picture as it came, and as an IMAGE tensor [H, W, C].

    Takes a PIL picture, a numpy array or a tensor, or a list of these. Arrays are [H, W], [H, W, C] or
    [C, H, W], or a batch of one of the last two, floats 0..1 or whole bytes.
    """
    if isinstance(made, list | tuple):
        return [pair for one in made for pair in pictures(one)]
    if hasattr(made, "convert"):
        return [(made, from_pil(made))]
    if not isinstance(made, torch.Tensor) and not hasattr(made, "__array_interface__"):
        raise ValueError(
            f"A picture must be a PIL image, a numpy array or a tensor, not {type(made).__name__}. Of a "
            "diffusers pipeline, take `.images`."
        )
    if len(made.shape) == 4:
        return [pair for one in made for pair in pictures(one)]
    values = torch.as_tensor(made)
    if values.dim() == 2:
        values = values[..., None]
    if values.dim() == 3 and values.shape[-1] not in (1, 3, 4) and values.shape[0] in (1, 3, 4):
        values = values.movedim(0, -1)
    return [(made, values.float() / 255 if values.dtype == torch.uint8 else values)]


def thumbnail(image: torch.Tensor, side: int = 320) -> bytes:
    """A picture as a JPEG of at most `side` pixels, some 20 kB: enough to remember it by."""
    picture = to_pil(torch.nan_to_num(image))
    picture.thumbnail((side, side))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88)
    return data.getvalue()


def load(file: Path) -> torch.Tensor:
    """The picture in a file, as `from_pil`; OSError if it is none."""
    from PIL import Image

    with Image.open(file) as picture:
        return from_pil(picture)


def image_hash(image: torch.Tensor) -> str:
    """SHA-256 of a picture's bytes and size: equal for what would be saved as equal files."""
    pixels = _bytes(image)
    digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]} ".encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(name, value, "a whole number of at least 1")
    return value


def _three(name: str, value: object) -> tuple[float, ...]:
    numbers = isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value)
    if not numbers or len(value) != 3 or (name == "image_std" and not all(value)):
        raise _wrong(
            name, value, "three numbers, one per colour" + (", none 0" if name == "image_std" else "")
        )
    return tuple(value)


def _wrong(name: str, value: object, rule: str) -> ModelFolderError:
    return ModelFolderError(
        f"preprocessor_config.json: {name} must be {rule}, not {value!r}. Download the model's files again."
    )


def _bytes(image: torch.Tensor) -> torch.Tensor:
    """Any accepted IMAGE as uint8 [H, W, 3] on the CPU."""
    if (
        not isinstance(image, torch.Tensor)
        or image.dim() != 3
        or image.shape[-1] not in (1, 3, 4)
        or not image.numel()
    ):
        shape = tuple(image.shape) if isinstance(image, torch.Tensor) else type(image).__name__
        raise ValueError(
            "image must be a tensor [height, width, channels] with 1, 3 or 4 channels and no empty side, "
            f"not {shape}. Of a batch, pass one picture at a time."
        )
    if not image.is_floating_point():
        raise ValueError(
            f"image must hold floats from 0 to 1, not {image.dtype}. Divide whole numbers by 255."
        )
    pixels = image.detach()[..., :3].float()
    # a sum shows what is not finite in a tenth of the time; only a suspicious one is looked into
    if not torch.isfinite(pixels.sum()) and not torch.isfinite(pixels).all():
        raise ValueError(
            "image holds NaN or infinite values, often from a VAE in half precision. Decode it in float32."
        )
    levels = (pixels * 255).clamp_(0, 255).to(torch.uint8)
    return levels.to("cpu").expand(-1, -1, 3).contiguous()


def _bytes_of(picture: Image.Image) -> torch.Tensor:
    # through bytes, so that numpy is not needed and the tensor owns its memory
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return pixels.reshape(picture.height, picture.width, 3)
