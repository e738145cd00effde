"""What critics of this kind write, in many ways, is read as a person reads it, and written as it is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from rr_tests.natural_answers import ANSWERS, NOT_READ, WITHOUT_REQUEST, NaturalAnswer
from rr_tests.random_answers import answers
from rr_tests.real_vocabulary import in_style
from rr_tests.scripted import Writes, scripted

from rr_models.critics.base import Question
from rr_models.critics.options import JudgeOptions
from rr_models.engine.sequence import Completion
from rr_models.judgement.critique import COMPLETE, NOT_APPLICABLE, SCORED
from rr_models.judgement.task import Task
from rr_models.parsing.parse import parse_answer

REQUEST = "A red fox asleep on a blue chair."
MISSING = "missing"
IMAGE = torch.zeros(64, 64, 3)


def scores(judgement: Any) -> tuple:
    """Its scores in the form of `NaturalAnswer.scores`."""

    def read(aspect):
        if aspect.status == NOT_APPLICABLE:
            return None
        if aspect.status != SCORED:
            return MISSING
        pair = hasattr(aspect, "winner")
        return (aspect.score_a, aspect.score_b, aspect.winner) if pair else aspect.score

    return tuple(map(read, judgement.aspects))


def by_name(answers: list[NaturalAnswer]):
    assert len({answer.name for answer in answers}) == len(answers)
    return pytest.mark.parametrize("answer", answers, ids=lambda answer: answer.name)


@by_name([*ANSWERS, *WITHOUT_REQUEST])
def test_the_scores_are_those_that_a_person_reads(answer: NaturalAnswer):
    judgement = parse_answer(answer.text, answer.task, REQUEST)
    assert scores(judgement) == answer.scores
    assert judgement.status == COMPLETE


@by_name(NOT_READ)
def test_what_is_not_read_is_missing_and_no_other_number(answer: NaturalAnswer):
    judgement = parse_answer(answer.text, answer.task, REQUEST)
    assert answer.reason and judgement.status != COMPLETE
    for read, written in zip(scores(judgement), answer.scores, strict=True):
        assert read in (written, MISSING)


def test_no_other_scores_are_read_than_were_written():
    statuses = []

    @settings(max_examples=100)
    @given(answers())
    def check(answer: NaturalAnswer):
        judgement = parse_answer(answer.text, answer.task, REQUEST)
        statuses.append(judgement.status)
        if judgement.status == COMPLETE:
            assert scores(judgement) == answer.scores

    check()
    assert statuses.count(COMPLETE) > len(statuses) / 2


@dataclass(frozen=True)
class Written:
    """What the critic made of an answer: `meant` are the token ids of its text."""

    judgement: Any
    completion: Completion
    meant: list[int]


def write(critic, answers: list[NaturalAnswer], **options) -> list[Written]:
    """Let the critic write these answers."""
    written: dict[int, Written] = {}
    for style in sorted({answer.style for answer in answers}):
        numbers = [number for number, answer in enumerate(answers) if answer.style == style]
        requests = {number: f"{REQUEST} ({number})" for number in numbers}
        texts = {requests[number]: Writes(critic.tokenizer, answers[number].text) for number in numbers}
        questions = []
        for number in numbers:
            task = Task(answers[number].task)
            images = (IMAGE, IMAGE) if task.is_pair else (IMAGE,)
            questions.append(Question(task, requests[number], images, (IMAGE,) if task.has_source else ()))
        asked = in_style(critic, style)
        with scripted(asked, texts) as script:
            judgements = asked.judge(questions, JudgeOptions(batch_size=32, **options))
        for number, judgement in zip(numbers, judgements, strict=True):
            request = requests[number]
            (completion,) = script.written[request]
            written[number] = Written(judgement, completion, texts[request].ids[:-1])
    return [written[number] for number in range(len(answers))]


@pytest.fixture(scope="module", params=["small", pytest.param("real", marks=pytest.mark.slow)])
def critic(request: pytest.FixtureRequest):
    """With the whole vocabulary, or with its beginning."""
    return request.getfixturevalue(f"{request.param}_vocabulary_critic")


@pytest.fixture(scope="module")
def free(critic) -> dict[str, Written]:
    """All answers by name, as the critic writes them freely."""
    written = write(critic, [*ANSWERS, *NOT_READ], constrained=False)
    return {answer.name: one for answer, one in zip([*ANSWERS, *NOT_READ], written, strict=True)}


@by_name([*ANSWERS, *NOT_READ])
def test_free_decoding_writes_what_is_meant(free, answer: NaturalAnswer):
    written = free[answer.name]
    assert written.completion.token_ids == written.meant
    assert written.completion.forced_tokens == 0
    assert written.judgement == parse_again(written.judgement)
    assert (written.judgement.status == COMPLETE) == (answer in ANSWERS)


def parse_again(judgement: Any) -> Any:
    """What the parser makes of a judgement's text, with its source."""
    again = parse_answer(judgement.text, judgement.task, judgement.request)
    return type(judgement)(**{**vars(again), "source": judgement.source})
