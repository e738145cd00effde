"""What was written under guidance -> Critique or Verdict, from the record of its parts: nothing is parsed."""

from __future__ import annotations

from ..judgement import critique as data
from ..judgement.aspects import Profile
from ..judgement.critique import AspectScore, Critique
from ..judgement.verdict import PairScore, Verdict, winner_of
from ..parsing.refined_prompt import prompt as refined_request
from .answer_program import WINNERS, Trace, expectation

WRITTEN, EXPECTED = "written", "expected"
SCORE_MODES = (WRITTEN, EXPECTED)
"""Which number is the score: the one that was written, or the mean of all that could have been."""

_DIGITS = 4  # of an expected score: what lies beyond is rounding of the machine


def critique(
    record: Trace, task: str, request: str, profile: Profile, text: str, cut: bool, score_mode: str = WRITTEN
) -> Critique:
    """The critique of one picture. Scores are missing only where a token limit has cut the answer off."""
    aspects = []
    for aspect in profile.aspects(task):
        words = record.texts.get((aspect.key, "justification"), "")
        name = (aspect.key, "score")
        if name not in record.scores:
            status = data.NOT_APPLICABLE if name in record.choices else data.MISSING
            aspects.append(AspectScore(aspect.key, aspect.name, status, justification=words))
            continue
        score, written = record.scores[name], None
        expected, spread = (round(number, _DIGITS) for number in expectation(record.choices[name]))
        expected = min(max(expected, profile.worst), profile.best)
        if score_mode == EXPECTED:
            score, written = expected, score
        aspects.append(
            AspectScore(aspect.key, aspect.name, data.SCORED, score, words, written, expected, spread)
        )
    return Critique(
        task=task,
        request=request,
        aspects=tuple(aspects),
        status=_status([a.status for a in aspects]),
        analysis=record.texts.get(("analysis",), ""),
        summary=record.texts.get(("summary",), ""),
        refinement_comments=record.texts.get(("comments",), ""),
        refined_request=refined_request(record.texts.get(("refined",), "")),
        text=text,
        notes=_notes(record, cut),
        scale=profile.scale,
    )


def verdict(
    record: Trace, task: str, request: str, profile: Profile, text: str, cut: bool, score_mode: str = WRITTEN
) -> Verdict:
    """The same of a pair. Where one picture got a score and the other N/A, the aspect does not apply."""
    aspects, notes = [], list(_notes(record, cut))
    for aspect in profile.aspects(task):
        words = record.texts.get((aspect.key, "justification"), "")
        names = [(aspect.key, name) for name in ("score_a", "score_b", "winner")]
        if not all(name in record.choices for name in names):
            aspects.append(PairScore(aspect.key, aspect.name, justification=words))
            continue
        a, b = (record.scores.get(name) for name in names[:2])
        if a is None or b is None:
            if a is not b:
                notes.append(f"{aspect.name}: N/A for one of the pictures, so it is not compared")
            aspects.append(PairScore(aspect.key, aspect.name, data.NOT_APPLICABLE, justification=words))
            continue
        said = WINNERS.get(record.choices[names[2]].word)
        if score_mode == EXPECTED:
            means = (round(expectation(record.choices[name])[0], _DIGITS) for name in names[:2])
            a, b = (min(max(mean, profile.worst), profile.best) for mean in means)
        winner = said or winner_of(a - b, 0)
        aspects.append(PairScore(aspect.key, aspect.name, data.SCORED, a, b, winner, words))
    return Verdict(
        task=task,
        request=request,
        aspects=tuple(aspects),
        status=_status([a.status for a in aspects]),
        analysis=record.texts.get(("analysis",), ""),
        summary=record.texts.get(("summary",), ""),
        text=text,
        notes=tuple(notes),
        scale=profile.scale,
    )


def _status(statuses: list[str]) -> str:
    return data.TRUNCATED if data.MISSING in statuses else data.COMPLETE


def _notes(record: Trace, cut: bool) -> tuple[str, ...]:
    notes = [f"{' '.join(name).replace('_', ' ')} was closed: {why}" for name, why in record.closed.items()]
    if cut:
        notes.append("the token limit leaves no room for the whole answer, and has cut it off")
    return tuple(notes)
