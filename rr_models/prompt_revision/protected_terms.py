"""Words of a prompt that must survive as they are: a user's own terms, and what means something to programs.

Such a term is one sign while a text is worked on (`Masks`), so that nothing can cut, split or change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PAIRS = {"(": ")", "{": "}", "<": ">"}
_WEIGHT = re.compile(r":\s*[+-]?\d*\.?\d+\s*\)\Z")
_FILE = re.compile(r"<\w+:[^<>]+>\Z")
_PLAIN = re.compile(r"__[\w./*-]+?__|\bembedding:[^\s,()]+")


def protected_terms(text: str) -> tuple[str, ...]:
    """The terms of a list written with commas or line breaks, in order, without repeats. A comma in brackets,
    as in `(red hat, blue coat:1.2)`, belongs to its term."""
    terms, term, closers = [], "", []
    for sign in f"{text}\n":
        if sign == "\n" or (sign in ",，" and not closers):
            terms.append(term.strip())
            term, closers = "", []
            continue
        term += sign
        if sign in _PAIRS:
            closers.append(_PAIRS[sign])
        elif closers and sign == closers[-1]:
            closers.pop()
    return tuple(dict.fromkeys(filter(None, terms)))


def prompt_syntax(text: str) -> tuple[str, ...]:
    """What means something to programs and not to readers: `(weighted:1.2)`, `<lora:name:0.8>`, `{a|b}`,
    `__wildcard__` and `embedding:name`; outermost only, in order, without repeats."""
    found, at = [], 0
    while at < len(text):
        end = _closed(text, at)
        piece = text[at:end]
        plain = _PLAIN.match(text, at)
        if end and (
            (piece[0] == "(" and _WEIGHT.search(piece))
            or (piece[0] == "{" and "|" in piece)
            or _FILE.match(piece)
        ):
            found.append(piece)
            at = end
        elif plain:
            found.append(plain.group())
            at = plain.end()
        else:
            at += 1
    return tuple(dict.fromkeys(found))


def holds(text: str, term: str, case: bool = True) -> bool:
    """Whether the term stands there as a whole: "cat" is not in "category"."""
    return bool(_whole(term, case).search(text))


class Placeholders:
    """Stands one private sign in for each kept term of a text."""

    def __init__(self, text: str, terms: Sequence[str]):
        free = (sign for code in range(0xF0000, 0xFFFFE) if (sign := chr(code)) not in text)
        self.signs = dict(zip(terms, free, strict=False))
        self.restored: list[str] = []
        """Terms that stood there in other case or without their weight."""
        # the longest first: "sks dog" before "sks"
        for term in sorted(terms, key=len, reverse=True):
            sign = self.signs[term]
            exact = _whole(term, True).sub(sign, text)
            if exact == text:
                for variant in self._variants(term):
                    exact = variant.sub(sign, text)
                    if exact != text:
                        self.restored.append(term)
                        break
            text = exact
        self.text = text

    @staticmethod
    def _variants(term: str) -> Iterable[re.Pattern]:
        yield _whole(term, False)
        if (
            term.startswith("(")
            and (weight := _WEIGHT.search(term))
            and (inner := term[1 : weight.start()].strip())
        ):
            # "(red hat:1.2)" may have become "(red hat:1.5)", "(red hat)" or "red hat"
            yield re.compile(rf"\(\s*{re.escape(inner)}\s*(?::\s*[\d.]+\s*)?\)", re.IGNORECASE)
            yield _whole(inner, False)

    def plain(self, text: str) -> str:
        """The text with the terms back in their places."""
        for term, sign in self.signs.items():
            text = text.replace(sign, term)
        return text

    def holds(self, text: str, terms: Iterable[str]) -> bool:
        """Whether one of these terms stands in a text made of `text`."""
        return any(self.signs[term] in text for term in terms)


def _closed(text: str, at: int) -> int:
    """Where the bracket that opens at `at` closes; 0 if it is none or never does."""
    if text[at] not in _PAIRS:
        return 0
    opener, closer, depth = text[at], _PAIRS[text[at]], 0
    for place in range(at, len(text)):
        depth += (text[place] == opener) - (text[place] == closer)
        if not depth:
            return place + 1
    return 0


def _whole(term: str, case: bool) -> re.Pattern:
    before = r"(?<![A-Za-z0-9_])" if re.match(r"[A-Za-z0-9_]", term) else ""
    after = r"(?![A-Za-z0-9_])" if re.search(r"[A-Za-z0-9_]\Z", term) else ""
    return re.compile(before + re.escape(term) + after, 0 if case else re.IGNORECASE)
