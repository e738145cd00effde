"""What was read of one aspect: its words and its values, and what had to be mended or could not be read.

An entry is one place where the answer speaks of an aspect; an answer may speak of it more than once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..judgement.aspects import Aspect
from ..judgement.critique import MISSING, NOT_APPLICABLE, SCORED
from .scores import NOT_A_NUMBER, ParsedScore, strip_markup

WINNER = "winner"

# how sure it is that a line opened an aspect: "Text Rendering: 4.0" may be written in the picture
INLINE, BARE, MARKED = 1, 2, 3


@dataclass
class ScoreSlot:
    """One value of an aspect: its score, one of a pair's two, or who wins."""

    kind: str = "score"  # or "winner"
    status: str = MISSING
    value: float | str | None = None
    written: float | None = None  # the number in the answer, where it had to be mended
    text: str = ""
    notes: list[str] = field(default_factory=list)
    judged: bool = False  # something stood here, readable or not
    marked: bool = False  # its heading had a "#", bold type or a number

    def lose(self, note: str) -> None:
        self.status, self.value, self.written, self.notes = MISSING, None, None, [note]

    def fill(self, value: ParsedScore, text: str, scale: tuple[float, float], optional: bool) -> None:
        """Take what `text` was read as. `optional`: N/A is an answer."""
        before, self.text = self.status, strip_markup(text)
        if value is None:
            self.lose(f"its {self.kind} cannot be read: {self.text[:60]!r}")
        elif before != MISSING and (before == NOT_APPLICABLE) != (value == NOT_A_NUMBER):
            self.lose("it was answered with N/A and with a number")
        elif value == NOT_A_NUMBER and not optional:
            self.lose("answered N/A, but it always applies")
        else:
            again = "more than one score stood here; the last was taken"
            self.notes = [again] if before != MISSING else []
            self.written = None
            if value == NOT_A_NUMBER:
                self.status, self.value = NOT_APPLICABLE, None
            else:
                self.status = SCORED
                self.value = value if isinstance(value, str) else self._mended(value, scale)

    def _mended(self, numbers: tuple[float, ...], scale: tuple[float, float]) -> float:
        """One score on the scale of what was written, and a note of what that took."""
        mean = sum(numbers) / len(numbers)
        value = min(max(mean, scale[0]), scale[1])
        if len(numbers) > 1:
            self.notes.append(f"{numbers[0]:g} to {numbers[1]:g} was read as the mean of both, {mean:g}")
        if value != mean:
            edges = f"{scale[0]:g} to {scale[1]:g}"
            self.notes.append(f"{mean:g} lies outside {edges} and was brought to its edge")
        if len(numbers) > 1 or value != mean:
            self.written = numbers[0]
        return value


@dataclass
class AspectReading:
    """What was read under one heading. Without an aspect it only keeps foreign scores from a real one."""

    aspect: Aspect | None
    slots: dict[str, ScoreSlot]
    rank: int = MARKED
    lines: list[str] = field(default_factory=list)
    said: bool = False  # holds words, or the heading for them
    doubted: bool = False  # a Score with another value stood here and was taken for talk
    score_first: bool = False  # its score stood before its justification
    points: int = 0  # of a numbered list within its justification
    side: str = ""  # which of A and B a score of nobody's belongs to

    def keep(self, line: str) -> None:
        self.lines.append(line)
        self.said = self.said or not (not line or line.isspace())

    def lose(self, note: str) -> None:
        for slot in self.slots.values():
            slot.lose(note)

    @property
    def scores(self) -> list[ScoreSlot]:
        return [slot for name, slot in self.slots.items() if name != WINNER]

    @property
    def judged(self) -> bool:
        """Whether all its scores stood here, readable or not."""
        return all(slot.judged for slot in self.scores)

    @property
    def found(self) -> list[tuple[str, float | str | None]]:
        return [(slot.status, slot.value) for slot in self.slots.values()]
