"""Rank critiques, best first, and pick from them. Pure functions; knows nothing of images, models or
ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .critique import COMPLETE, SCORED, Critique, check_weights, weighted_mean
from .thresholds import Thresholds

OVERALL = "overall"
EARLIER, EXPECTED, COMPARISON = "earlier first", "expected score", "comparison"
TIE_BREAKS = (EARLIER, EXPECTED, COMPARISON)
"""Which of two images with equal scores is the better: the earlier one, the one with the higher expected
score, or the one that wins a comparison by the critic."""

_DIGITS = 9  # means of the same scores in another order differ in the last bits of binary


@dataclass(frozen=True)
class RankBy:
    """What critiques are ranked by: the overall score, or the score of one aspect (`rank_by` is its key).

    The overall score has the critiques' own weights unless `weights` are given. Of equal scores the earlier
    one comes first; with `tie_break` "expected score", the one with the higher expected score, if all equal
    ones have one. Comparisons need a critic, so they are not decided here; see tournament.py.
    """

    rank_by: str = OVERALL
    weights: Mapping[str, float] = field(default_factory=dict)
    tie_break: str = EARLIER

    def __post_init__(self):
        if self.weights and self.rank_by != OVERALL:
            raise ValueError(
                f"weights are for the overall score: set rank_by to {OVERALL!r}, or leave weights empty."
            )
        if self.tie_break not in TIE_BREAKS:
            raise ValueError(f"tie_break must be one of {', '.join(TIE_BREAKS)}, not {self.tie_break!r}.")

    def check(self, critiques: Sequence[Critique]) -> None:
        """ValueError if a critique lacks the aspect that ranks, or one that has a weight."""
        for number, critique in enumerate(critiques, 1):
            keys = [a.key for a in critique.aspects]
            if self.rank_by != OVERALL and self.rank_by not in keys:
                raise ValueError(
                    f"rank_by: critique {number} has no aspect {self.rank_by!r}; choose "
                    f"{OVERALL!r} or one of {', '.join(keys)}."
                )
            check_weights(self.weights, keys)

    def score(self, critique: Critique) -> float | None:
        """The score that ranks; None for an incomplete critique or an aspect that does not apply."""
        return self._mean(critique, "score")

    def expected(self, critique: Critique) -> float | None:
        """The same from the expected scores; None where the critic gave none."""
        return self._mean(critique, "expected")

    def _mean(self, critique: Critique, number: str) -> float | None:
        if critique.status != COMPLETE:
            return None
        scored = [a for a in critique.aspects if a.status == SCORED and self.rank_by in (OVERALL, a.key)]
        scores = {a.key: getattr(a, number) for a in scored}
        if None in scores.values():
            return None
        mean = weighted_mean(scores, self.weights or critique.weights if self.rank_by == OVERALL else {})
        return None if mean is None else round(mean, _DIGITS)


def sort_key(status: str, score: float | None, accepted: bool = False) -> tuple:
    """Sorts the best first: complete critiques before others, accepted ones before others, those with a score
    before those without, and higher scores before lower ones."""
    return (status != COMPLETE, not accepted, score is None, -(score or 0.0))


def rank(
    critiques: Sequence[Critique], order: RankBy | None = None, thresholds: float | Thresholds | None = None
) -> tuple[int, ...]:
    """Indices of `critiques`, best first; see `sort_key` and `RankBy`.

    With `thresholds`, those that reach them come first; a number is the threshold of every aspect.
    """
    order = order or RankBy()
    order.check(critiques)
    thresholds = Thresholds(thresholds) if isinstance(thresholds, (int, float)) else thresholds

    def key(index: int) -> tuple:
        critique = critiques[index]
        accepted = thresholds is not None and thresholds.reached(critique)
        return sort_key(critique.status, order.score(critique), accepted)

    ranked = sorted(range(len(critiques)), key=key)
    if order.tie_break != EXPECTED:
        return tuple(ranked)
    refined: list[int] = []
    for equals in _runs(ranked, key):
        means = {index: order.expected(critiques[index]) for index in equals}
        known = {index: mean for index, mean in means.items() if mean is not None}
        if len(known) == len(equals):
            equals = sorted(equals, key=lambda index, known=known: -known[index])
        refined += equals
    return tuple(refined)


@dataclass(frozen=True)
class Picked:
    """Indices of the picked critiques and of the rest, both best first."""

    kept: tuple[int, ...]
    rest: tuple[int, ...]


def pick(
    critiques: Sequence[Critique],
    count: int,
    order: RankBy | None = None,
    threshold: float | None = None,
    ranked: Sequence[int] | None = None,
) -> Picked:
    """The `count` best, or fewer, and the rest.

    Incomplete critiques are never picked; with a `threshold`, neither are those with a lower score or none.
    `ranked` replaces the order of `rank`, such as by the outcome of a tournament.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, not {count}.")
    order = order or RankBy()
    ranked = rank(critiques, order) if ranked is None else ranked

    def is_eligible(index: int) -> bool:
        score = order.score(critiques[index])
        reached = threshold is None or (score is not None and score >= threshold)
        return critiques[index].status == COMPLETE and reached

    kept = tuple([index for index in ranked if is_eligible(index)][:count])
    return Picked(kept, tuple(index for index in ranked if index not in kept))


def tied(
    critiques: Sequence[Critique], ranked: Sequence[int], places: int, order: RankBy
) -> list[tuple[int, ...]]:
    """Groups of critiques with equal scores, in ranking order: those that decide who takes the first
    `places`."""
    groups, before = [], 0
    for equals in _runs(ranked, lambda index: order.score(critiques[index])):
        if before < places and len(equals) > 1 and order.score(critiques[equals[0]]) is not None:
            groups.append(tuple(equals))
        before += len(equals)
    return groups


def _runs(ranked: Sequence[int], key) -> list[list[int]]:
    """Runs of neighbours with the same key."""
    runs: list[list[int]] = []
    for index in ranked:
        if runs and key(runs[-1][0]) == key(index):
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
