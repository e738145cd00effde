"""Which font draws which character: the shipped fonts first, then those of the system.

Only the character table of a font file is read here; Pillow draws.
"""

from __future__ import annotations

import os
import struct
import sys
import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

_SHIPPED = Path(__file__).parent / "fonts"
_REGULAR, _BOLD, _CHINESE, _EMOJI = (
    _SHIPPED / name
    for name in ("Inter-Regular.otf", "Inter-SemiBold.otf", "NotoSansSC-Regular.otf", "NotoEmoji-Regular.ttf")
)
_FOLDERS = {
    "win32": (r"C:\Windows\Fonts",),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts"),
}.get(sys.platform, ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"))
_WANTED = (
    # Chinese, Japanese, Korean
    *("msyh.ttc", "msjh.ttc", "YuGothR.ttc", "malgun.ttf", "simsunb.ttf"),
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "SourceHanSansSC-Regular.otf"),
    *("wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf"),
    # all else
    *("segoeui.ttf", "seguisym.ttf", "Nirmala.ttc", "Nirmala.ttf", "LeelawUI.ttf"),
    *("Arial Unicode.ttf", "Apple Symbols.ttf", "GeezaPro.ttc", "Thonburi.ttc"),
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf"),
    *("NotoSansThai-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansSymbols2-Regular.ttf"),
    "FreeSans.ttf",
)

Face = tuple[Path, int]
"""A font file, and the index of the font in it."""


@lru_cache(maxsize=8192)
def face_of(character: str, bold: bool = False) -> Face | None:
    """The font for one character; None if no font has it."""
    code = ord(character)
    for file in (_BOLD if bold else _REGULAR, _CHINESE, _EMOJI):
        if code in _characters(file, 0):
            return file, 0
    return next((face for face in _system() if code in _characters(*face)), None)


def has_bold(text: str) -> bool:
    """Whether the bold font has all characters: text that is bold in parts only looks spotty."""
    return all(character.isspace() or face_of(character, True) == (_BOLD, 0) for character in text)


@lru_cache(maxsize=256)
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(face[0]), size, index=face[1])


def drawable(text: str) -> str:
    """`text` without invisible characters; those that no font has become their code points, such as
    [U+20BB7]."""
    shown = []
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if character in "\n\t":
            shown.append(" " if character == "\t" else character)
        elif category in ("Cc", "Cf") or 0xFE00 <= ord(character) <= 0xFE0F:
            continue  # joiners, variation selectors and direction marks only change other characters
        elif category == "Zs":
            shown.append(" ")
        elif category in ("Zl", "Zp"):
            shown.append("\n")
        else:
            shown.append(character if face_of(character) else f"[U+{ord(character):04X}]")
    return "".join(shown)


@lru_cache(maxsize=1)
def _system() -> tuple[Face, ...]:
    """Fonts of the system that complement the shipped ones, best first."""
    files: dict[str, Path] = {}
    for folder in _FOLDERS:
        for directory, _, names in os.walk(Path(folder).expanduser()):
            for name in names:
                files.setdefault(name, Path(directory, name))
    return tuple((files[name], 0) for name in _WANTED if name in files)


@lru_cache(maxsize=64)
def _characters(file: Path, index: int) -> frozenset[int]:
    """All characters of a font, from its "cmap" table; empty if the file is not a font."""
    try:
        data = file.read_bytes()
        start = struct.unpack_from(f">{index + 1}L", data, 12)[index] if data[:4] == b"ttcf" else 0
        count = struct.unpack_from(">H", data, start + 4)[0]
        tables = (struct.unpack_from(">4sLLL", data, start + 12 + 16 * place) for place in range(count))
        (cmap,) = (offset for tag, _, offset, _ in tables if tag == b"cmap")
        parts = struct.unpack_from(">H", data, cmap + 2)[0]
        found: set[int] = set()
        for place in range(parts):
            platform, encoding, offset = struct.unpack_from(">HHL", data, cmap + 4 + 8 * place)
            if (platform, encoding) in ((3, 1), (3, 10), (0, 3), (0, 4), (0, 6)):
                found |= _mapped(data, cmap + offset)
    except (OSError, struct.error, ValueError, IndexError):
        return frozenset()
    return frozenset(found)


def _mapped(data: bytes, at: int) -> set[int]:
    form = struct.unpack_from(">H", data, at)[0]
    found: set[int] = set()
    if form == 12:
        (groups,) = struct.unpack_from(">L", data, at + 12)
        for group in range(groups):
            first, last, _ = struct.unpack_from(">LLL", data, at + 16 + 12 * group)
            found.update(range(first, last + 1))
    elif form == 4:
        segments = struct.unpack_from(">H", data, at + 6)[0] // 2
        columns = [
            struct.unpack_from(f">{segments}H", data, at + 14 + 2 * segments * number + 2 * (number > 0))
            for number in range(4)
        ]
        for segment, (last, first, delta, reach) in enumerate(zip(*columns, strict=True)):
            for code in range(first, min(last, 0xFFFE) + 1):
                if reach == 0:
                    glyph = (code + delta) & 0xFFFF
                else:
                    place = at + 16 + 2 * (3 * segments + segment) + reach + 2 * (code - first)
                    glyph = struct.unpack_from(">H", data, place)[0]
                if glyph:
                    found.add(code)
    return found
