"""What a line of an answer looks like, wherever it stands: a heading, a row of a table, or content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .headings import Heading, Headings


@dataclass(frozen=True)
class Line:
    """One line, with the heading that it may be, and its cells if it may be a row of a table."""

    text: str
    is_last: bool
    heading: Heading | None = None
    cells: tuple[str, ...] = ()

    @property
    def is_blank(self) -> bool:
        return not self.text or self.text.isspace()

    @property
    def is_rule(self) -> bool:
        """Whether it separates the head of a table from its rows."""
        return all(re.fullmatch(":?-+:?", cell) for cell in self.cells)


def read_lines(texts: list[str], headings: Headings) -> Iterator[Line]:
    """The lines of an answer, first to last."""
    for number, text in enumerate(texts, 1):
        is_last = number == len(texts)
        if not text or text.isspace():
            yield Line(text, is_last)
            continue
        cells = ()
        if text.lstrip().startswith("|"):
            cells = tuple(cell.strip() for cell in text.strip().strip("|").split("|"))
        yield Line(text, is_last, headings.find(text), cells)
