"""The trace of constrained decoding -> Critique or Verdict. Nothing is parsed."""

from __future__ import annotations

from collections.abc import Iterable

from ..judgement.answer_format import WINNERS
from ..judgement.aspects import Aspect, Profile
from ..judgement.critique import COMPLETE, MISSING, NOT_APPLICABLE, SCORED, TRUNCATED, AspectScore, Critique
from ..judgement.task import Task
from ..judgement.verdict import PairScore, Verdict, winner_of
from ..parsing.refined_prompt import prompt as refined_request
from .answer_program import Trace, expected_score

WRITTEN, EXPECTED = "written", "expected"
SCORE_MODES = (WRITTEN, EXPECTED)
"""Which number is the score: the one that was written, or the mean of all that could have been."""

_DECIMALS = 4  # of an expected score: further ones differ between machines


def judgement(
    trace: Trace,
    task: Task,
    request: str,
    profile: Profile,
    text: str,
    truncated: bool,
    score_mode: str = WRITTEN,
) -> Critique | Verdict:
    """The critique of one image, or the verdict on a pair. A score is missing only where the token limit has
    cut the answer off, which is `truncated`."""
    notes = [f"{' '.join(key).replace('_', ' ')} was closed: {why}" for key, why in trace.closed.items()]
    if truncated:
        notes.append("the token limit leaves no room for the whole answer, and has cut it off")
    expected = score_mode == EXPECTED
    if task.is_pair:
        aspects = [_pair_score(trace, aspect, profile, expected, notes) for aspect in profile.aspects(task)]
    else:
        aspects = [_aspect_score(trace, aspect, profile, expected) for aspect in profile.aspects(task)]
    common = {
        "task": task,
        "request": request,
        "aspects": tuple(aspects),
        "status": _status(aspect.status for aspect in aspects),
        "analysis": trace.texts.get(("analysis",), ""),
        "summary": trace.texts.get(("summary",), ""),
        "text": text,
        "notes": tuple(notes),
        "scale": profile.scale,
    }
    if task.is_pair:
        return Verdict(**common)
    return Critique(
        **common,
        refinement_comments=trace.texts.get(("refinement_comments",), ""),
        refined_request=refined_request(trace.texts.get(("refined_request",), "")),
    )


def _aspect_score(trace: Trace, aspect: Aspect, profile: Profile, use_expected: bool) -> AspectScore:
    key = (aspect.key, "score")
    justification = trace.texts.get((aspect.key, "justification"), "")
    if key not in trace.scores:
        status = NOT_APPLICABLE if key in trace.choices else MISSING
        return AspectScore(aspect.key, aspect.name, status, justification=justification)
    score, written = trace.scores[key], None
    expected, std = _expected(trace, key, profile)
    if use_expected:
        score, written = expected, score
    return AspectScore(aspect.key, aspect.name, SCORED, score, justification, written, expected, std)


def _pair_score(
    trace: Trace, aspect: Aspect, profile: Profile, use_expected: bool, notes: list[str]
) -> PairScore:
    """Both scores of an aspect. If one image got a score and the other N/A, the aspect does not apply, which
    is added to `notes`."""
    key_a, key_b, winner_key = ((aspect.key, part) for part in ("score_a", "score_b", "winner"))
    justification = trace.texts.get((aspect.key, "justification"), "")
    if not all(key in trace.choices for key in (key_a, key_b, winner_key)):
        return PairScore(aspect.key, aspect.name, justification=justification)
    a, b = trace.scores.get(key_a), trace.scores.get(key_b)
    if a is None or b is None:
        if a is not b:
            notes.append(f"{aspect.name}: N/A for one of the images, so it is not compared")
        return PairScore(aspect.key, aspect.name, NOT_APPLICABLE, justification=justification)
    if use_expected:
        a, b = (_expected(trace, key, profile)[0] for key in (key_a, key_b))
    winner = WINNERS.get(trace.choices[winner_key].word) or winner_of(a - b, 0)
    return PairScore(aspect.key, aspect.name, SCORED, a, b, winner, justification)


def _expected(trace: Trace, key: tuple[str, str], profile: Profile) -> tuple[float, float]:
    """Expected score, on the scale, and its standard deviation."""
    mean, std = (round(number, _DECIMALS) for number in expected_score(trace.choices[key]))
    return min(max(mean, profile.worst), profile.best), std


def _status(statuses: Iterable[str]) -> str:
    return TRUNCATED if MISSING in statuses else COMPLETE
