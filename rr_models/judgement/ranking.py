"""Put critiques in order, best first, and pick from them. Pure functions; knows nothing of pictures, models
or ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .critique import COMPLETE, SCORED, Critique, check_weights, weighted_mean
from .thresholds import Thresholds

OVERALL = "overall"
EARLIER, EXPECTED, DUEL = "earlier first", "expected score", "duel"
TIES = (EARLIER, EXPECTED, DUEL)
"""Which of two equal pictures stands in front: the earlier one, the one whose score the critic might sooner
have written higher, or the one that wins when both are shown to the critic."""

_DIGITS = 9  # means of the same scores in another order differ in the last bits of binary


@dataclass(frozen=True)
class RankBy:
    """What ranks: the overall score, with the critiques' own weights unless others are given, or the score of
    one aspect (`by` its key). Of equals the earlier one comes first, unless `ties` asks the expected scores
    and all of the equals have one. Duels are fought by tournament.py.
    """

    by: str = OVERALL
    weights: Mapping[str, float] = field(default_factory=dict)
    ties: str = EARLIER

    def __post_init__(self):
        if self.weights and self.by != OVERALL:
            raise ValueError(
                f"weights are for the overall score: set by to {OVERALL!r}, or leave them empty."
            )
        if self.ties not in TIES:
            raise ValueError(f"ties must be one of {', '.join(TIES)}, not {self.ties!r}.")

    def check(self, critiques: Sequence[Critique]) -> None:
        """ValueError where an aspect that is to rank is not judged."""
        for number, critique in enumerate(critiques, 1):
            keys = [a.key for a in critique.aspects]
            if self.by != OVERALL and self.by not in keys:
                raise ValueError(
                    f"by: critique {number} has no aspect {self.by!r}; take {OVERALL!r} or one of "
                    f"{', '.join(keys)}."
                )
            check_weights(self.weights, keys)

    def score(self, critique: Critique) -> float | None:
        """The number that ranks; None where there is none: an incomplete critique, or an aspect that does not
        apply."""
        return self._mean(critique, "score")

    def expected(self, critique: Critique) -> float | None:
        """The same of the expected scores; None where the critic gave none."""
        return self._mean(critique, "expected")

    def _mean(self, critique: Critique, number: str) -> float | None:
        if critique.status != COMPLETE:
            return None
        scored = [a for a in critique.aspects if a.status == SCORED and self.by in (OVERALL, a.key)]
        found = {a.key: getattr(a, number) for a in scored}
        if None in found.values():
            return None
        mean = weighted_mean(found, self.weights or critique.weights if self.by == OVERALL else {})
        return None if mean is None else round(mean, _DIGITS)


def rank(
    critiques: Sequence[Critique], order: RankBy | None = None, thresholds: float | Thresholds | None = None
) -> tuple[int, ...]:
    """Indices of `critiques`, best first.

    Complete critiques come before all others; where one aspect ranks, those it applies to before those it
    does not. With `thresholds`, those that reach them come first; a number is the threshold of every aspect.
    """
    order = order or RankBy()
    order.check(critiques)
    thresholds = Thresholds(thresholds) if isinstance(thresholds, (int, float)) else thresholds

    def place(index: int) -> tuple:
        critique = critiques[index]
        score = order.score(critique)
        accepted = thresholds is not None and thresholds.reached(critique)
        return (critique.status != COMPLETE, not accepted, score is None, -(score or 0.0))

    ranked = sorted(range(len(critiques)), key=place)
    if order.ties != EXPECTED:
        return tuple(ranked)
    finer: list[int] = []
    for equals in _runs(ranked, place):
        means = {index: order.expected(critiques[index]) for index in equals}
        known = {index: mean for index, mean in means.items() if mean is not None}
        if len(known) == len(equals):
            equals = sorted(equals, key=lambda index, known=known: -known[index])
        finer += equals
    return tuple(finer)


@dataclass(frozen=True)
class Picked:
    """Indices of what is kept and of the rest, both best first."""

    kept: tuple[int, ...]
    rest: tuple[int, ...]


def pick(
    critiques: Sequence[Critique],
    count: int,
    order: RankBy | None = None,
    threshold: float | None = None,
    ranked: Sequence[int] | None = None,
) -> Picked:
    """The `count` best and the rest; fewer where there are not so many.

    What could not be judged is never kept; with a `threshold`, neither is what has a lower score, or none.
    Who knows a better order than `rank` hands it over as `ranked`.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, not {count}: there is no best of none.")
    order = order or RankBy()
    ranked = rank(critiques, order) if ranked is None else ranked

    def fit(index: int) -> bool:
        score = order.score(critiques[index])
        enough = threshold is None or (score is not None and score >= threshold)
        return critiques[index].status == COMPLETE and enough

    kept = tuple([index for index in ranked if fit(index)][:count])
    return Picked(kept, tuple(index for index in ranked if index not in kept))


def tied(
    critiques: Sequence[Critique], ranked: Sequence[int], places: int, order: RankBy
) -> list[tuple[int, ...]]:
    """Those that share a score, in ranking order: each group that bears on who takes the first `places`."""
    groups, before = [], 0
    for equals in _runs(ranked, lambda index: order.score(critiques[index])):
        if before < places and len(equals) > 1 and order.score(critiques[equals[0]]) is not None:
            groups.append(tuple(equals))
        before += len(equals)
    return groups


def _runs(ranked: Sequence[int], key) -> list[list[int]]:
    """Neighbours with the same key, together."""
    runs: list[list[int]] = []
    for index in ranked:
        if runs and key(runs[-1][0]) == key(index):
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
