"""The scores that published code computes from a critique: for comparison only, never for ranking.

The published rules disagree with each other, and all of them drop a missing aspect, which rewards an answer
that was cut off. Our own score is `Critique.overall`; this module reproduces the flaws of its sources on
purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

from .critique import MISSING, NOT_APPLICABLE, SCORED, AspectScore, Critique
from .verdict import TIE, A, B, Verdict


@dataclass(frozen=True)
class Published:
    """One published rule: which aspects count, whether scores beyond the scale are clamped, and whether the
    mean is mapped to 0-1."""

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


def published_score(critique: Critique, rule: str) -> float | None:
    """The score by the published rule of that name: 0-1, or on the critique's scale for "paper".

    If nothing was scored, the scripts give 0.0 and the paper gives none (None). ValueError for an unknown
    rule.
    """
    if rule not in PUBLISHED:
        raise ValueError(f"rule must be one of {', '.join(PUBLISHED)}, not {rule!r}.")
    published = PUBLISHED[rule]
    scored = [a for a in critique.aspects if a.status == SCORED and a.key in published.aspects]
    worst, best = critique.scale
    if not scored:
        return 0.0 if published.to_unit else None
    mean = sum(_score(a, published.clamped) for a in scored) / len(scored)
    return (mean - worst) / (best - worst) if published.to_unit else mean


def published_winner(verdict: Verdict) -> str:
    """The winner by the published pairwise evaluation: the larger sum of scores wins, an aspect that is
    missing or does not apply counts as the middle of the scale (2.5), and only equal sums tie."""
    middle = sum(verdict.scale) / 2
    unread = (NOT_APPLICABLE, MISSING)
    a, b = (
        sum(middle if s.status in unread else getattr(s, name) for s in verdict.aspects)
        for name in ("score_a", "score_b")
    )
    return TIE if a == b else A if a > b else B


def _score(aspect: AspectScore, clamped: bool) -> float:
    score = aspect.score if clamped or aspect.written is None else aspect.written
    assert score is not None, "a scored aspect has a score"
    return score
