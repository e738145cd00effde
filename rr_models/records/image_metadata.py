"""Texts inside picture files: PNG text chunks, and EXIF in WebP and JPEG, as ComfyUI writes and reads them.

Knows nothing of what the texts say.
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
"""The one text that is plain words for people and galleries; all others are JSON in ASCII."""

_JPEG_ROOM = 65_533 - 6
"""Bytes of EXIF that a JPEG holds."""
# ComfyUI's frontend takes every text of a WebP's EXIF for "name:JSON". These tags are those of core's WebP.
_TAGS = {"prompt": 0x0110, "workflow": 0x010F}
_OTHERS = (0x010E, 0x0131, 0x013B, 0x013C, 0x8298, 0x010D, 0x011D)  # more places for text, by their numbers
_EXIF_IFD, _USER_COMMENT, _UNICODE = 0x8769, 0x9286, b"UNICODE\0"


def save(
    picture: Image.Image,
    file: Path,
    texts: Mapping[str, str],
    quality: int = 90,
    needed: Collection[str] = (),
) -> tuple[str, ...]:
    """Write a picture with `texts` in it, in the format of the file's ending; returns the names of the texts
    that it has no room for: a JPEG holds 64 KB, and the first texts are put in first.

    `quality` 1 (smallest) to 100 is for JPEG and WebP; at 100 a WebP loses nothing. ValueError if one of the
    texts `needed` finds no room; then nothing is written.
    """
    kind = file.suffix.lower()
    if kind == ".png":
        picture.save(file, pnginfo=_chunks(texts), compress_level=4)
        return ()
    if kind == ".webp":
        picture.save(file, exif=_exif(texts), quality=quality, lossless=quality == 100, exact=True)
        return ()
    held = {}
    for name, text in texts.items():
        if len(_exif({**held, name: text})) <= _JPEG_ROOM:
            held[name] = text
        elif name in needed:
            raise ValueError(
                f"{file.name}: {name} takes {len(text)} bytes, and a JPEG holds 64 KB of texts. "
                "Save it as png or webp."
            )
    plain = picture.convert("RGB")
    plain.save(file, "JPEG", exif=_exif(held), quality=quality, subsampling=0 if quality >= 90 else -1)
    return tuple(name for name in texts if name not in held)


def as_texts(workflow: Mapping[str, object]) -> dict[str, str]:
    """ComfyUI's data by name ("prompt", "workflow") as texts; what is None is left out."""
    return {name: json.dumps(data) for name, data in workflow.items() if data is not None}


def load(picture: Image.Image) -> dict[str, str]:
    """All texts of an open picture by name; nothing of an EXIF that is damaged."""
    from PIL.PngImagePlugin import PngImageFile

    if isinstance(picture, PngImageFile):
        picture.load()  # texts may stand behind the picture
        return {name: str(text) for name, text in picture.text.items()}
    exif = picture.getexif()
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
    free = iter(_OTHERS)
    for name, text in texts.items():
        if name == PARAMETERS:
            exif[_EXIF_IFD] = {_USER_COMMENT: _UNICODE + text.encode("utf-16-be", "replace")}
        elif (tag := _TAGS.get(name) or next(free, None)) is not None:
            exif[tag] = f"{name}:{text}"
    return exif.tobytes()
