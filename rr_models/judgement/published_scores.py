"""Critiques as the numbers that others have published: for comparison only, never to choose by.

The published ways to turn an answer into a number disagree (see the table in README.md), and all of them
drop an aspect that is missing, which rewards an answer for being cut off. Our own number is
`Critique.overall`; what this module computes is wrong in the same way as its source, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

from .critique import MISSING, NOT_APPLICABLE, SCORED, AspectScore, Critique
from .verdict import TIE, A, B, Verdict


@dataclass(frozen=True)
class Published:
    """One published way: which aspects count, whether numbers beyond the scale are brought to its edge, and
    whether the mean is brought to 0-1."""

    source: str
    aspects: tuple[str, ...]
    clamped: bool
    to_unit: bool


_THREE = ("text_faithfulness", "physical_quality", "text_rendering")
_FOUR = ("text_faithfulness", "image_faithfulness", "physical_quality", "text_rendering")

PUBLISHED = {
    "card-t2i": Published("model card RationalRewards-8B-T2I", _THREE, clamped=True, to_unit=True),
    "card-edit": Published("model card RationalRewards-8B-Edit", _FOUR, clamped=False, to_unit=True),
    "rl": Published("the RL scripts, without Image Faithfulness", _THREE, clamped=False, to_unit=True),
    "paper": Published("paper, equation 13", _FOUR, clamped=False, to_unit=False),
}


def published(critique: Critique, way: str) -> float | None:
    """The number that the published code of that name would give; 0-1, or 1-4 for "paper".

    Where nothing was scored, the scripts say 0.0 and the paper says nothing (None).
    """
    if way not in PUBLISHED:
        raise ValueError(f"way must be one of {', '.join(PUBLISHED)}, not {way!r}.")
    rule = PUBLISHED[way]
    scored = [a for a in critique.aspects if a.status == SCORED and a.key in rule.aspects]
    worst, best = critique.scale
    if not scored:
        return 0.0 if rule.to_unit else None
    mean = sum(_number(a, rule.clamped) for a in scored) / len(scored)
    return (mean - worst) / (best - worst) if rule.to_unit else mean


def published_winner(verdict: Verdict) -> str:
    """The winner as the published pairwise evaluation finds it: the larger sum of scores wins, whatever is
    not applicable or missing counts as 2.5, and only equal sums are a tie."""
    middle = sum(verdict.scale) / 2
    unread = (NOT_APPLICABLE, MISSING)
    a, b = (
        sum(middle if s.status in unread else getattr(s, name) for s in verdict.aspects)
        for name in ("score_a", "score_b")
    )
    return TIE if a == b else A if a > b else B


def _number(aspect: AspectScore, clamped: bool) -> float:
    number = aspect.score if clamped or aspect.written is None else aspect.written
    assert number is not None, "a scored aspect has a score"
    return number
