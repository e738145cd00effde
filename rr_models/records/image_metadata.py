"""Texts in image files: PNG text chunks, and EXIF in WebP and JPEG, as ComfyUI writes and reads them.

Knows nothing of the content of the texts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
PARAMETERS = "parameters"
"""The one text in plain words, for people and galleries; all others are JSON in ASCII."""

_JPEG_EXIF_BYTES = 65_533 - 6
"""Most bytes of EXIF in a JPEG."""
# ComfyUI's frontend reads every text of a WebP's EXIF as "name:JSON". ComfyUI itself uses these two tags.
_TAGS = {"prompt": 0x0110, "workflow": 0x010F}
_OTHER_TAGS = (0x010E, 0x0131, 0x013B, 0x013C, 0x8298, 0x010D, 0x011D)  # more text tags
_EXIF_IFD, _USER_COMMENT, _UNICODE = 0x8769, 0x9286, b"UNICODE\0"


def save(
    image: Image.Image,
    file: Path,
    texts: Mapping[str, str],
    quality: int = 90,
    needed: Collection[str] = (),
) -> tuple[str, ...]:
    """Write an image with `texts`, in the format of the file's suffix. Returns the names of the texts left
    out: a JPEG holds 64 KB of them, and the first ones come first.

    `quality` from 1 (smallest) to 100 is for JPEG and WebP; a WebP at 100 is lossless. ValueError if one of
    the texts named in `needed` does not fit; then nothing is written.
    """
    suffix = file.suffix.lower()
    if suffix == ".png":
        image.save(file, pnginfo=_chunks(texts), compress_level=4)
        return ()
    if suffix == ".webp":
        image.save(file, exif=_exif(texts), quality=quality, lossless=quality == 100, exact=True)
        return ()
    fitting = {}
    for name, text in texts.items():
        if len(_exif({**fitting, name: text})) <= _JPEG_EXIF_BYTES:
            fitting[name] = text
        elif name in needed:
            raise ValueError(
                f"{file.name}: {name} takes {len(text)} bytes, and a JPEG holds 64 KB of texts. "
                "Save it as png or webp."
            )
    plain = image.convert("RGB")
    plain.save(file, "JPEG", exif=_exif(fitting), quality=quality, subsampling=0 if quality >= 90 else -1)
    return tuple(name for name in texts if name not in fitting)


def as_texts(workflow: Mapping[str, object]) -> dict[str, str]:
    """ComfyUI's data by name ("prompt", "workflow") as JSON texts, without those that are None."""
    return {name: json.dumps(data) for name, data in workflow.items() if data is not None}


def load(image: Image.Image) -> dict[str, str]:
    """All texts of an open image, by name. A damaged EXIF has none."""
    from PIL.PngImagePlugin import PngImageFile

    if isinstance(image, PngImageFile):
        image.load()  # texts may come after the pixels
        return {name: str(text) for name, text in image.text.items()}
    exif = image.getexif()
    texts = {}
    for value in exif.values():
        name, colon, text = value.partition(":") if isinstance(value, str) else ("", "", "")
        if colon and name.isidentifier():
            texts[name] = text
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if isinstance(comment, bytes) and comment.startswith(_UNICODE):
        texts[PARAMETERS] = comment[len(_UNICODE) :].decode("utf-16-be", "replace")
    return texts


def _chunks(texts: Mapping[str, str]):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    return info


def _exif(texts: Mapping[str, str]) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    free_tags = iter(_OTHER_TAGS)
    for name, text in texts.items():
        if name == PARAMETERS:
            exif[_EXIF_IFD] = {_USER_COMMENT: _UNICODE + text.encode("utf-16-be", "replace")}
        elif (tag := _TAGS.get(name) or next(free_tags, None)) is not None:
            exif[tag] = f"{name}:{text}"
    return exif.tobytes()
