"""The law of constrained decoding: whatever the parser reads as complete is written as it is meant, token for
token; and nothing that holds no score gets one.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from rr_tests.natural_answers import ANSWERS, NOT_READ, WITHOUT_REQUEST, NaturalAnswer
from rr_tests.random_answers import answers
from rr_tests.scripted import NonFiniteAfter, scripted
from rr_tests.writing import IMAGE, MISSING, REQUEST, Written, nonsense, scores, write, write_any

from rr_models.critics.judging import critique
from rr_models.errors import CriticError
from rr_models.judgement.critique import COMPLETE, REFUSED
from rr_models.parsing.parse import parse_answer

ALL = [*ANSWERS, *WITHOUT_REQUEST, *NOT_READ]
BATCH = 64
MANY = int(os.environ.get("RR_RANDOM_ANSWERS", "200"))
"""Random answers of the slow test. 5,000 take most of an hour: the script is asked at every node of a
trie."""


@pytest.fixture(scope="module", params=["small", pytest.param("real", marks=pytest.mark.slow)])
def critic(request: pytest.FixtureRequest):
    """With the whole vocabulary, or with its beginning."""
    return request.getfixturevalue(f"{request.param}_vocabulary_critic")


@pytest.fixture(scope="module")
def constrained(critic) -> dict[str, Written]:
    """All natural answers by name, as the critic writes them constrained."""
    return {answer.name: one for answer, one in zip(ALL, write(critic, ALL), strict=True)}


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_a_complete_answer_is_written_as_it_is_meant(critic, constrained, answer: NaturalAnswer):
    check(critic, answer, constrained[answer.name])
    assert scores(constrained[answer.name].judgement) == answer.scores


@pytest.mark.parametrize("answer", WITHOUT_REQUEST, ids=lambda answer: answer.name)
def test_a_refined_request_is_all_that_is_added_to_an_answer_without(critic, constrained, answer):
    written = constrained[answer.name]
    assert written.completion.token_ids[: len(written.meant)] == written.meant
    assert scores(written.judgement) == answer.scores and written.judgement.status == COMPLETE


@pytest.mark.parametrize("answer", NOT_READ, ids=lambda answer: answer.name)
def test_every_score_of_an_answer_that_goes_on_is_the_critics_own(constrained, answer: NaturalAnswer):
    for aspect in constrained[answer.name].judgement.aspects:
        assert getattr(aspect, "form_mass", None) in (None, 1.0)


def check(critic, answer: NaturalAnswer, written: Written) -> None:
    """The tokens are those that were meant, and the judgement is what the parser reads in them."""
    ids = written.completion.token_ids
    assert critic.tokenizer.decode(ids) == answer.text, answer.name
    assert ids == written.meant, answer.name
    expected, judgement = parse_answer(answer.text, answer.task, REQUEST), written.judgement
    assert judgement.status == COMPLETE
    assert scores(judgement) == scores(expected)
    for text in ("analysis", "summary", "refinement_comments", "refined_request"):
        assert getattr(judgement, text, "") == getattr(expected, text, ""), text
    for aspect, other in zip(judgement.aspects, expected.aspects, strict=True):
        assert aspect.justification == other.justification


@pytest.mark.parametrize("count", [60, pytest.param(MANY, marks=pytest.mark.slow)])
def test_random_answers_are_written_as_they_are_meant(small_vocabulary_critic, count: int):
    drawn = random_answers(count)
    complete = [
        answer for answer in drawn if parse_answer(answer.text, answer.task, REQUEST).status == COMPLETE
    ]
    assert len(complete) > count / 3
    for start in range(0, len(complete), BATCH):
        batch = complete[start : start + BATCH]
        for answer, written in zip(batch, write(small_vocabulary_critic, batch), strict=True):
            check(small_vocabulary_critic, answer, written)


def random_answers(count: int) -> list[NaturalAnswer]:
    """The same ones every time. Written together they cost a tenth of what they cost alone."""
    drawn: list[NaturalAnswer] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(answers())
    def draw(answer: NaturalAnswer):
        drawn.append(answer)

    draw()
    return drawn


@pytest.fixture(scope="module")
def senseless(critic) -> dict[str, Written]:
    """All nonsense by name, as the critic writes it constrained."""
    cases = nonsense(critic)
    written = write_any(critic, list(cases.values()), ["t2i"] * len(cases), max_new_tokens=400)
    return dict(zip(cases, written, strict=True))


NONSENSE = (
    "one sentence over and over",
    "one line over and over",
    "Chinese without end",
    "thinking without end",
    "ever new words",
    "always ' a'",
    "always a line end",
    "always '#'",
    "always a blank",
    "always '3'",
    "always half a character",
    "always <|image_pad|>",
    "always <|vision_start|>",
    "always <|im_start|>",
    "always <think>",
    "always a token that is none",
    "ends at once",
    "ends at once, as a base model does",
    "Chinese without headings",
    "words without headings",
    "refuses",
    "refuses in Chinese",
)


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_gets_no_score(senseless, name: str):
    judgement = senseless[name].judgement
    assert set(scores(judgement)) == {MISSING}
    assert judgement.status != COMPLETE and judgement.overall is None


def test_all_nonsense_is_tried(senseless):
    assert sorted(senseless) == sorted(NONSENSE)


@pytest.mark.parametrize("name", ["refuses", "refuses in Chinese"])
def test_a_refusal_is_called_one(senseless, name: str):
    assert senseless[name].judgement.status == REFUSED
    assert senseless[name].completion.token_ids == senseless[name].meant


@pytest.mark.parametrize("count", [0, 20])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_an_error(critic, count: int, value: float):
    size = critic.model.config.get_text_config().vocab_size
    answer = NonFiniteAfter(count, critic.tokenizer(" a").input_ids[0], size, value)
    with scripted(critic, answer), pytest.raises(CriticError, match="NaN|finite|number"):
        critique(critic, [IMAGE], REQUEST)
