"""Turn a critique's refined request into the next prompt for one's generator. Pure text work.

The critic writes for a reader; a generator may need fixed words around it, terms that must not be lost, or a
shorter text. Whatever is changed or found missing is said in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .critique import Critique

# A Chinese, Japanese or Korean character counts as a word, as such writing has no blanks.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af][,.;:!?，。；：！？、]*|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s|$)|[。！？][」』”）]*")
_CLAUSE_END = re.compile(r"[,;:](?=\s|$)|[，；：、]")


@dataclass(frozen=True)
class Revision:
    """The next prompt, and what was done to get it."""

    prompt: str
    notes: tuple[str, ...] = ()


def kept_terms(text: str) -> tuple[str, ...]:
    """The terms of a list written with commas or line breaks, in order, without repeats."""
    terms = (term.strip() for term in re.split(r"[,，\n]", text))
    return tuple(dict.fromkeys(term for term in terms if term))


def revise(
    critique: Critique, *, prefix: str = "", suffix: str = "", keep: Sequence[str] = (), max_words: int = 0
) -> Revision:
    """The next prompt: prefix, refined request (cut to the limit), kept terms that it lost, suffix.

    `max_words` bounds the whole prompt (0: no limit) and is met by shortening the refined request alone: at
    the end of a sentence, else at a comma, if that keeps at least half of the room; else after a word.
    """
    if max_words < 0:
        raise ValueError(f"max_words must be 0 (no limit) or more, not {max_words}.")
    notes = []
    refined = critique.refined_request.strip()
    if not refined:
        notes.append("The critic gave no refined request; the request itself is used again.")
        refined = critique.request.strip()
    elif _same(refined, critique.request):
        notes.append("The refined request is the request unchanged.")

    prefix, suffix = prefix.strip(), suffix.strip()
    text, missing = _fit(refined, f"{prefix} {suffix}", tuple(dict.fromkeys(keep)), max_words)
    if text != refined:
        notes.append(
            f"Shortened from {count_words(refined)} to {count_words(text)} words (limit {max_words})."
        )
    if missing:
        notes.append(f"Kept terms added: {', '.join(missing)}.")
        text = ", ".join([*filter(None, [text.rstrip(" .。,，")]), *missing])
    prompt = " ".join(filter(None, [prefix, text, suffix]))
    if max_words and count_words(prompt) > max_words:
        notes.append(f"Prefix, suffix and kept terms alone need more than {max_words} words.")
    return Revision(prompt, tuple(notes))


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(_WORD.findall(text))


def _fit(refined: str, around: str, keep: Sequence[str], max_words: int) -> tuple[str, tuple[str, ...]]:
    """The refined request cut to the room there is, and the kept terms it then lacks."""
    missing: tuple[str, ...] = ()
    while True:
        text = refined
        if max_words:
            text = _shorten(refined, max(0, max_words - count_words(around) - count_words(" ".join(missing))))
        # What is missing only grows from turn to turn, so this ends.
        lost = tuple(
            term for term in keep if term in missing or not (_holds(text, term) or _holds(around, term))
        )
        if lost == missing:
            return text, missing
        missing = lost


def _shorten(text: str, limit: int) -> str:
    words = list(_WORD.finditer(text))
    if len(words) <= limit:
        return text
    if limit == 0:
        return ""
    cut = text[: words[limit - 1].end()]
    for end in (_SENTENCE_END, _CLAUSE_END):
        ends = [match.end() for match in end.finditer(text) if match.end() <= len(cut)]
        # an early end would lose too much, and may be none at all ("Dr. Smith")
        if ends and 2 * count_words(text[: ends[-1]]) >= limit:
            return text[: ends[-1]].rstrip(" ,;:，；：、")
    return cut


def _holds(text: str, term: str) -> bool:
    """Whether the term stands there as a whole: "cat" is not in "category"."""
    before = r"(?<![A-Za-z0-9])" if term[:1].isascii() and term[:1].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if term[-1:].isascii() and term[-1:].isalnum() else ""
    pattern = re.compile(before + re.escape(term) + after, re.IGNORECASE)
    return bool(pattern.search(text))


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()
