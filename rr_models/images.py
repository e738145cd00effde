"""Images: ComfyUI IMAGE tensors [H, W, C] to and from PIL, their hash, and the patches that a Qwen3-VL takes.

The patches of an RGB image equal those of training, to the level. Training resized twice, and so does this:
LLaMA-Factory brought an image within its bounds (the pixel cap; for thumbnails, 1024 pixels and 28 a side),
then the Hugging Face image processor brought its sides to whole tokens. Each resize is Pillow's bicubic and
rounds to bytes: a single one to the final size would leave some pixels nearly a hundred levels off.

Alpha is dropped, as in training. Hugging Face's image processor lays a transparent image on white instead.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .errors import ModelFolderError

if TYPE_CHECKING:
    from PIL import Image

PIXEL_CAP = 802_816
"""Pixels of the largest image in the critics' training: 784 tokens of 32 x 32."""

_TRAINING_MIN_PIXELS, _TRAINING_MIN_SIDE = 32 * 32, 28
"""What training enlarged a smaller image to."""

_MAX_ASPECT_RATIO = (
    200  # beyond this one side would be a fraction of a token; Hugging Face has the same limit
)


@dataclass(frozen=True)
class Preprocessing:
    """How a model takes its images. `read` builds it from the settings in a model's folder."""

    patch_size: int = 16
    merge_size: int = 2
    temporal_patch_size: int = 2
    min_pixels: int = 65_536
    max_pixels: int = PIXEL_CAP
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @classmethod
    def read(cls, settings: dict, max_pixels: int | None = None) -> Preprocessing:
        """From the content of preprocessor_config.json.

        `max_pixels` replaces the cap of training, but never exceeds what the folder itself allows.
        ModelFolderError names a setting that is wrong, ValueError a `max_pixels` below 1.
        """
        if max_pixels is not None and max_pixels < 1:
            raise ValueError(
                f"max_pixels must be at least 1, not {max_pixels}; leave it out for the cap of training."
            )
        size = settings.get("size") or {}
        if not isinstance(size, dict):
            raise _invalid_setting("size", size, 'an object like {"shortest_edge": 65536, ...}')
        allowed = _positive_int(
            "max_pixels", size.get("longest_edge") or settings.get("max_pixels") or PIXEL_CAP
        )
        smallest = _positive_int(
            "min_pixels", size.get("shortest_edge") or settings.get("min_pixels") or cls.min_pixels
        )
        largest = min(max_pixels or PIXEL_CAP, allowed)
        return cls(
            patch_size=_positive_int("patch_size", settings.get("patch_size", cls.patch_size)),
            merge_size=_positive_int("merge_size", settings.get("merge_size", cls.merge_size)),
            temporal_patch_size=_positive_int(
                "temporal_patch_size", settings.get("temporal_patch_size", cls.temporal_patch_size)
            ),
            min_pixels=min(smallest, largest),
            max_pixels=largest,
            mean=_three_numbers("image_mean", settings.get("image_mean", cls.mean)),
            std=_three_numbers("image_std", settings.get("image_std", cls.std)),
        )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) of an image as the model sees it. ValueError if one side is over 200 times the
        other."""
        return self._sizes(height, width)[-1]

    def resize(self, image: Image.Image) -> Image.Image:
        """An RGB image as the model sees it, resized as in training. ValueError as for `size`."""
        from PIL.Image import Resampling

        for height, width in self._sizes(image.height, image.width):
            if (height, width) != (image.height, image.width):
                image = image.resize((width, height), Resampling.BICUBIC)
        return image

    def _sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """The (height, width) that training resized an image to, one after the other."""
        if max(height, width) > _MAX_ASPECT_RATIO * min(height, width):
            raise ValueError(
                f"image is {width} x {height}; no side may be over {_MAX_ASPECT_RATIO} times the other. Crop "
                "it."
            )
        # LLaMA-Factory's, rounded down; what is within its bounds stays as it is
        pixels = min(max(height * width, _TRAINING_MIN_PIXELS), self.max_pixels)
        factor = math.sqrt(pixels / (height * width))
        bounded = max(1, int(height * factor)), max(1, int(width * factor))
        enlarged = max(bounded[0], _TRAINING_MIN_SIDE), max(bounded[1], _TRAINING_MIN_SIDE)
        return [bounded, enlarged, self._whole_tokens(*enlarged)]

    def _whole_tokens(self, height: int, width: int) -> tuple[int, int]:
        """The Hugging Face image processor's size: sides of whole tokens, `min_pixels` at least."""
        token = self.patch_size * self.merge_size
        rounded = round(height / token) * token, round(width / token) * token
        if rounded[0] * rounded[1] < self.min_pixels:
            factor = math.sqrt(self.min_pixels / (height * width))
            return math.ceil(height * factor / token) * token, math.ceil(width * factor / token) * token
        return max(token, rounded[0]), max(token, rounded[1])


