"""The words of two texts, marked as the same, added or removed."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from .typeset import ADDED, REMOVED, SAME

_IDEOGRAPH = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
# a blank belongs to the word before it: as words of their own, blanks would be half of all words
_WORD = re.compile(rf"(?:[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+|\s|.)\s*", re.S)
_NEAR, _SENTENCE = 5, 14
"""Unchanged words shown on either side of a change: so many, or up to the end of a sentence that is near."""
_END = re.compile(r"[.!?;。！？；]\s*")
_COMPARED = 2000
"""Longest text, in words, that is compared: the time grows with the product of both lengths."""


def changes(before: str, after: str, brief: bool = False) -> list[tuple[str, str]]:
    """(text, mark) spans: without those ADDED they read as `before`, without those REMOVED as `after`. Blanks
    are not compared; they are those of `after`.

    `brief` shortens long unchanged stretches to " … ". Texts of more than 2,000 words are not compared: all
    of one is removed, all of the other added.
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > _COMPARED:
        return [(before, REMOVED), (after, ADDED)]
    spans: list[tuple[str, str]] = []
    steps = SequenceMatcher(
        None, *([word.strip() for word in text] for text in (old, new)), autojunk=False
    ).get_opcodes()
    for number, (kind, a, b, c, d) in enumerate(steps):
        if kind == "equal":
            first, last = number == 0, number == len(steps) - 1
            spans.append((_shortened(new[c:d], first, last) if brief else "".join(new[c:d]), SAME))
            continue
        if a < b:
            spans.append(("".join(old[a:b]), REMOVED))
        if c < d:
            spans.append(("".join(new[c:d]), ADDED))
    return [span for span in spans if span[0]]


def _shortened(words: list[str], first: bool, last: bool) -> str:
    """The words next to the changes on either side, with "…" for the rest."""
    head = 0 if first else _near(words, after=True)
    tail = 0 if last else _near(words, after=False)
    if len(words) <= head + tail + 4:
        return "".join(words)
    behind = "".join(words[len(words) - tail :]) if tail else ""
    return f"{''.join(words[:head])}… {behind}"


def _near(words: list[str], after: bool) -> int:
    """How many words belong to the sentence of the change before (`after`) or behind these words."""
    ends = [number for number, word in enumerate(words if after else words[::-1]) if _END.fullmatch(word)]
    if after:
        return ends[0] + 1 if ends and ends[0] < _SENTENCE else _NEAR
    return ends[0] if ends and 0 < ends[0] <= _SENTENCE else _NEAR
