"""Several passes of a critic over one picture -> one critique with the mean scores and how far they spread.

Pure functions; knows nothing of models or pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev

from .critique import COMPLETE, NOT_APPLICABLE, SCORED, AspectScore, Critique

_DIGITS = 4


def averaged_passes(passes: Sequence[Critique]) -> Critique:
    """One critique of several drawn ones. Scores are the means of all complete passes, `std` their
    standard deviation; an aspect applies where it does in most of them. The words are those of the pass that
    comes closest to the mean. Without a complete pass: the first.
    """
    whole = [one for one in passes if one.status == COMPLETE]
    if not whole:
        return _noted(passes[0], f"none of {len(passes)} passes is complete")
    aspects = [_aspect([one.aspects[at] for one in whole]) for at in range(len(whole[0].aspects))]
    middle = replace(whole[0], aspects=tuple(aspects))
    nearest = min(whole, key=lambda one: abs((one.overall or 0) - (middle.overall or 0)))
    words = {a.key: a.justification for a in nearest.aspects}
    aspects = [replace(a, justification=words[a.key]) for a in aspects]
    overall = [one.overall for one in whole if one.overall is not None]
    note = f"mean of {len(whole)} passes"
    if overall:
        note += f"; their overall scores spread by {pstdev(overall):.2f}"
    if len(whole) < len(passes):
        note += f"; {len(passes) - len(whole)} more were not complete"
    return _noted(replace(nearest, aspects=tuple(aspects)), note)


def _aspect(several: Sequence[AspectScore]) -> AspectScore:
    scored = [one for one in several if one.status == SCORED]
    first = several[0]
    if 2 * len(scored) < len(several):
        return AspectScore(first.key, first.name, NOT_APPLICABLE)
    scores = [one.score for one in scored if one.score is not None]
    expected = [one.expected for one in scored if one.expected is not None]
    return AspectScore(
        first.key,
        first.name,
        SCORED,
        round(fmean(scores), _DIGITS),
        expected=round(fmean(expected), _DIGITS) if expected else None,
        std=round(pstdev(scores), _DIGITS),
    )


def _noted(critique: Critique, note: str) -> Critique:
    return replace(critique, notes=(*critique.notes, note))
