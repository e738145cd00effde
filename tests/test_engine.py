"""The engine against transformers' own `generate`: the same tokens, whatever shares the batch; constrained
answers are complete.
"""

from __future__ import annotations

import random

import pytest
import torch
from _reference import generate
from rr_tests import tiny
from rr_tests.answers import without_probabilities

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.critics import local
from rr_models.critics.base import Question
from rr_models.critics.options import JudgeOptions
from rr_models.critics.vision import VisionEncoder
from rr_models.images import from_pil
from rr_models.judgement.critique import COMPLETE
from rr_models.loop.run import refine
from rr_models.loop.settings import LoopSettings
from rr_models.shapes import cases
from rr_models.shapes.draw import draw

REQUEST = "A red fox."
SIZES = ((64, 64), (96, 64), (40, 200), (128, 128), (33, 65))
TOKENS = 48


@pytest.fixture(scope="module")
def critic(tmp_path_factory) -> local.LocalCritic:
    return local.load(tiny.make(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def babbling(tmp_path_factory) -> local.LocalCritic:
    """A critic of random weights, which may write any token."""
    return local.load(tiny.make_random(tmp_path_factory.mktemp("models") / "random"))


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    """All tasks, images of several sizes, one source that several edits share."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(height, width, 3, generator=generator) for height, width in SIZES]
    return [
        *(Question("t2i", REQUEST, (image,)) for image in images),
        *(Question("edit", REQUEST, (image,), (images[0],)) for image in images[1:4]),
        Question("t2i-pair", REQUEST, (images[0], images[1])),
        Question("edit-pair", REQUEST, (images[2], images[1]), (images[0],)),
    ]


@pytest.fixture(scope="module")
def reference(babbling, questions) -> list[list[int]]:
    return [generate(babbling, [question], TOKENS)[0] for question in questions]


def free(critic, questions, **options) -> list[list[int]]:
    free = JudgeOptions(constrained=False, max_new_tokens=TOKENS, **options)
    generator = critic.generator
    generations = generator.generate(questions, generator.prompt_builder(), free, None)
    return [several[0].request.completion.token_ids for several in generations]


@pytest.mark.slow
@pytest.mark.parametrize("invariant", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_free_answers_are_those_of_generate(babbling, questions, reference, rows: int, invariant: bool):
    """One at a time, with rows that are reused, and all together; edits share their source."""
    assert free(babbling, questions, batch_size=rows, batch_invariant=invariant) == reference


@pytest.mark.slow
def test_the_order_of_questions_does_not_matter(babbling, questions, reference):
    assert free(babbling, questions[::-1])[::-1] == reference


@pytest.mark.slow
def test_constrained_answers_do_not_depend_on_what_shares_the_batch(critic, questions):
    def judge(questions, **options):
        judged = critic.judge(questions, JudgeOptions(detail="scores", max_new_tokens=300, **options))
        return [without_probabilities(judgement) for judgement in judged]

    together = judge(questions)
    assert together == judge(questions[::-1], batch_size=3)[::-1]
    assert together == [judge([question])[0] for question in questions]


@pytest.mark.slow
def test_bf16_answers_are_bit_equal_for_any_neighbours(tmp_path, questions):
    """Expected scores have four digits of the probabilities, so they show more than tokens would."""
    critic = local.load(tiny.make(tmp_path / "tiny"), dtype=torch.bfloat16)
    options = {"detail": "scores", "max_new_tokens": 200}
    together = critic.judge(questions, JudgeOptions(**options))
    assert together == critic.judge(questions[::-1], JudgeOptions(**options))[::-1]
    assert together == critic.judge(questions, JudgeOptions(batch_size=3, **options))
    assert together == [critic.judge([question], JudgeOptions(**options))[0] for question in questions]


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_constrained_answer_is_complete(critic, questions, temperature: float):
    for found in critic.judge(
        questions[4:], JudgeOptions(temperature=temperature, seed=3, max_new_tokens=600)
    ):
        assert found.status == COMPLETE
        assert found.source["tokens"] <= 600
        for aspect in found.aspects:
            score = getattr(aspect, "score", None)
            assert score is None or 1.0 <= score <= 4.0


@pytest.mark.slow
@pytest.mark.parametrize("invariant", [False, True])
def test_a_critic_that_keeps_the_format_writes_the_same_with_and_without_constraints(invariant: bool):
    """Sequences of many lengths that end at different times; the engine's drafts are mostly right here."""
    critic, rng = local.load(SHAPES_CRITIC), random.Random("form")
    questions = []
    for number in range(6):
        case = cases.random_case(rng, cases.TASKS[number % 2], test=True)
        sources = (from_pil(draw(case.source, 96, number)),) if case.source else ()
        questions.append(
            Question(case.task, case.request, (from_pil(draw(case.rendering, 96, number)),), sources)
        )
    own = critic.judge(questions, JudgeOptions(constrained=False, batch_invariant=invariant))
    constrained = critic.judge(questions, JudgeOptions(batch_invariant=invariant, batch_size=4))
    assert all(critique.status == COMPLETE for critique in own)
    assert [critique.text for critique in constrained] == [critique.text for critique in own]


@pytest.fixture
def fresh_encoder(critic, monkeypatch) -> VisionEncoder:
    """The critic's vision encoder, with nothing cached."""
    encoder = VisionEncoder(critic.model, critic.generator.prompts)
    monkeypatch.setattr(critic.generator, "vision", encoder)
    return encoder


def test_a_source_that_several_edits_share_is_encoded_once(critic, questions, fresh_encoder):
    edits = [question for question in questions if question.task == "edit"]
    free(critic, edits)
    assert critic.generator.stats.encoder_runs == fresh_encoder.encoder_runs == len(edits) + 1


@pytest.mark.parametrize(("candidates", "samples"), [(1, 1), (5, 2)])
def test_the_source_of_a_loop_is_encoded_once(critic, fresh_encoder, candidates: int, samples: int):
    """Also if every round shows more candidates, several times each, than the cache holds."""

    def paint(prompt: str, seed: int) -> list[torch.Tensor]:
        rng = torch.Generator().manual_seed(seed)
        return [torch.rand(64, 64, 3, generator=rng) for _ in range(candidates)]

    settings = LoopSettings(rounds=3, patience=0, max_failed_rounds=3)
    state = refine(
        paint,
        critic,
        REQUEST,
        settings=settings,
        sources=torch.zeros(64, 64, 3),
        samples=samples,
        temperature=1.0 if samples > 1 else 0.0,
        constrained=False,
        ask_again=False,
        max_new_tokens=2,
    )
    assert len(state.history) == 3
    assert fresh_encoder.encoder_runs == 1 + 3 * candidates


def test_only_the_last_sources_are_kept(critic, fresh_encoder):
    edits = [
        Question("edit", REQUEST, (torch.zeros(64, 64, 3),), (torch.full((64, 64, 3), level / 8),))
        for level in range(1, 7)
    ]

    def runs(edit: Question) -> int:
        free(critic, [edit])
        return critic.generator.stats.encoder_runs

    assert [runs(edit) for edit in edits] == [2] * 6
    assert [runs(edit) for edit in edits[2:]] == [1] * 4  # the image to judge only
    assert runs(edits[1]) == 2


def test_graphs_are_refused_where_there_can_be_none(critic, questions):
    with pytest.raises(ValueError, match="cuda_graphs needs an NVIDIA GPU"):
        critic.judge(questions[:1], JudgeOptions(cuda_graphs=True))
