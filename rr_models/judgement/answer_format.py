"""The form of a critic's answer: its sections, their order and their headings, each spelled only here.

From it follow the form in the prompt, the sections of constrained decoding, `to_text` of a judgement, the
names that the parser looks for, and a regular expression and a JSON schema for structured output.
Knows nothing of models or of how a prompt is worded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby

from .aspects import BEST, RATIONAL_REWARDS, WORST, Profile
from .task import Task

CARD, TEST_TIME, SINGLE = "card", "test-time", "single"
STYLES = (CARD, TEST_TIME, SINGLE)
"""card: system and user turn, each justification before its score, as on the model cards. test-time: one user
turn, each score first, as in the paper's appendix C.4. single: card, with the system turn's text in the user
turn."""

SCORES, CRITIQUE, FULL = "scores", "critique", "full"
DETAILS = (SCORES, CRITIQUE, FULL)
"""How much is written: up to the last score; up to the summary; a better request too."""

NAMES = {
    "analysis": "User Request Analysis",
    "judgement": "Detailed Judgement",
    "justification": "Justification",
    "score": "Score",
    "score_a": "Score A",
    "score_b": "Score B",
    "winner": "Winner",
    "summary": "Summary",
    "refinement": "User Request Refinement",
    "refinement_comments": "Refinement Comments",
    "refined_request": "Refined Request",
}
"""The protocol's own name of each section (paper, appendix C)."""
A, B, TIE = "A", "B", "tie"
WINNERS = {"Image A": A, "Image B": B, "It's a tie": TIE}
"""How a winner is written, and what it means."""
NOT_APPLICABLE_TEXT = "N/A"
"""What stands instead of the score of an optional aspect that does not apply."""
NOT_APPLICABLE_TEXTS = (NOT_APPLICABLE_TEXT, "n/a", "Not applicable")
"""How a critic may spell that."""

_DECIMALS = 20  # of a score; no float of 0.0001 or more has more


class Kind(Enum):
    """What stands under a heading."""

    HEADING = "heading"  # nothing: other headings follow
    TEXT = "text"
    SCORE = "score"
    WINNER = "winner"


_SINGLE_SCORE = {"score": Kind.SCORE}
_PAIR_SCORES = {"score_a": Kind.SCORE, "score_b": Kind.SCORE, "winner": Kind.WINNER}

Key = tuple[str, ...]
"""Where a value belongs: ("summary",), or ("text_rendering", "score") for that of an aspect."""


@dataclass(frozen=True)
class Section:
    """One heading, and what belongs under it.

    A text without a heading of its own stands on its own lines. An `optional` score or winner may be N/A.
    """

    key: Key
    heading: str
    kind: Kind
    optional: bool = False

    @property
    def level(self) -> int:
        """How deep it lies in an answer: 0, an aspect 1, and what a heading of either stands above 2."""
        if self.heading.startswith("# "):
            return 0
        return 1 if self.kind is Kind.HEADING else 2

    def filled(self, value: str) -> str:
        """The heading with its value, as in an answer."""
        if self.kind is Kind.HEADING or not self.heading:
            return self.heading or value
        return f"{self.heading} {value}"


