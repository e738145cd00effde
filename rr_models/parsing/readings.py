"""What was read of the aspects: their text and values, what had to be corrected, and which reading counts.

A reading is one place where the answer speaks of an aspect; an answer may speak of it more than once. What
cannot be read, or was said twice and differently, is missing, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from ..judgement.answer_format import NOT_APPLICABLE_TEXT
from ..judgement.aspects import Aspect
from ..judgement.critique import MISSING, NOT_APPLICABLE, SCORED
from .scores import ParsedScore, strip_markup

CUT_OFF = "the answer was cut off at its score"
_CONTRADICTION = "it was judged more than once, and differently"


class Certainty(IntEnum):
    """How sure it is that a line opened an aspect: "Text Rendering: 4.0" may be written in the image."""

    INLINE = 1
    BARE = 2
    MARKED = 3


@dataclass
class ScoreSlot:
    """One value of an aspect: its score, one of a pair's two, or who wins."""

    kind: str = "score"  # or "winner"
    status: str = MISSING
    value: float | str | None = None
    written: float | None = None  # the number in the answer, if it had to be corrected
    text: str = ""
    notes: list[str] = field(default_factory=list)
    judged: bool = False  # something stood here, readable or not
    marked: bool = False  # its heading had a "#", bold type or a number
    line: int | None = None  # the number of its line in the answer, from 0

    @property
    def score(self) -> float:
        """The value of a slot with a score, if its status is SCORED."""
        assert isinstance(self.value, (int, float))
        return self.value

    @property
    def winner(self) -> str:
        """The value of a winner's slot, if its status is SCORED."""
        assert isinstance(self.value, str)
        return self.value

    def discard(self, note: str) -> None:
        """Count as missing, for the reason in `note`."""
        self.status, self.value, self.written, self.notes = MISSING, None, None, [note]

    def fill(self, value: ParsedScore, text: str, scale: tuple[float, float], optional: bool) -> None:
        """Take what `text` was read as. `optional`: N/A is a valid answer."""
        before, self.text = self.status, strip_markup(text)
        if value is None:
            self.discard(f"its {self.kind} cannot be read: {self.text[:60]!r}")
        elif before != MISSING and (before == NOT_APPLICABLE) != (value == NOT_APPLICABLE_TEXT):
            self.discard("it was answered with N/A and with a number")
        elif value == NOT_APPLICABLE_TEXT and not optional:
            self.discard("answered N/A, but it always applies")
        else:
            self.notes = ["more than one score stood here; the last was taken"] if before != MISSING else []
            self.written = None
            if value == NOT_APPLICABLE_TEXT:
                self.status, self.value = NOT_APPLICABLE, None
            else:
                self.status = SCORED
                self.value = value if isinstance(value, str) else self._on_scale(value, scale)

    def _on_scale(self, numbers: tuple[float, ...], scale: tuple[float, float]) -> float:
        """One score on the scale for what was written, with a note if it is another number."""
        first, last = numbers[0], numbers[-1]
        mean = sum(numbers) / len(numbers)
        value = min(max(mean, scale[0]), scale[1])
        if len(numbers) > 1:
            self.notes.append(f"{first:g} to {last:g} was read as the mean of both, {mean:g}")
        if value != mean:
            edges = f"{scale[0]:g} to {scale[1]:g}"
            self.notes.append(f"{mean:g} lies outside {edges} and was brought to its edge")
        if len(numbers) > 1 or value != mean:
            self.written = first
        return value


