"""The tests' tiny critic: its layers have the sizes of real ones, so that no kernel of any processor refuses
them, and it writes complete answers by itself.
"""

from __future__ import annotations

import _random_model as random_model
import pytest
import torch
from rr_tests import tiny

from rr_models.critics import local
from rr_models.critics.base import Question
from rr_models.critics.options import JudgeOptions
from rr_models.judgement.answer_format import STYLES
from rr_models.judgement.critique import COMPLETE, NOT_APPLICABLE
from rr_models.judgement.task import Task
from rr_models.prompting.wording import Wording

MULTIPLE = 128
"""Rows and columns of all linear layers of published Qwen3-VL models, but for one of the 8B's vision tower.
bitsandbytes' kernels for AVX512-BF16 need 64 columns and 32 rows."""
REQUESTS = (
    "A fox.",
    "把天空变成粉红色，其余部分保持不变。",
    "A red fox asleep on a blue chair,\nin the style of a woodcut.\n\nNo text, no border, no people.",
)
SIZES = ((32, 32), (64, 96), (128, 128), (40, 200))


@pytest.mark.parametrize("name", ["tests", "tiny", "0.1b"])
def test_layers_have_sizes_as_in_real_models(name: str):
    if name == "tests":
        model = tiny.make_model(tiny.load_tokenizer())
    else:
        model = random_model.make(name, "meta").model
    layers = {path: module for path, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    sizes = {path: tuple(layer.weight.shape) for path, layer in layers.items()}
    odd = {path: size for path, size in sizes.items() if any(length % MULTIPLE for length in size)}
    assert sizes and not odd


def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(height, width, 3, generator=generator) for height, width in SIZES]


def questions(task: Task) -> list[Question]:
    """Three requests, images of four sizes, one source and several."""
    seen = images()
    return [
        Question(
            task,
            request,
            (seen[number], seen[number + 1])[: 2 if task.is_pair else 1],
            tuple(seen[: number + 1]) if task.has_source else (),
        )
        for number, request in enumerate(REQUESTS)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "int8", "fp8"])
@pytest.mark.parametrize("style", STYLES)
def test_its_own_words_are_complete_answers(folder, style: str, precision: str):
    critic = local.load(folder, dtype=precision, wording=Wording(style))
    asked = [question for task in Task for question in questions(task)]
    for found in critic.judge(asked, JudgeOptions(constrained=False, max_new_tokens=400)):
        assert found.status == COMPLETE, found.text
        assert found.summary and (found.task.is_pair or found.refined_request), found.text


@pytest.mark.slow
def test_samples_differ_and_are_complete(folder):
    critic = local.load(folder)
    drawn = []
    for seed in range(5):
        options = JudgeOptions(constrained=False, temperature=1.0, seed=seed, max_new_tokens=400)
        drawn += critic.judge([question for task in Task for question in questions(task)], options)
    complete = [found for found in drawn if found.status == COMPLETE]
    assert len(complete) >= 0.95 * len(drawn)
    assert len({found.text for found in drawn}) > 0.9 * len(drawn)
    applies = [found.aspects[-1].status != NOT_APPLICABLE for found in complete]
    assert 0.2 < sum(applies) / len(applies) < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_scores_follow_from_the_image_and_are_not_certain(tmp_path, seed: int):
    critic = local.load(tiny.make(tmp_path / "tiny", seed))
    asked = [Question("t2i", REQUESTS[0], (image,)) for image in images()]
    found = critic.judge(asked, JudgeOptions(max_new_tokens=400))
    assert len({one.overall for one in found}) > 1
    for one in found:
        assert all(aspect.std > 0.1 for aspect in one.aspects if aspect.status != NOT_APPLICABLE)


@pytest.mark.slow
def test_another_seed_is_another_critic(folder, tmp_path):
    asked = [Question("t2i", REQUESTS[0], (image,)) for image in images()]
    overalls = [
        [one.overall for one in local.load(place).judge(asked, JudgeOptions(constrained=False))]
        for place in (folder, tiny.make(tmp_path / "other", 1))
    ]
    assert overalls[0] != overalls[1]
