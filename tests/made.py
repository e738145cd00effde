"""Critiques made by hand, for tests of what is done with them."""

from __future__ import annotations

from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.judgement.critique import (
    COMPLETE,
    INCOMPLETE,
    MISSING,
    NOT_APPLICABLE,
    SCORED,
    AspectScore,
    Critique,
)


def critique(
    *scores: float | None, refined: str = "a better request", task: str = "t2i", **fields
) -> Critique:
    """A critique with these scores, in the order of the task's aspects; what is left out does not apply.

    None stands for a missing score and makes the critique incomplete.
    """
    given = [*scores, *["N/A"] * (len(RATIONAL_REWARDS.aspects(task)) - len(scores))]
    aspects = tuple(
        AspectScore(aspect.key, aspect.name, NOT_APPLICABLE)
        if score == "N/A"
        else AspectScore(aspect.key, aspect.name, MISSING if score is None else SCORED, score)
        for aspect, score in zip(RATIONAL_REWARDS.aspects(task), given, strict=True)
    )
    fields.setdefault("request", "a request")
    fields.setdefault("status", INCOMPLETE if None in scores else COMPLETE)
    return Critique(task=task, aspects=aspects, refined_request=refined, **fields)