@dataclass
class AspectReading:
    """What was read under one heading. Without an aspect it only keeps foreign scores from a real one."""

    aspect: Aspect | None
    slots: dict[str, ScoreSlot]  # "score", or of a pair "a", "b" and "winner"
    certainty: Certainty = Certainty.MARKED
    lines: list[str] = field(default_factory=list)
    has_words: bool = False  # holds words, or the heading for them
    contested: bool = False  # a Score with another value stood here and was taken for talk
    score_first: bool = False  # its score stood before its justification
    list_items: int = 0  # of a numbered list within its justification
    side: str = ""  # to which of A and B a score without a name belongs
    final: bool = False  # its score stands under "Final Score"
    level: int = 0  # how many "#" its Justification has

    def keep(self, line: str) -> None:
        self.lines.append(line)
        self.has_words = self.has_words or not (not line or line.isspace())

    def take(
        self, values: Mapping[str, ParsedScore], text: str, scale: tuple[float, float], marked: bool
    ) -> list[ScoreSlot]:
        """Fill the slots with `values` that `text` was read as; returns those that were filled.

        What follows a score is its justification, and what is plainer than the score quotes something:
        neither fills a slot. `marked`: the heading over the values is more than its words.
        """
        quoted = [
            name
            for name in values
            if (slot := self.slots[name]).judged and (self.score_first or (slot.marked and not marked))
        ]
        self.contested = self.contested or bool(quoted and marked)
        new = {name: value for name, value in values.items() if name not in quoted}
        if new and not any(slot.judged for slot in self.slots.values()):
            self.score_first = not self.has_words
        for name, value in new.items():
            slot = self.slots[name]
            slot.judged, slot.marked = True, slot.marked or marked
            slot.fill(value, text, scale, slot.kind == "winner" or not self.aspect or self.aspect.optional)
        return [self.slots[name] for name in new]

    def discard(self, note: str) -> None:
        for slot in self.slots.values():
            slot.discard(note)

    @property
    def scores(self) -> list[ScoreSlot]:
        return [slot for slot in self.slots.values() if slot.kind == "score"]

    @property
    def judged(self) -> bool:
        """Whether all its scores stood here, readable or not."""
        return all(slot.judged for slot in self.scores)

    @property
    def is_plain_score(self) -> bool:
        """Whether it is a plain line with a score, which may be a quote."""
        unowned = not self.aspect and self.certainty is Certainty.BARE
        plain = unowned or self.certainty is Certainty.INLINE
        return plain and any(slot.judged for slot in self.slots.values())

    @property
    def values(self) -> list[tuple[str, float | str | None]]:
        return [(slot.status, slot.value) for slot in self.slots.values()]


def new_reading(aspect: Aspect | None, pair: bool, certainty: Certainty = Certainty.MARKED) -> AspectReading:
    """An empty reading of an aspect, of one image or of a pair."""
    kinds = {"a": "score", "b": "score", "winner": "winner"} if pair else {"score": "score"}
    return AspectReading(aspect, {name: ScoreSlot(kind) for name, kind in kinds.items()}, certainty)


class Readings:
    """All readings of an answer: the `current` judgement, and the one that it replaced, if any."""

    def __init__(self, aspects: Sequence[Aspect], pair: bool):
        self.aspects, self.pair = aspects, pair
        self.current: list[AspectReading] = []
        self.replaced: list[AspectReading] = []

    @property
    def begun(self) -> bool:
        """Whether the current judgement begins with an aspect of the task."""
        return any(reading.aspect for reading in self.current[:1])

    @property
    def complete(self) -> bool:
        """Whether every aspect has a score, readable or not."""
        return self._all_judged(self.current)

    def restart(self, keep_as_replaced: bool) -> None:
        """Begin another judgement."""
        self.replaced = self.current if keep_as_replaced else []
        self.current = []

    def contest_owner(self) -> None:
        """Discard the score of the aspect before: another one follows, and either may be a quote."""
        marked = (r for r in reversed(self.current) if r.certainty is Certainty.MARKED)
        owner = next(marked, None)
        if owner and not owner.score_first:
            owner.discard("more than one score stood here, and which of them was quoted is open")

    @property
    def finals(self) -> bool:
        """Whether a "Final Score" is the current aspect's own, like those before it, and not the whole's."""
        *before, current = self.current
        return not (current.judged and current.final) and all(r.final for r in before if r.aspect)

    def settled(self, aspect: Aspect) -> AspectReading:
        """What counts of all that was read of one aspect."""
        reading = self._surest(aspect, self.current)
        if self.replaced and not self._outdone():
            # which of the two judgements was quoted is open
            if reading.values != self._surest(aspect, self.replaced).values:
                reading.discard(_CONTRADICTION)
        return reading

    def _surest(self, aspect: Aspect, readings: list[AspectReading]) -> AspectReading:
        """The surest reading of an aspect. Missing if equally sure ones differ."""
        readings = [r for r in readings if r.aspect and r.aspect.name == aspect.name]
        certainty = max((r.certainty for r in readings), default=0)
        surest = [
            r
            for r in readings
            if r.certainty == certainty and (r.has_words or any(slot.judged for slot in r.slots.values()))
        ]
        if not surest:
            return new_reading(aspect, self.pair)
        contested = len(surest) > 1 and any(r.contested for r in surest)
        if contested or any(r.values != surest[0].values for r in surest):
            surest[-1].discard(_CONTRADICTION)
            return surest[-1]
        return surest[0]

    def _outdone(self) -> bool:
        """Whether the current judgement is as complete, and as plainly marked, as the one it replaced."""
        current, replaced = (
            min((r.certainty for r in readings if r.aspect), default=0)
            for readings in (self.current, self.replaced)
        )
        return self.complete and current >= replaced

    def _all_judged(self, readings: list[AspectReading]) -> bool:
        judged = {r.aspect.name for r in readings if r.aspect and r.judged}
        return judged >= {aspect.name for aspect in self.aspects}
