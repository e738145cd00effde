"""The probabilities that were measured where scores stand: expected scores, and whether a score counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from ..engine.program import Choice
from ..judgement.answer_format import NOT_APPLICABLE_TEXTS, Key
from ..judgement.critique import COMPLETE, INCOMPLETE, MISSING, SCORED, AspectScore, Critique
from ..judgement.verdict import PairScore, Verdict
from ..parsing.parse import AnswerReading
from .options import EXPECTED, WRITTEN

MIN_FORM_MASS = 0.01
"""The least probability that a critic must give to scores where it wrote one by itself, or the score does not
count. How it was derived: docs/decisions.md."""
MIN_ASKED_MASS = 0.5
"""The same where it was asked for a score: a critic that would rather write something else has none."""

_DECIMALS = 4  # of an expected score: further ones differ between machines


def form_mass(table: Mapping[str, float]) -> float:
    """The probability that the critic gave to all words of a table together, 0 to 1."""
    return min(math.fsum(table.values()), 1.0)


def expected_score(table: Mapping[str, float]) -> tuple[float, float] | None:
    """Mean and standard deviation of the scores in a table of probabilities by word; None if it gives them no
    probability at all. N/A does not count."""
    chances = [(float(word), p) for word, p in table.items() if word not in NOT_APPLICABLE_TEXTS]
    total = math.fsum(p for _, p in chances)
    if not total:
        return None
    mean = math.fsum(score * p for score, p in chances) / total
    variance = math.fsum(p * (score - mean) ** 2 for score, p in chances) / total
    return mean, math.sqrt(variance)


def with_measured(
    reading: AnswerReading, measured: Mapping[int, Choice], score_mode: str = WRITTEN
) -> Critique | Verdict:
    """The judgement with what was measured at its scores, by line. A score that the critic gave hardly any
    probability is missing, with a note."""
    judgement: Critique | Verdict = reading.judgement
    lines = {key: line for key, line in reading.value_lines.items() if key[-1] != "winner"}
    shared = Counter(lines.values())  # of two scores in one line only one was measured
    tables = {key: measured[n].table for key, n in lines.items() if n in measured and shared[n] == 1}
    notes: list[str] = []
    use_expected = score_mode == EXPECTED
    aspects = tuple(
        _pair(aspect, tables, judgement.scale, use_expected, notes)
        if isinstance(aspect, PairScore)
        else _single(aspect, tables.get((aspect.key, "score")), judgement.scale, use_expected, notes)
        for aspect in judgement.aspects
    )
    lost = judgement.status == COMPLETE and any(aspect.status == MISSING for aspect in aspects)
    status = INCOMPLETE if lost else judgement.status
    return replace(judgement, aspects=aspects, status=status, notes=(*judgement.notes, *notes))


def _single(
    aspect: AspectScore,
    table: Mapping[str, float] | None,
    scale: tuple[float, float],
    use_expected: bool,
    notes: list[str],
) -> AspectScore:
    if table is None or aspect.status == MISSING:
        return aspect
    mass = form_mass(table)
    if mass < MIN_FORM_MASS:
        notes.append(_too_unlikely(aspect.name, mass))
        return AspectScore(aspect.key, aspect.name, justification=aspect.justification, form_mass=mass)
    aspect = replace(aspect, form_mass=round(mass, _DECIMALS))
    expected = _on_scale(table, scale)
    if aspect.status != SCORED or expected is None:
        return aspect
    aspect = replace(aspect, expected=expected[0], std=expected[1])
    if use_expected:
        written = aspect.score if aspect.written is None else aspect.written
        return replace(aspect, score=aspect.expected, written=written)
    return aspect


def _pair(
    aspect: PairScore,
    tables: Mapping[Key, Mapping[str, float]],
    scale: tuple[float, float],
    use_expected: bool,
    notes: list[str],
) -> PairScore:
    both = [tables.get((aspect.key, part)) for part in ("score_a", "score_b")]
    if aspect.status != SCORED:
        return aspect
    masses = [form_mass(table) for table in both if table is not None]
    if masses and min(masses) < MIN_FORM_MASS:
        notes.append(_too_unlikely(aspect.name, min(masses)))
        return PairScore(aspect.key, aspect.name, justification=aspect.justification)
    if use_expected:
        expected = [_on_scale(table, scale) if table else None for table in both]
        a, b = (
            score if mean is None else mean[0]
            for score, mean in zip((aspect.score_a, aspect.score_b), expected, strict=True)
        )
        return replace(aspect, score_a=a, score_b=b)
    return aspect


def _on_scale(table: Mapping[str, float], scale: tuple[float, float]) -> tuple[float, float] | None:
    """Expected score, on the scale, and its standard deviation."""
    found = expected_score(table)
    if found is None:
        return None
    mean, std = (round(number, _DECIMALS) for number in found)
    return min(max(mean, scale[0]), scale[1]), std


def _too_unlikely(name: str, mass: float) -> str:
    return (
        f"{name}: its score does not count, because the critic gave scores only {mass:.1%} of its probability"
    )
