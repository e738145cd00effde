"""Constrained decoding: what may be selected, how much is written, and the note if a limit cuts it off."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rr_tests import tiny

from rr_models.critics import answer_program, local
from rr_models.critics.base import Question
from rr_models.critics.judging import critique
from rr_models.critics.options import JudgeOptions
from rr_models.engine.kv_cache import SCRATCH_COLUMNS
from rr_models.engine.program import Trie
from rr_models.engine.sequence import select, tree
from rr_models.judgement.answer_format import DETAILS, NOT_APPLICABLE_TEXT, STYLES, AnswerFormat
from rr_models.judgement.critique import COMPLETE, SCORED, TRUNCATED
from rr_models.judgement.task import Task
from rr_models.prompting.wording import Wording

REQUEST = "A red fox asleep on a blue chair."


@pytest.fixture(scope="module")
def critic(tmp_path_factory) -> local.LocalCritic:
    return local.load(tiny.make(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(64, 64, 3, generator=generator) for _ in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("detail", DETAILS)
def test_no_more_is_written_than_was_asked_for_and_within_the_limit(critic, images, detail: str):
    (found,) = critique(critic, images[:1], REQUEST, detail=detail, max_new_tokens=400)
    assert found.status == COMPLETE and found.source["tokens"] <= 400
    assert ("# Summary:" in found.text) == (detail != "scores")
    assert ("## Refined Request:" in found.text) == (detail == "full")
    for aspect in found.aspects:
        if aspect.status == SCORED:
            assert 1 <= aspect.expected <= 4 and aspect.std >= 0


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_a_constrained_answer_has_the_form_that_servers_are_given(tmp_path, images, style: str):
    wording = Wording(style=style)
    critic = local.load(tiny.make(tmp_path / "tiny"), wording=wording)
    questions = [
        Question(
            task, REQUEST, tuple(images[: 2 if task.is_pair else 1]), tuple(images[3:] * task.has_source)
        )
        for task in Task
    ]
    options = {"temperature": 1.0, "max_new_tokens": 500}
    for detail in DETAILS:
        for judgement in critic.judge(questions, JudgeOptions(detail=detail, **options)):
            form = AnswerFormat.of(judgement.task, critic.profile, style, detail)
            assert judgement.status == COMPLETE
            # before it may stand an empty thought, and a last score may have ended its line
            answer = judgement.text.removeprefix("<think>\n\n</think>\n\n").removesuffix("\n")
            assert re.fullmatch(form.regex(), answer), answer


def test_a_limit_below_the_headings_cuts_off_and_says_so(critic, images):
    (found,) = critique(critic, images[:1], REQUEST, max_new_tokens=20)
    assert found.status == TRUNCATED and found.overall is None and "token limit" in found.notes[-1]


@pytest.mark.slow
def test_the_best_alone_is_written_whole(critic, images):
    scores = critique(critic, images, REQUEST, detail="scores", max_new_tokens=400)
    found = critique(critic, images, REQUEST, detail="best", max_new_tokens=400)
    assert [c.overall for c in found] == [c.overall for c in scores]
    assert [c.source["detail"] for c in found].count("full") == 1
    best = max(found, key=lambda critique: critique.overall)
    assert best.source["detail"] == "full" and best.text.startswith(scores[found.index(best)].text)


def test_samples_are_averaged(critic, images):
    options = {"temperature": 1.0, "detail": "scores", "max_new_tokens": 200}
    (found,) = critique(critic, images[:1], REQUEST, samples=3, **options)
    assert found.status == COMPLETE and "mean of 3 samples" in found.notes[-1]
    with pytest.raises(ValueError, match="temperature"):
        critique(critic, images[:1], REQUEST, samples=3)
    with pytest.raises(ValueError, match="samples"):
        critic.judge(
            [Question("t2i-pair", REQUEST, tuple(images[:2]))], JudgeOptions(samples=2, temperature=1.0)
        )


def test_expected_scores_need_guidance(critic, images):
    options = {"score_mode": "expected", "detail": "scores", "max_new_tokens": 200}
    (found,) = critique(critic, images[:1], REQUEST, **options)
    scored = [aspect for aspect in found.aspects if aspect.status == SCORED]
    assert scored and all(a.score == a.expected and a.written is not None for a in scored)
    with pytest.raises(ValueError, match="constrained"):
        critique(critic, images[:1], REQUEST, constrained=False, **options)


WORDS = st.dictionaries(
    st.text("abcdefgh", min_size=1), st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple)
)


@given(WORDS, st.integers(0, 2**31))
def test_a_choice_is_one_of_the_words_with_its_share(told: dict, seed: int):
    several = list(told.values())
    begun = any(b[: len(a)] == a for i, a in enumerate(several) for j, b in enumerate(several) if i != j)
    if begun or not told:
        with pytest.raises(ValueError, match="prefix of another|same tokens"):
            Trie(told)
        return
    trie = Trie(told)
    ids, depths, seen = tree(trie)
    assert len(ids) == len(trie.fed) and [int(row.sum()) - 1 for row in seen] == depths
    logits = torch.randn(len(trie.fed) + 1, 10, generator=torch.Generator().manual_seed(seed))
    choice, written = select(trie, logits[0], logits[1:], None)
    assert tuple(written) == told[choice.word] and set(choice.table) == set(told)
    assert 0 < sum(choice.table.values()) <= 1 + 1e-5


@pytest.mark.parametrize("scale", [(1.0, 4.0), (0.0, 10.0), (0.0, 100.0), (-5.0, 5.0), (1.0, 1000.0)])
def test_any_scale_can_be_chosen_from(critic, scale):
    told = answer_program.score_words(scale)
    assert len(told) <= 101 and all(scale[0] <= float(word) <= scale[1] for word in told)
    # what is looked at must fit behind the last column
    assert len(critic.generator.tokens.select((*told, NOT_APPLICABLE_TEXT)).trie.fed) <= SCRATCH_COLUMNS
