"""The parts of an answer, as a walk through its lines enters them, and their texts."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Place(Enum):
    """Under which heading the walk is. Sections are named as in answer_format.py."""

    PREAMBLE = "preamble"
    ANALYSIS = "analysis"
    JUDGEMENT = "judgement"
    ASPECT = "aspect"
    SUMMARY = "summary"
    COMMENTS = "refinement_comments"
    REFINED = "refined_request"
    AFTER = "after"  # after the refined request, under a heading of the critic's own
    REPEAT = "repeat"  # a second answer after the first; nothing in it counts


class Opening(NamedTuple):
    """Line `line` of an answer opens an aspect (by its key; "" for a heading that the protocol does not
    know) or a section (by the name of its place)."""

    line: int
    name: str


class SectionTexts:
    """The lines of each place that stand under no aspect."""

    def __init__(self):
        self.lines: dict[Place, list[str]] = {place: [] for place in Place}

    def of(self, place: Place) -> str:
        """The text of a section."""
        return "\n".join(self.lines[place]).strip()

    def drop(self, *places: Place) -> None:
        """Forget the text of these sections."""
        self.lines |= {place: [] for place in places}

    @property
    def has_preamble(self) -> bool:
        """Whether there is text before the first heading, besides the mark of a fence."""
        return any(
            line and not line.isspace() and not line.startswith("```") for line in self.lines[Place.PREAMBLE]
        )
