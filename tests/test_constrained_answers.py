"""The law of constrained decoding: whatever the parser reads as complete is written as it is meant, token for
token; and nothing that holds no score gets one.
"""

from __future__ import annotations

import os

import pytest
from rr_tests import driver
from rr_tests.natural_answers import ANSWERS, NOT_READ, WITHOUT_REQUEST, NaturalAnswer
from rr_tests.random_answers import answer as random_answer
from rr_tests.scripted import NonFiniteAfter, scripted
from rr_tests.writing import IMAGE, MISSING, REQUEST, Written, nonsense, scores, write, write_any

from rr_models.critics.judging import critique
from rr_models.critics.token_sets import TokenSets
from rr_models.errors import CriticError
from rr_models.judgement.critique import COMPLETE, REFUSED
from rr_models.parsing.parse import parse_answer

ALL = [*ANSWERS, *WITHOUT_REQUEST, *NOT_READ]
BATCH = 64
SOME = [*ANSWERS[::7], *WITHOUT_REQUEST, *NOT_READ]
"""What the engine writes in the fast lane, too."""
WHOLE = ALL if os.environ.get("RR_ALL_ANSWERS") else [*ANSWERS[::12], *WITHOUT_REQUEST]
"""What it writes with the whole vocabulary, a second or more for each."""


@pytest.fixture(scope="module", params=["small", pytest.param("real", marks=pytest.mark.slow)])
def critic(request: pytest.FixtureRequest):
    """With the whole vocabulary, or with its beginning."""
    return request.getfixturevalue(f"{request.param}_vocabulary_critic")


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_a_complete_answer_is_written_as_it_is_meant(real_tokens, answer: NaturalAnswer):
    written = driver.write(real_tokens, answer)
    check(real_tokens, answer, written)
    assert scores(written.judgement) == answer.scores


@pytest.mark.parametrize("answer", WITHOUT_REQUEST, ids=lambda answer: answer.name)
def test_a_refined_request_is_all_that_is_added_to_an_answer_without(real_tokens, answer: NaturalAnswer):
    written = driver.write(real_tokens, answer)
    assert written.completion.token_ids[: len(written.meant)] == written.meant
    assert scores(written.judgement) == answer.scores and written.judgement.status == COMPLETE


@pytest.mark.parametrize("answer", NOT_READ, ids=lambda answer: answer.name)
def test_every_score_of_an_answer_that_goes_on_is_the_critics_own(real_tokens, answer: NaturalAnswer):
    for aspect in driver.write(real_tokens, answer).judgement.aspects:
        assert getattr(aspect, "form_mass", None) in (None, 1.0)


def check(tokens: TokenSets, answer: NaturalAnswer, written: Written) -> None:
    """The tokens are those that were meant, and the judgement is what the parser reads in them."""
    ids = written.completion.token_ids
    assert tokens.decode(ids) == answer.text, answer.name
    assert ids == written.meant, answer.name
    assert not any(written.completion.forced) and written.trace.notes == []
    expected, judgement = parse_answer(answer.text, answer.task, REQUEST), written.judgement
    assert judgement.status == COMPLETE
    assert scores(judgement) == scores(expected)
    for text in ("analysis", "summary", "refinement_comments", "refined_request"):
        assert getattr(judgement, text, "") == getattr(expected, text, ""), text
    for aspect, other in zip(judgement.aspects, expected.aspects, strict=True):
        assert aspect.justification == other.justification


@pytest.mark.parametrize(
    ("vocabulary", "answers"),
    [("small", SOME), pytest.param("real", WHOLE, marks=pytest.mark.slow)],
    ids=["small", "real"],
)
def test_the_engine_writes_what_the_driver_does(request, vocabulary: str, answers: list[NaturalAnswer]):
    """The same tokens, forced or not, and the same probabilities on the same lines; so do answers that are
    continued."""
    critic = request.getfixturevalue(f"{vocabulary}_vocabulary_critic")
    tokens = critic.generator.tokens
    for answer, one in zip(answers, write(critic, answers), strict=True):
        other = driver.write(tokens, answer)
        assert one.completion.token_ids == other.completion.token_ids, answer.name
        assert one.completion.forced == other.completion.forced, answer.name
        assert one.trace.token_ids == other.trace.token_ids and one.trace.notes == other.trace.notes
        assert list(one.trace.measured) == list(other.trace.measured), answer.name
        for line, choice in one.trace.measured.items():
            assert choice.word == other.trace.measured[line].word
            assert choice.table == pytest.approx(other.trace.measured[line].table, abs=1e-9)
        if answer in ANSWERS:
            check(tokens, answer, one)


def complete(count: int) -> list[NaturalAnswer]:
    """Those of so many random answers that the parser reads as complete."""
    drawn = map(random_answer, range(count))
    found = [one for one in drawn if parse_answer(one.text, one.task, REQUEST).status == COMPLETE]
    assert len(found) > 0.8 * count
    return found


def test_random_answers_are_written_as_they_are_meant(small_vocabulary_critic):
    answers, tokens = complete(60), small_vocabulary_critic.generator.tokens
    for start in range(0, len(answers), BATCH):
        batch = answers[start : start + BATCH]
        for answer, written in zip(batch, write(small_vocabulary_critic, batch), strict=True):
            check(tokens, answer, written)


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_so_are_many_more_by_the_driver(real_tokens, count: int):
    for answer in complete(count):
        check(real_tokens, answer, driver.write(real_tokens, answer))


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
