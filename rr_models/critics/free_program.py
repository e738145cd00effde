"""The program of a free answer: the model's own words, up to their end or until enough has been written."""

from __future__ import annotations

from collections.abc import Callable

from ..engine.program import Program
from ..judgement.answer_format import FULL, SCORES
from ..judgement.aspects import Profile
from ..judgement.critique import MISSING, Critique
from ..judgement.verdict import Verdict
from ..parsing.parse import parse_answer
from .answer_program import TokenSets
from .base import Question


def free(question: Question, detail: str, profile: Profile, tokens: TokenSets) -> Program:
    """Samples until the model ends its answer, or until a line ends and it has all that `detail` asks for."""
    ids: list[int] = []
    enough = _enough(question, detail, profile)
    while True:
        token = yield tokens.free
        assert isinstance(token, int)
        if token in tokens.eos:
            return
        ids.append(token)
        if enough and "\n" in tokens.text(token) and enough(tokens.decode(ids)):
            return


def read(question: Question, text: str, profile: Profile, truncated: bool) -> Critique | Verdict:
    """What the parser makes of an answer."""
    return parse_answer(text, question.task, question.request, truncated=truncated, profile=profile)


def _enough(question: Question, detail: str, profile: Profile) -> Callable[[str], bool] | None:
    if detail == FULL:
        return None

    def enough(text: str) -> bool:
        judgement = read(question, text, profile, truncated=True)
        scored = all(aspect.status != MISSING for aspect in judgement.aspects)
        return scored and (detail == SCORES or bool(judgement.summary))

    return enough
