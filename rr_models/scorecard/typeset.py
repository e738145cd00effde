"""Text with marked words -> lines that fit a width, as runs of one font each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .faces import Face, drawable, face_of, font

SAME, ADDED, REMOVED = "same", "added", "removed"

Spans = Sequence[tuple[str, str]]
"""Consecutive (text, mark); the mark is SAME, ADDED or REMOVED."""


@dataclass(frozen=True)
class TextRun:
    """Text of one font and one mark, at `x` pixels from the start of its line."""

    text: str
    face: Face
    x: float
    width: float
    mark: str = SAME


Line = tuple[TextRun, ...]

# scripts that may be broken between any two characters
_IDEOGRAPH = "\u2e80-\u2fff\u3001-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_NOT_FIRST = "，。、；：！？）】》」』〉〕…—·％”’"
_NOT_LAST = "（【《「『〈〔“‘"
# a word with the blanks after it, or one ideograph with the punctuation that must stay beside it
_PIECE = re.compile(
    rf"\n|[{_NOT_LAST}]*[{_IDEOGRAPH}][{_NOT_FIRST}]*\s?|[^\s{_IDEOGRAPH}]+[^\S\n]*[{_NOT_FIRST}]*|[^\S\n]+"
)


def lines(
    spans: Spans, size: int, width: int, bold: bool = False, max_lines: int = 0, more: str = ""
) -> list[Line]:
    """The text broken into lines of at most `width` pixels. Beyond `max_lines` (0: no limit), the last line
    ends with "…" and `more`, in which `{count}` is the number of characters left out."""
    pieces = [piece for text, mark in spans for piece in _pieces(drawable(text), mark, size, width, bold)]
    broken = _break(pieces, size, width, bold)
    if not max_lines or len(broken) <= max_lines:
        return [_runs(line, size, bold) for line in broken]
    held = broken[:max_lines]
    left = sum(len(text) for line in broken[max_lines:] for text, _ in line)
    last = held[-1]
    while True:
        if last:
            said, mark = last[-1]
            last[-1] = (said.rstrip(" ,;:，；：、"), mark)
            left += len(said) - len(last[-1][0])
        note = "…" + more.format(count=left)
        if not last or _length([*last, (note, SAME)], size, bold) <= width:
            break
        text, mark = last.pop()
        if not last and len(text) > 1:  # a word as long as the line
            last.append((text[:-1], mark))
            left += 1
        else:
            left += len(text)
    held[-1] = [*last, (note, SAME)]
    return [_runs(line, size, bold) for line in held]


def width_of(text: str, size: int, bold: bool = False) -> float:
    """Width of `text` on one line, in pixels."""
    return _length([(drawable(text), SAME)], size, bold)


def _pieces(text: str, mark: str, size: int, width: int, bold: bool) -> Iterator[tuple[str, str]]:
    for piece in _PIECE.findall(text):
        while piece != "\n" and len(piece) > 1 and _length([(piece.rstrip(), mark)], size, bold) > width:
            fits = max(1, int(len(piece) * width / _length([(piece, mark)], size, bold)) - 1)
            yield piece[:fits], mark
            piece = piece[fits:]
        yield piece, mark


def _break(
    pieces: Sequence[tuple[str, str]], size: int, width: int, bold: bool
) -> list[list[tuple[str, str]]]:
    broken: list[list[tuple[str, str]]] = [[]]
    used = 0.0
    for text, mark in pieces:
        if text == "\n":
            broken.append([])
            used = 0.0
            continue
        wide = _length([(text, mark)], size, bold)
        if broken[-1] and used + _length([(text.rstrip(), mark)], size, bold) > width:
            broken.append([])
            used = 0.0
        if not broken[-1] and not text.strip():
            continue  # no line starts with a blank
        broken[-1].append((text, mark))
        used += wide
    while len(broken) > 1 and not broken[-1]:
        broken.pop()
    return broken


def _runs(line: Sequence[tuple[str, str]], size: int, bold: bool) -> Line:
    runs: list[TextRun] = []
    x = 0.0
    for mark, face, text in _stretches(line, bold):
        wide = _measure(text, face, size)
        runs.append(TextRun(text, face, x, wide, mark))
        x += wide
    return tuple(runs)


def _length(line: Sequence[tuple[str, str]], size: int, bold: bool) -> float:
    return sum(_measure(text, face, size) for _, face, text in _stretches(line, bold))


def _stretches(line: Sequence[tuple[str, str]], bold: bool) -> Iterator[tuple[str, Face, str]]:
    """(mark, font, text) for each run of characters with the same mark and font."""
    held: tuple[str, Face] | None = None
    text = ""
    for piece, mark in line:
        for character in piece:
            face = face_of(character, bold)
            assert face is not None, "drawable() leaves only characters that some font has"
            if held == (mark, face):
                text += character
                continue
            if held:
                yield *held, text
            held, text = (mark, face), character
    if held:
        yield *held, text


@lru_cache(maxsize=65536)
def _measure(text: str, face: Face, size: int) -> float:
    return font(face, size).getlength(text)