@dataclass(frozen=True)
class AnswerFormat:
    """The sections of an answer, in order. `names` are the names of its aspects by key."""

    sections: tuple[Section, ...]
    names: Mapping[str, str]
    scale: tuple[float, float] = (WORST, BEST)

    @classmethod
    def of(
        cls, task: Task | str, profile: Profile = RATIONAL_REWARDS, style: str = CARD, detail: str = FULL
    ) -> AnswerFormat:
        """The form in which a critic is asked to answer. ValueError for an unknown task, style or detail."""
        if detail not in DETAILS:
            raise ValueError(f"detail must be one of {', '.join(DETAILS)}, not {detail!r}.")
        aspects = profile.aspects(task)
        names = {aspect.key: aspect.name for aspect in aspects}
        optional = {aspect.key for aspect in aspects if aspect.optional}
        return cls.for_aspects(task, names, optional, profile.scale, style).limited(detail)

    @classmethod
    def for_aspects(
        cls,
        task: Task | str,
        names: Mapping[str, str],
        optional: Collection[str] = (),
        scale: tuple[float, float] = (WORST, BEST),
        style: str = CARD,
    ) -> AnswerFormat:
        """The form of a whole answer about aspects, given as names by key. Those in `optional` may be N/A."""
        if style not in STYLES:
            raise ValueError(f"style must be one of {', '.join(STYLES)}, not {style!r}.")
        pair = Task.parse(task).is_pair
        sections = [] if style == TEST_TIME else [_heading(f"# {NAMES['analysis']}")]
        sections += [_text("", "analysis"), _heading(f"# {NAMES['judgement']}")]
        for number, (key, name) in enumerate(names.items(), 1):
            scores = [
                Section((key, part), f"## {NAMES[part]}:", kind, key in optional)
                for part, kind in (_PAIR_SCORES if pair else _SINGLE_SCORE).items()
            ]
            words = [_text("##", "justification", key)]
            score_first = style == TEST_TIME and not pair
            sections.append(_heading(f"{number}. {name}:"))
            sections += [*scores, *words] if score_first else [*words, *scores]
        sections.append(_text("#", "summary"))
        if not pair:
            sections.append(_heading(f"# {NAMES['refinement']}:"))
            sections += [_text("##", "refinement_comments"), _text("##", "refined_request")]
        return cls(tuple(sections), names, scale)

    def limited(self, detail: str) -> AnswerFormat:
        """The beginning of this form that `detail` asks for."""
        if detail == FULL:
            return self
        ends = [
            index
            for index, section in enumerate(self.sections, 1)
            if (
                section.kind in (Kind.SCORE, Kind.WINNER) if detail == SCORES else section.key == ("summary",)
            )
        ]
        return replace(self, sections=self.sections[: ends[-1]])

    @property
    def fields(self) -> tuple[Section, ...]:
        """The sections that hold a value, each with all the lines of headings above it as its heading."""
        fields, above = [], ""
        for section in self.sections:
            if section.kind is Kind.HEADING:
                above += f"{section.heading}\n"
            else:
                fields.append(replace(section, heading=above + section.heading))
                above = ""
        return tuple(fields)

    def text(self, values: Mapping[Key, str]) -> str:
        """An answer with these values. A section without a value is left out, and so is a heading under which
        no section is left."""
        lines, below = [], 0
        for section in reversed(self.sections):
            if section.level < below if section.kind is Kind.HEADING else section.key in values:
                lines.append(section.filled(values.get(section.key, "")))
                below = section.level
        return "\n".join(reversed(lines))

    def as_object(self, values: Mapping[Key, str]) -> dict:
        """The same answer as an object for JSON, by the names of the sections. Scores are numbers."""

        def value(section: Section) -> str | float:
            text = values[section.key]
            return float(text) if section.kind is Kind.SCORE and text != NOT_APPLICABLE_TEXT else text

        return self._by_name(value, dict, [section for section in self.fields if section.key in values])

    def json_schema(self) -> dict:
        """A JSON schema of `as_object`, for servers with structured output; the parser reads such answers."""
        return _object_schema(self._by_name(self._value_schema, _object_schema, self.fields))

    def regex(self) -> str:
        """A regular expression that whole answers match, for servers with structured output.

        It has only literals, classes, groups, alternatives and repetitions. No line of a text begins with
        "#"; every score lies on the scale.
        """
        return r"\n".join(self._line_pattern(section) for section in self.sections)

    def _by_name(self, value: Callable, group: Callable, fields: Iterable[Section]) -> dict:
        """The value of each field by its name; those of an aspect as a group by the aspect's name."""
        by_name: dict = {}
        for aspect, sections in groupby(fields, lambda section: section.key[:-1]):
            values = {NAMES[section.key[-1]]: value(section) for section in sections}
            by_name |= {self.names[aspect[0]]: group(values)} if aspect else values
        return by_name

    def _value_schema(self, section: Section) -> dict:
        if section.kind is Kind.TEXT:
            return {"type": "string"}
        if section.kind is Kind.WINNER:
            return {"type": "string", "enum": list(choices(section))}
        number = {"type": "number", "minimum": self.scale[0], "maximum": self.scale[1]}
        return {"anyOf": [number, {"enum": [NOT_APPLICABLE_TEXT]}]} if section.optional else number

    def _line_pattern(self, section: Section) -> str:
        heading = _literal(section.heading)
        if section.kind is Kind.HEADING:
            return heading
        if section.kind is Kind.TEXT:
            return rf"{heading}[^\n]*(?:\n(?:[^#\n][^\n]*)?)*"
        values = [_number_pattern(*self.scale)] if section.kind is Kind.SCORE else []
        return f"{heading} (?:{'|'.join([*values, *map(_literal, choices(section))])})"


def choices(section: Section) -> tuple[str, ...]:
    """The words that a value may be, apart from the numbers of a score."""
    winners = tuple(WINNERS) if section.kind is Kind.WINNER else ()
    return winners + ((NOT_APPLICABLE_TEXT,) if section.optional else ())


def score_text(score: float) -> str:
    """A score as it is written in an answer."""
    text = repr(score)
    return f"{score:.{_DECIMALS}f}" if "e" in text else text


def _heading(heading: str) -> Section:
    return Section((), heading, Kind.HEADING)


def _text(level: str, part: str, *aspect: str) -> Section:
    heading = f"{level} {NAMES[part]}:" if level else ""
    return Section((*aspect, part), heading, Kind.TEXT)


def _object_schema(properties: dict) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _literal(text: str) -> str:
    """`text` as a pattern. re.escape escapes more than some servers understand."""
    return re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", text)


def _number_pattern(worst: float, best: float) -> str:
    """The numbers from worst to best. An edge that is not a whole number is widened to the next one."""
    patterns = [_magnitudes(max(worst, 0), best)] if best >= 0 else []
    patterns += [f"-{_magnitudes(max(-best, 0), -worst)}"] if worst < 0 else []
    return "|".join(patterns)


def _magnitudes(low: float, high: float) -> str:
    """The numbers from low to high, both 0 or more, with decimals."""
    top = math.ceil(high)
    below = _integers(math.floor(low), top - 1)
    decimals = f"{{1,{_DECIMALS}}}"
    return rf"(?:(?:{'|'.join(below)})(?:\.[0-9]{decimals})?|{top}(?:\.0{decimals})?)"


def _integers(low: int, high: int) -> list[str]:
    """Patterns for the whole numbers from low to high, both 0 or more: 7 to 123 is 7-9, 10-99, 100-119 and
    120-123."""
    patterns = []
    while low <= high:
        zeros = 0
        while low and low % 10 ** (zeros + 1) == 0 and low + 10 ** (zeros + 1) - 1 <= high:
            zeros += 1
        step = 10**zeros
        digit = low // step % 10
        count = min(10 - digit, (high - low + 1) // step)
        prefix = str(low // step)[:-1]
        last = f"[{digit}-{digit + count - 1}]" if count > 1 else str(digit)
        patterns.append(prefix + last + (f"[0-9]{{{zeros}}}" if zeros else ""))
        low += count * step
    return patterns
