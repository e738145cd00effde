"""What critics of this kind write, in many ways, is read as a person reads it, and written as it is meant."""

from __future__ import annotations

from typing import Any

import pytest
from rr_tests import driver
from rr_tests.natural_answers import ANSWERS, NOT_READ, WITHOUT_REQUEST, NaturalAnswer
from rr_tests.random_answers import answer as random_answer
from rr_tests.writing import MISSING, REQUEST, nonsense, scores, write, write_any

from rr_models.judgement.critique import COMPLETE
from rr_models.parsing.parse import parse_answer


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
    complete = 0
    for answer in map(random_answer, range(500)):
        judgement = parse_answer(answer.text, answer.task, REQUEST)
        if judgement.status == COMPLETE:
            complete += 1
            assert scores(judgement) == answer.scores, answer.text
    assert complete > 400


@by_name([*ANSWERS, *NOT_READ])
def test_free_decoding_writes_what_is_meant(real_tokens, answer: NaturalAnswer):
    written = driver.write(real_tokens, answer, constrained=False)
    assert written.completion.token_ids == written.meant
    assert written.completion.forced_tokens == 0
    assert written.judgement == parse_again(written.judgement)
    assert (written.judgement.status == COMPLETE) == (answer in ANSWERS)


def test_so_does_the_engine(small_vocabulary_critic):
    some = [*ANSWERS, *NOT_READ][::6]
    for answer, written in zip(some, write(small_vocabulary_critic, some, constrained=False), strict=True):
        assert written.completion.token_ids == written.meant, answer.name
        assert written.completion.forced_tokens == 0
        assert written.judgement == parse_again(written.judgement)


def parse_again(judgement: Any) -> Any:
    """What the parser makes of a judgement's text, with its source."""
    again = parse_answer(judgement.text, judgement.task, judgement.request)
    return type(judgement)(**{**vars(again), "source": judgement.source})


def test_nonsense_written_freely_has_no_score(small_vocabulary_critic):
    critic = small_vocabulary_critic
    cases = nonsense(critic)
    written = write_any(
        critic, list(cases.values()), ["t2i"] * len(cases), constrained=False, max_new_tokens=200
    )
    for name, one in zip(cases, written, strict=True):
        assert one.judgement.status != COMPLETE, name
        assert set(scores(one.judgement)) == {MISSING}, name
