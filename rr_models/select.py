"""Put critiques in order, best first. Pure functions; knows nothing of pictures, models or ComfyUI."""

from __future__ import annotations

from collections.abc import Sequence

from .bars import Bars
from .critique import COMPLETE, Critique

OVERALL = "overall"


def rank(
    critiques: Sequence[Critique], by: str = OVERALL, bar: float | Bars | None = None
) -> tuple[int, ...]:
    """Indices of `critiques`, best first; of equals the earlier one stays in front.

    Complete critiques come before all others. `by` is "overall" or the key of one aspect; where that aspect
    does not apply, the critique ranks after those it applies to. With a `bar`, those that reach it on every
    aspect, or those that reach all `Bars`, come first.
    """
    _check(critiques, by)
    bars = Bars(bar) if isinstance(bar, (int, float)) else bar

    def order(index: int) -> tuple:
        critique = critiques[index]
        score = critique.overall if by == OVERALL else critique.aspect(by).score
        accepted = bars is not None and bars.reached(critique)
        return (critique.status != COMPLETE, not accepted, score is None, -(score or 0.0))

    return tuple(sorted(range(len(critiques)), key=order))


def top_k(
    critiques: Sequence[Critique], k: int, by: str = OVERALL
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The `k` best and the rest, both best first. A `k` larger than there are critiques takes them all."""
    if k < 1:
        raise ValueError(f"count must be 1 or more, not {k}: there is no best of none.")
    order = rank(critiques, by)
    return order[:k], order[k:]


def _check(critiques: Sequence[Critique], by: str) -> None:
    if by == OVERALL:
        return
    for number, critique in enumerate(critiques, 1):
        keys = [a.key for a in critique.aspects]
        if by not in keys:
            raise ValueError(
                f"by: critique {number} has no aspect {by!r}; take {OVERALL!r} or one of {', '.join(keys)}."
            )
