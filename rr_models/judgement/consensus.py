"""Several critiques of one image, sampled independently -> one with their mean scores and standard
deviations.

Pure functions; knows nothing of models or images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev

from .critique import COMPLETE, NOT_APPLICABLE, SCORED, AspectScore, Critique

_DIGITS = 4


def averaged_passes(passes: Sequence[Critique]) -> Critique:
    """One critique from several sampled ones. Scores are the means of all complete passes, `std` their
    standard deviations; an aspect applies if it does in at least half of them. The texts are those of the
    pass closest to the mean. Without a complete pass: the first one.
    """
    complete = [critique for critique in passes if critique.status == COMPLETE]
    if not complete:
        return _noted(passes[0], f"none of {len(passes)} samples is complete")
    aspects = [_mean(scores) for scores in zip(*(critique.aspects for critique in complete), strict=True)]
    mean = replace(complete[0], aspects=tuple(aspects))
    nearest = min(complete, key=lambda critique: abs((critique.overall or 0) - (mean.overall or 0)))
    justifications = {a.key: a.justification for a in nearest.aspects}
    aspects = [replace(a, justification=justifications[a.key]) for a in aspects]
    overall = [critique.overall for critique in complete if critique.overall is not None]
    note = f"mean of {len(complete)} samples"
    if overall:
        note += f"; standard deviation of the overall score: {pstdev(overall):.2f}"
    if len(complete) < len(passes):
        note += f"; {len(passes) - len(complete)} more were not complete"
    return _noted(replace(nearest, aspects=tuple(aspects)), note)


def _mean(samples: Sequence[AspectScore]) -> AspectScore:
    scored = [sample for sample in samples if sample.status == SCORED]
    first = samples[0]
    if 2 * len(scored) < len(samples):
        return AspectScore(first.key, first.name, NOT_APPLICABLE)
    scores = [sample.score for sample in scored if sample.score is not None]
    expected = [sample.expected for sample in scored if sample.expected is not None]
    return AspectScore(
        first.key,
        first.name,
        SCORED,
        round(fmean(scores), _DIGITS),
        expected=round(fmean(expected), _DIGITS) if expected else None,
        std=round(pstdev(scores), _DIGITS),
        form_mass=min((s.form_mass for s in scored if s.form_mass is not None), default=None),
    )


def _noted(critique: Critique, note: str) -> Critique:
    return replace(critique, notes=(*critique.notes, note))
