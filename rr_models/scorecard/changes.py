"""What is new in a prompt: the words of two texts, marked as the same, added or removed."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from .typeset import ADDED, REMOVED, SAME

_IDEOGRAPH = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
# blanks go with the word before them: as words of their own they would be most of all words, and all the same
_WORD = re.compile(rf"(?:[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+|\s|.)\s*", re.S)
_NEAR = 5
"""Words kept beside a change, so that it can be found again."""
_COMPARED = 2000
"""Words of either text that are compared; time grows with their product."""


def changes(before: str, after: str, brief: bool = False) -> list[tuple[str, str]]:
    """Spans that read as both texts: those not ADDED are `before`, those not REMOVED are `after`. Blanks are
    not compared, and are those of `after`.

    `brief`: long stretches of the same words become " … ". Texts of more than some thousand words are not
    compared: all of one is removed, all of the other added.
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
    """The words next to what comes before and behind, and a sign for the rest."""
    head, tail = 0 if first else _NEAR, 0 if last else _NEAR
    if len(words) <= head + tail + 4:
        return "".join(words)
    behind = "".join(words[len(words) - tail :]) if tail else ""
    return f"{''.join(words[:head])}… {behind}"
