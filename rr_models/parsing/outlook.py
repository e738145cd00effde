"""What follows a line of an answer, which tells a heading within a justification ("Conclusion: ...") from the
same heading after the last score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .headings import UNKNOWN, Heading, Headings
from .lines import Line
from .places import Place
from .readings import AspectReading, Readings

_SUMMARY = Place.SUMMARY.value
_SECTIONS = (Place.ANALYSIS.value, _SUMMARY, Place.COMMENTS.value, Place.REFINED.value)


@dataclass(frozen=True)
class Outlook:
    """What follows a line.

    `aspects`: the names of those that come later under a real heading, and with a score. `has_score`: the
    next heading is that of a score. `section` is the next section, or the one after that score.
    """

    aspects: frozenset[str] = frozenset()
    has_score: bool = False
    section: Heading | None = None

    def judges_on(self, heading: Heading, reading: AspectReading | None, readings: Readings) -> bool:
        """Whether the judgement goes on below the heading of a section, which then is part of what it stands
        in. `reading` is that of the aspect above it."""
        if self.aspects - {r.aspect.name for r in readings.current if r.aspect}:
            return True
        if reading is None or self.section is None or self.section.name != _SUMMARY:
            return False
        if self.has_score:
            return not reading.judged
        return heading.name == _SUMMARY and heading.rank < self.section.rank


def outlooks(lines: Sequence[Line], headings: Headings) -> list[Outlook]:
    """What follows each line, found from the last one to the first."""
    found = [Outlook()] * len(lines)
    outlook, scored = Outlook(), False  # whether a score comes before the next aspect
    for number in range(len(lines) - 1, -1, -1):
        found[number] = outlook
        heading = lines[number].heading
        if heading is None:
            continue
        if heading.name == "justification" or heading.name == UNKNOWN:
            continue
        if heading.name == Place.JUDGEMENT.value:
            outlook, scored = Outlook(section=heading), False
        elif heading.name in _SECTIONS:
            if not (outlook.has_score and outlook.section and outlook.section.name == _SUMMARY):
                outlook = replace(outlook, has_score=False, section=heading)
        elif not heading.aspect:
            if (heading.name != "side" and not heading.rest) or headings.states(
                heading.rest, heading.name, heading.side
            ):
                outlook, scored = replace(outlook, has_score=True), True
        else:
            stated = bool(heading.rest) and headings.states(heading.rest)
            if heading.marked and (scored or stated):
                outlook = replace(outlook, aspects=outlook.aspects | {heading.aspect.name})
            if heading.marked or stated or not heading.rest:
                outlook, scored = replace(outlook, has_score=False), False
    return found
