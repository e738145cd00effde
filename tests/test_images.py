"""Images: bytes as ComfyUI saves them, patches as training made them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rr_models.errors import ModelFolderError
from rr_models.images import (
    PIXEL_CAP,
    Preprocessing,
    from_pil,
    image_hash,
    load_image,
    pixel_values,
    to_pil,
)

SETTINGS = {
    "patch_size": 16,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216},
}
PUBLISHED = Preprocessing.read(SETTINGS)


def noise(height: int, width: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(height, width, channels, generator=torch.Generator().manual_seed(height * width))


def hugging_face(**settings):
    """The image processor that works without torchvision, under either of its names."""
    try:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil as Processor,
        )
    except ModuleNotFoundError:
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor as Processor
    size = settings["size"]
    # transformers 4.57 takes the size from these two, 5.x from either
    return Processor(**settings, min_pixels=size["shortest_edge"], max_pixels=size["longest_edge"])


def resized_by_llama_factory(image: Image.Image) -> Image.Image:
    """What LLaMA-Factory, with image_max_pixels at the cap, hands to the image processor."""

    def scaled_to(pixels: int) -> Image.Image:
        scale = math.sqrt(pixels / (image.width * image.height))
        return image.resize((int(image.width * scale), int(image.height * scale)))

    if image.width * image.height > PIXEL_CAP:
        image = scaled_to(PIXEL_CAP)
    if image.width * image.height < 1024:
        image = scaled_to(1024)
    if min(image.size) < 28:
        image = image.resize((max(image.width, 28), max(image.height, 28)))
    return image


@pytest.mark.parametrize(
    ("width", "height"),
    [
        *((832, 1216), (1216, 832), (1152, 896), (1344, 768), (1664, 928), (1920, 1080), (720, 1280)),
        *((256, 256), (512, 512), (896, 896), (1000, 1000), (1024, 1024), (1328, 1328), (2048, 2048)),
        *((480, 320), (500, 300), (777, 333), (897, 895), (64, 64), (200, 40)),
        *((1, 1), (5, 90), (1, 200), (30, 31), (16, 3000), (6400, 100), (12000, 70)),
    ],
)
def test_patches_equal_those_of_training(width: int, height: int):
    processor, image = hugging_face(**SETTINGS), noise(height, width)
    trained = processor(images=[resized_by_llama_factory(to_pil(image))], return_tensors="pt")
    patches, grid = pixel_values(image, PUBLISHED)
    assert [list(grid)] == trained["image_grid_thw"].tolist()
    assert patches.shape == trained["pixel_values"].shape
    assert (patches - trained["pixel_values"]).abs().max() < 1e-6  # a level is 1 / 127.5


def test_settings_come_from_the_folder():
    settings = SETTINGS | {
        "patch_size": 14,
        "temporal_patch_size": 1,
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.3, 0.25],
        "size": {"shortest_edge": 784, "longest_edge": 100_000},
    }
    preprocessing, image = Preprocessing.read(settings), noise(100, 70)
    theirs = hugging_face(**settings)(images=[to_pil(image)], return_tensors="pt")
    patches, _ = pixel_values(image, preprocessing)
    assert (patches - theirs["pixel_values"]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (832, 1216, (736, 1088)),  # in one step it would be 736 x 1056
        (896, 1152, (800, 1024)),
        (1024, 1536, (736, 1088)),
        (1024, 1024, (896, 896)),
        (512, 512, (512, 512)),
    ],
)
def test_sizes_are_those_of_training(height: int, width: int, expected: tuple[int, int]):
    assert PUBLISHED.size(height, width) == expected


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 2_000_000))
def test_any_size_comes_to_whole_tokens_near_the_cap(height: int, width: int, cap: int):
    if max(height, width) > 200 * min(height, width):
        return
    preprocessing = Preprocessing.read(SETTINGS, cap)
    rows, columns = preprocessing.size(height, width)
    assert rows % 32 == columns % 32 == 0 and rows > 0 and columns > 0
    ratio = max(height, width) / min(height, width)
    # rounding a side adds half a token at most, and no side is less than a token
    assert rows * columns <= (preprocessing.max_pixels**0.5 + 32 * ratio**0.5) ** 2 + 32 * 32 * ratio


def test_the_cap_may_be_lowered_but_not_beyond_the_folder():
    assert PUBLISHED.max_pixels == PIXEL_CAP
    assert Preprocessing.read(SETTINGS, 100_000).max_pixels == 100_000
    assert Preprocessing.read(SETTINGS, 10_000).min_pixels == 10_000
    assert Preprocessing.read(SETTINGS, 2_000_000).max_pixels == 2_000_000
    small = SETTINGS | {"size": {"shortest_edge": 9216, "longest_edge": 9216}}
    assert Preprocessing.read(small, 2_000_000).max_pixels == 9216
    assert Preprocessing.read({"min_pixels": 1024, "max_pixels": 4096}).size(640, 640) == (64, 64)
    with pytest.raises(ValueError, match="max_pixels"):
        Preprocessing.read(SETTINGS, 0)


def test_every_byte_survives_the_round_trip():
    image = Image.frombytes("RGB", (16, 16), bytes(range(256)) * 3)
    assert to_pil(from_pil(image)).tobytes() == image.tobytes()


def test_values_are_truncated_not_rounded_and_clamped():
    image = torch.tensor([[[0.999, -1.0, 2.0]]])
    assert to_pil(image).getpixel((0, 0)) == (254, 0, 255)


def test_grey_and_alpha_are_accepted():
    grey, colour = noise(64, 96, 1), noise(64, 96, 4)
    assert to_pil(grey).tobytes() == to_pil(grey.repeat(1, 1, 3)).tobytes()
    assert to_pil(colour).tobytes() == to_pil(colour[..., :3]).tobytes()


def test_half_precision_is_accepted():
    image = noise(32, 32).to(torch.bfloat16)
    assert to_pil(image).tobytes() == to_pil(image.float()).tobytes()


def test_equal_bytes_equal_hash():
    image = noise(64, 96)
    assert image_hash(image) == image_hash(from_pil(to_pil(image)))
    assert image_hash(image) != image_hash(image.flip(0))
    assert image_hash(torch.zeros(2, 8, 3)) != image_hash(torch.zeros(4, 4, 3))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 64, 64, 3), "one image at a time"),
        (torch.zeros(64, 64), r"\(64, 64\)"),
        (torch.zeros(64, 64, 2), "channels"),
        (torch.zeros(0, 64, 3), "empty"),
        (torch.zeros(64, 64, 3, dtype=torch.uint8), "Divide"),
        (torch.full((64, 64, 3), float("nan")), "NaN"),
        (torch.full((64, 64, 3), float("inf")), "infinite"),
        (torch.zeros(1, 201, 3), "Crop"),
        ([[1.0]], "list"),
    ],
)
def test_what_is_not_an_image_is_refused_with_the_fix(image, message: str):
    with pytest.raises(ValueError, match=message):
        pixel_values(image, PUBLISHED)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"size": 802_816}, "size.*802816"),
        ({"size": {"longest_edge": "big"}}, "max_pixels.*big"),
        ({"image_mean": None}, "image_mean.*None"),
        ({"image_std": [0.5, 0.5]}, "image_std"),
        ({"image_std": [0.5, 0.0, 0.5]}, "image_std"),
        ({"patch_size": None}, "patch_size.*None"),
        ({"merge_size": 0}, "merge_size.*0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings: dict, named: str):
    with pytest.raises(ModelFolderError, match=named):
        Preprocessing.read(SETTINGS | settings)


def test_a_file_is_loaded_as_it_was_saved(tmp_path):
    image = Image.frombytes("RGB", (16, 16), bytes(range(256)) * 3)
    image.save(tmp_path / "a.png")
    assert torch.equal(load_image(tmp_path / "a.png"), from_pil(image))


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "chunk"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, damage: str):
    file = tmp_path / "a.png"
    if damage != "missing":
        to_pil(noise(64, 64)).save(file)
        data = file.read_bytes()
        chunk = data.index(b"IDAT")
        broken = {"text": b"words", "cut": data[:500], "chunk": data[:chunk] + b"\0" * 4 + data[chunk + 4 :]}
        file.write_bytes(broken[damage])
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image \("):
        load_image(file)


def test_an_image_too_large_to_decode_is_named(tmp_path, monkeypatch):
    to_pil(noise(64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"a\.png cannot be read as an image .*decompression bomb"):
        load_image(tmp_path / "a.png")
