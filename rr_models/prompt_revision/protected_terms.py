"""Terms of a prompt that must survive unchanged: the user's own terms, and syntax that programs read.

While a text is worked on, each such term is one character (`Placeholders`), so that nothing can cut, split or
change it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PAIRS = {"(": ")", "{": "}", "<": ">"}
_WEIGHT = re.compile(r":\s*[+-]?\d*\.?\d+\s*\)\Z")
_FILE = re.compile(r"<\w+:[^<>]+>\Z")
_UNBRACKETED = re.compile(r"__[\w./*-]+?__|\bembedding:[^\s,()]+")


def protected_terms(text: str) -> tuple[str, ...]:
    """The terms of a list separated by commas or line breaks, in order, without repeats. A comma in brackets,
    as in `(red hat, blue coat:1.2)`, belongs to its term."""
    terms, term, closers = [], "", []
    for character in f"{text}\n":
        if character == "\n" or (character in ",，" and not closers):
            terms.append(term.strip())
            term, closers = "", []
            continue
        term += character
        if character in _PAIRS:
            closers.append(_PAIRS[character])
        elif closers and character == closers[-1]:
            closers.pop()
    return tuple(dict.fromkeys(filter(None, terms)))


def prompt_syntax(text: str) -> tuple[str, ...]:
    """The parts of a prompt that programs read rather than people: `(weighted:1.2)`, `<lora:name:0.8>`,
    `{a|b}`, `__wildcard__` and `embedding:name`; outermost only, in order, without repeats."""
    parts, start = [], 0
    while start < len(text):
        end = _closing_bracket(text, start)
        bracketed = text[start:end]
        unbracketed = _UNBRACKETED.match(text, start)
        if end and (
            (bracketed[0] == "(" and _WEIGHT.search(bracketed))
            or (bracketed[0] == "{" and "|" in bracketed)
            or _FILE.match(bracketed)
        ):
            parts.append(bracketed)
            start = end
        elif unbracketed:
            parts.append(unbracketed.group())
            start = unbracketed.end()
        else:
            start += 1
    return tuple(dict.fromkeys(parts))


def contains_term(text: str, term: str) -> bool:
    """Whether the term occurs as a whole word: "cat" is not in "category"."""
    return bool(_whole_word(term).search(text))


class Placeholders:
    """Replaces each protected term of a text with one private-use character; `text` is the result."""

    def __init__(self, text: str, terms: Sequence[str]):
        unused = (character for code in range(0xF0000, 0xFFFFE) if (character := chr(code)) not in text)
        self.characters = dict(zip(terms, unused, strict=False))
        self.restored: list[str] = []
        """Terms that occurred in another case or with another weight."""
        # the longest first: "sks dog" before "sks"
        for term in sorted(terms, key=len, reverse=True):
            placeholder = self.characters[term]
            replaced = _whole_word(term).sub(placeholder, text)
            if replaced == text:
                for variant in self._variants(term):
                    replaced = variant.sub(placeholder, text)
                    if replaced != text:
                        self.restored.append(term)
                        break
            text = replaced
        self.text = text

    @staticmethod
    def _variants(term: str) -> Iterable[re.Pattern]:
        yield _whole_word(term, re.IGNORECASE)
        if (
            term.startswith("(")
            and (weight := _WEIGHT.search(term))
            and (inner := term[1 : weight.start()].strip())
        ):
            # "(red hat:1.2)" may have become "(red hat:1.5)", "(red hat)" or "red hat"
            yield re.compile(rf"\(\s*{re.escape(inner)}\s*(?::\s*[\d.]+\s*)?\)", re.IGNORECASE)
            yield _whole_word(inner, re.IGNORECASE)

    def restore(self, text: str) -> str:
        """`text` with the terms in place of their characters."""
        for term, placeholder in self.characters.items():
            text = text.replace(placeholder, term)
        return text

    def any_in(self, text: str, terms: Iterable[str]) -> bool:
        """Whether one of these terms occurs in `text`, which was made from `self.text`."""
        return any(self.characters[term] in text for term in terms)


def _closing_bracket(text: str, start: int) -> int:
    """The index after the bracket that closes the one at `start`; 0 if there is none."""
    if text[start] not in _PAIRS:
        return 0
    opener, closer, depth = text[start], _PAIRS[text[start]], 0
    for index in range(start, len(text)):
        depth += (text[index] == opener) - (text[index] == closer)
        if not depth:
            return index + 1
    return 0


def _whole_word(term: str, flags: int = 0) -> re.Pattern:
    before = r"(?<![A-Za-z0-9_])" if re.match(r"[A-Za-z0-9_]", term) else ""
    after = r"(?![A-Za-z0-9_])" if re.search(r"[A-Za-z0-9_]\Z", term) else ""
    return re.compile(before + re.escape(term) + after, flags)
