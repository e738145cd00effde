"""A finished round of a refine loop, and an image that it accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..judgement.critique import COMPLETE, Critique
from ..judgement.from_data import Number, Text, Whole, from_data


@dataclass(frozen=True)
class Round:
    """One finished round.

    `chosen` is the index of its best candidate, `next_prompt` the prompt proposed for that one, `changed`
    what differs from the round before ("prompt", "seed", both or nothing), `seconds` the time from the
    loop's start to the round's end. `thumbnail` is the caller's small stand-in for the best image; it is not
    written to JSON.
    """

    COMPUTED: ClassVar[tuple[str, ...]] = ("status", "overall", "scores", "candidates")

    number: int
    prompt: str
    seed: int
    critiques: tuple[Critique, ...]
    chosen: int
    next_prompt: str = ""
    changed: str = ""
    seconds: float = 0.0
    thumbnail: object = field(default=None, compare=False, repr=False)

    @property
    def critique(self) -> Critique:
        return self.critiques[self.chosen]

    def line(self) -> str:
        """The round in one line."""
        candidates, count = "", len(self.critiques)
        if count > 1:
            candidates = f", candidate {self.chosen + 1} of {count}"
            if failed := sum(critique.status != COMPLETE for critique in self.critiques):
                candidates += f"; {failed} of {count} could not be judged"
        new = f"; new {self.changed}" if self.changed else ""
        scores = self.critique.scores_line()
        return f"Round {self.number} (seed {self.seed}{new}{candidates}): {scores} | {short(self.prompt)}"

    def to_dict(self) -> dict:
        return {
            "number": self.number,
            "prompt": self.prompt,
            "seed": self.seed,
            "status": self.critique.status,
            "overall": self.critique.overall,
            "scores": {a.name: a.score for a in self.critique.aspects},
            "chosen": self.chosen,
            "candidates": [c.overall for c in self.critiques],
            "next_prompt": self.next_prompt,
            "critique": self.critique.to_dict(),
            "others": [c.to_dict() for i, c in enumerate(self.critiques) if i != self.chosen],
            "changed": self.changed,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, data: object, name: str = "round") -> Round:
        """Inverse of `to_dict`; computed values are computed again. ValueError names the field within
        `name`."""
        if isinstance(data, Mapping):
            data = {key: value for key, value in data.items() if key not in cls.COMPUTED}
        form = from_data(_RoundForm, data, name)
        if not 0 <= form.chosen <= len(form.others):
            raise ValueError(
                f"{name}.chosen is {form.chosen}, but it has {len(form.others) + 1} candidate(s)."
            )
        try:
            critiques = [Critique.from_dict(other) for other in form.others]
            critiques.insert(form.chosen, Critique.from_dict(form.critique))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        return cls(
            number=form.number,
            prompt=form.prompt,
            seed=form.seed,
            critiques=tuple(critiques),
            chosen=form.chosen,
            next_prompt=form.next_prompt,
            changed=form.changed,
            seconds=form.seconds,
        )


@dataclass(frozen=True)
class _RoundForm:
    """A round in JSON, without what is computed."""

    number: Whole
    prompt: Text
    seed: Whole
    chosen: Whole
    next_prompt: Text
    critique: Any
    others: tuple[Any, ...]
    changed: Text
    seconds: Number


@dataclass(frozen=True)
class Accepted:
    """An image that reaches the thresholds: where it came from, and its payload."""

    number: int
    candidate: int
    prompt: str
    seed: int
    critique: Critique
    payload: Any = None

    def line(self) -> str:
        return f"Accepted: round {self.number}, candidate {self.candidate + 1} (seed {self.seed})"


def short(text: str) -> str:
    """A text in quotes on one line of at most 200 characters."""
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= 200 else f'"{line[:199]}…"'