def pixel_values(
    image: torch.Tensor, preprocessing: Preprocessing, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """An image as patches, float32 [n, 3 * temporal * patch * patch] in merging order, with its grid
    (1, h, w).

    The patches are laid out on `device`, so that only bytes travel there. Pillow resizes: torch's own resize
    is faster, but at some sizes it puts some pixels many levels off.
    """
    pixels = _bytes_from_pil(preprocessing.resize(to_pil(image)))
    height, width = pixels.shape[:2]
    patch, merge = preprocessing.patch_size, preprocessing.merge_size
    rows, columns = height // patch, width // patch
    # merged rows, columns, then rows, columns within, colour; as bytes, which are a quarter to move
    pixels = pixels.to(device).reshape(rows // merge, merge, patch, columns // merge, merge, patch, 3)
    pixels = pixels.permute(0, 3, 1, 4, 6, 2, 5).reshape(rows * columns, 3, 1, patch * patch)
    mean, std = (
        torch.tensor(values, device=device).reshape(3, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    patches = pixels.float().mul_(1 / 255).sub_(mean).div_(std)
    # half the time of expanding and copying
    patches = torch.cat([patches] * preprocessing.temporal_patch_size, 2)
    return patches.reshape(rows * columns, -1), (1, rows, columns)


def to_pil(image: torch.Tensor) -> Image.Image:
    """An IMAGE tensor [H, W, C] as RGB, values truncated to bytes as ComfyUI's Save Image does. Alpha is
    dropped."""
    from PIL import Image

    return Image.fromarray(_to_bytes(image).numpy())


def from_pil(image: Image.Image) -> torch.Tensor:
    """Inverse of `to_pil`: float32 [H, W, 3] in 0..1."""
    return _bytes_from_pil(image.convert("RGB")).float() / 255


def generated_images(output: Any) -> list[tuple[Any, torch.Tensor]]:
    """What a generator returned, as pairs: each image as it came, and as an IMAGE tensor [H, W, C].

    Accepts a PIL image, a numpy array or a tensor, or a list of these. Arrays are [H, W], [H, W, C] or
    [C, H, W], or a batch of one of the last two: floats in 0..1 or bytes. ValueError for anything else.
    """
    if isinstance(output, list | tuple):
        return [pair for item in output for pair in generated_images(item)]
    if hasattr(output, "convert"):
        return [(output, from_pil(output))]
    if not isinstance(output, torch.Tensor) and not hasattr(output, "__array_interface__"):
        raise ValueError(
            f"An image must be a PIL image, a numpy array or a tensor, not {type(output).__name__}. Of a "
            "diffusers pipeline, pass `.images`."
        )
    if len(output.shape) == 4:
        return [pair for item in output for pair in generated_images(item)]
    values = torch.as_tensor(output)
    if values.dim() == 2:
        values = values[..., None]
    if values.dim() == 3 and values.shape[-1] not in (1, 3, 4) and values.shape[0] in (1, 3, 4):
        values = values.movedim(0, -1)
    return [(output, values.float() / 255 if values.dtype == torch.uint8 else values)]


def thumbnail(image: torch.Tensor, side: int = 320) -> bytes:
    """An image [H, W, C] as a JPEG whose longer side has at most `side` pixels: about 20 kB."""
    small = to_pil(torch.nan_to_num(image))
    small.thumbnail((side, side))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=88)
    return data.getvalue()


def load_image(file: Path | str) -> torch.Tensor:
    """The image in a file as float32 [H, W, 3] in 0..1. ValueError names a file that cannot be read."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return from_pil(image)
    # Pillow raises SyntaxError for some broken files
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} cannot be read as an image ({error}).") from error


def image_hash(image: torch.Tensor) -> str:
    """SHA-256 of an image's bytes and size: equal for images that would be saved as equal files."""
    pixels = _to_bytes(image)
    digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]} ".encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


def _positive_int(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _invalid_setting(name, value, "a whole number of at least 1")
    return value


def _three_numbers(name: str, value: object) -> tuple[float, ...]:
    numbers = value if isinstance(value, list | tuple) else ()
    numeric = all(isinstance(number, int | float) for number in numbers)
    if len(numbers) != 3 or not numeric or (name == "image_std" and not all(numbers)):
        nonzero = ", none of them 0" if name == "image_std" else ""
        raise _invalid_setting(name, value, f"three numbers, one per colour{nonzero}")
    return tuple(numbers)


def _invalid_setting(name: str, value: object, rule: str) -> ModelFolderError:
    return ModelFolderError(
        f"preprocessor_config.json: {name} must be {rule}, not {value!r}. Download the model's files again."
    )


def _to_bytes(image: torch.Tensor) -> torch.Tensor:
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
            f"not {shape}. Of a batch, pass one image at a time."
        )
    if not image.is_floating_point():
        raise ValueError(f"image must hold floats from 0 to 1, not {image.dtype}. Divide integers by 255.")
    pixels = image.detach()[..., :3].float()
    # a sum reveals non-finite values in a tenth of the time; only a suspicious one is checked in full
    if not torch.isfinite(pixels.sum()) and not torch.isfinite(pixels).all():
        raise ValueError(
            "image holds NaN or infinite values, often from a VAE in half precision. Decode it in float32."
        )
    levels = (pixels * 255).clamp_(0, 255).to(torch.uint8)
    return levels.to("cpu").expand(-1, -1, 3).contiguous()


def _bytes_from_pil(image: Image.Image) -> torch.Tensor:
    # through bytes, so that numpy is not needed and the tensor owns its memory
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(image.height, image.width, 3)
