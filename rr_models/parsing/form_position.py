"""Where an answer stands in its form while it is being written, by the parser's own headings."""

from __future__ import annotations

from collections.abc import Sequence

from ..judgement.answer_format import Kind, Section
from .headings import UNKNOWN, Heading, Headings
from .scores import strip_markup

_LONGEST = 160  # characters; no heading of a score is longer
_VALUES = ("score", "side")  # headings that a score may stand under


class FormPosition:
    """Follows the lines of an answer. `index` is that of the section that is being written, -1 before the
    first; `sections` are those of a whole answer."""

    def __init__(self, sections: Sequence[Section], headings: Headings):
        self.sections, self.headings = sections, headings
        self.index = -1
        self._before = -1  # the same at the start of the line
        self._awaits_value = False  # a Score heading stood alone on the line before

    @property
    def section(self) -> Section:
        """The section that is being written."""
        return self.sections[self.index]

    @property
    def following(self) -> Section | None:
        """The section after it."""
        return self.sections[self.index + 1] if self.index + 1 < len(self.sections) else None

    def end_line(self, line: str) -> None:
        """Take note of a line that has ended."""
        if not line:
            return
        self._awaits_value = False
        if heading := self.headings.find(line):
            self.index = self._section_of(heading)
            self._awaits_value = _value_follows(heading)
        self._before = self.index

    def value_may_begin(self, line: str) -> bool:
        """Whether a number that is written next, after the beginning of a line, is a score."""
        if self._awaits_value:
            return not any(map(str.isalnum, line))
        if not line or len(line) > _LONGEST or line[-1].isalnum():
            return False
        heading = self.headings.find(line)
        if heading is None or not _value_follows(heading):
            return False
        self.index = self._section_of(heading)
        return self.index >= 0

    def opens_section(self, line: str) -> bool:
        """Whether a line is a heading of the protocol, rather than a label within a text."""
        heading = self.headings.find(line)
        return heading is not None and heading.name != UNKNOWN and (heading.marked or not heading.rest)

    def _section_of(self, heading: Heading) -> int:
        """The index of the section that a heading opens. The title of an aspect comes just before one."""
        for index, section in enumerate(self.sections):
            if heading.aspect and section.key[0] == heading.aspect.key:
                if not heading.part:
                    return index - 1
                if heading.part == section.key[-1]:
                    return index
            elif index > self._before and _opens(heading, section):
                return index
        return self._before


def _value_follows(heading: Heading) -> bool:
    return (heading.part or heading.name) in _VALUES and not strip_markup(heading.rest)


def _opens(heading: Heading, section: Section) -> bool:
    if heading.name in _VALUES and section.kind is Kind.SCORE:
        return section.key[-1] in ("score", f"score_{heading.side or 'a'}")
    return heading.name == section.key[-1]
