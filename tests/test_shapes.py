"""The built-in demo world: requests, a generator that makes mistakes, true critiques, and the critic."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rr_models.checkpoints.model_folder import SHAPES_CRITIC, check
from rr_models.critics.base import Question
from rr_models.critics.judging import critique
from rr_models.critics.local import load
from rr_models.critics.options import JudgeOptions
from rr_models.images import from_pil
from rr_models.judgement.critique import COMPLETE
from rr_models.parsing.parse import parse
from rr_models.prompting.rubric import wording
from rr_models.shapes import cases, generator, phrasing
from rr_models.shapes.draw import draw
from rr_models.shapes.scene import Fault, Rendering, Scene, differences, flaws, word_faults

ROOT = Path(__file__).resolve().parents[1]
seeds = st.integers(0, 2**32)


def faults_of(scene: Scene, rendering: Rendering) -> tuple[Fault, ...]:
    return differences(scene, rendering.scene) + flaws(rendering) + word_faults(scene.word, rendering)


@given(seeds, st.booleans())
def test_a_request_reads_back_as_the_scene_it_was_made_from(seed, test):
    rng = random.Random(seed)
    scene = cases.random_scene(rng, test)
    assert phrasing.parse_prompt(phrasing.phrase(scene, rng)) == phrasing.ParsedPrompt(scene, frozenset())


@given(seeds, st.sampled_from(cases.TASKS), st.booleans())
def test_cases_stay_in_their_split_and_their_critique_parses_back(seed, task, test):
    rng = random.Random(seed)
    first = cases.random_case(rng, task, test)
    for case in (first, cases.redrawn(first, rng, test)):
        scenes = [case.wanted, case.rendering.scene] + ([case.source.scene] if case.source else [])
        assert {cases.held_out(scene) for scene in scenes} == {test}
        assert case.truth.status == COMPLETE
        read = parse(case.truth.to_text(), task, case.request)
        assert replace(read, text="") == case.truth
        # 4.0 everywhere exactly when nothing is wrong
        assert (case.truth.overall == 4.0) == (not case.faults)


def test_cases_and_renderings_stay_those_that_the_critic_was_trained_on():
    """A change would move held-out scenes into training, or change what the shipped critic was taught."""
    digest = hashlib.sha256()
    for seed in range(60):
        rng = random.Random(seed)
        for task in cases.TASKS:
            for test in (False, True):
                case = cases.random_case(rng, task, test)
                source = case.source and astuple(case.source)
                drawn = (case.request, source, astuple(case.rendering), case.truth.to_text())
                digest.update(repr(drawn).encode())
        prompt = phrasing.phrase(cases.random_scene(rng, test=True), rng)
        for demanded in ("", " Make sure that the left shape is red, the picture is sharp."):
            digest.update(repr(astuple(generator.sample_rendering(prompt + demanded, seed))).encode())
    assert digest.hexdigest() == "9e1d1b1ee536f8659e221d3682ef8efda809a8e913b91b58735653a3d4df4237"


@given(seeds)
def test_a_refined_request_asks_for_the_same_scene_and_demands_every_correction(seed):
    rng = random.Random(seed)
    case = cases.random_case(rng, "t2i", test=False)
    parsed = phrasing.parse_prompt(case.truth.refined_request)
    assert parsed.scene == case.wanted
    kinds = {"letters": "word", "no word": "word"}
    assert {(kinds.get(f.kind, f.kind), f.position) for f in case.faults} <= parsed.demanded


def test_demanding_every_correction_fixes_most_faults_and_changes_nothing_else():
    rng = random.Random(0)
    plain = firm = 0
    for seed in range(300):
        scene = cases.random_scene(rng, test=False)
        before = faults_of(scene, generator.sample_rendering(str(scene), seed))
        demanding = f"{scene}. {phrasing.demands(before, scene)}"
        after = faults_of(scene, generator.sample_rendering(demanding, seed))
        # a shape that was missing may turn out to have faults of its own
        new = {fault.position for fault in set(after) - set(before)}
        assert new <= {fault.position for fault in before if fault.kind == "missing"}
        plain, firm = plain + len(before), firm + len(after)
    assert plain > 200
    assert firm < plain / 4


def test_equal_prompt_and_seed_draw_equal_images():
    request = "a large red circle on the left and a small blue star on the right"
    images = [generator.generate(request, seed, size=64) for seed in (5, 5, 6)]
    assert images[0].size == (64, 64)
    assert images[0].tobytes() == images[1].tobytes() != images[2].tobytes()


def test_other_spellings_are_read():
    parsed = phrasing.parse_prompt("Big RED circle in the centre, a little blue star at the left")
    assert str(parsed.scene) == "a small blue star on the left, a large red circle in the middle"


def test_a_request_for_anything_else_is_refused_with_an_example():
    with pytest.raises(phrasing.UnreadableRequest, match="a large red circle on the left"):
        generator.generate("a cat on a sofa", 0)


@pytest.fixture(scope="module")
def critic():
    return load(SHAPES_CRITIC, name="Shapes critic")


def question(case: cases.Case, rng: random.Random) -> Question:
    def shown(rendering):
        return from_pil(draw(rendering, 256, rng.getrandbits(32)))

    return Question(
        case.task, case.request, (shown(case.rendering),), (shown(case.source),) if case.source else ()
    )


def test_the_shipped_critic_is_complete_small_and_trained_on_the_prompt_in_use():
    check(SHAPES_CRITIC)
    assert (SHAPES_CRITIC / "model.safetensors").stat().st_size < 8_000_000
    learned = json.loads((SHAPES_CRITIC / "training.json").read_text("utf-8"))["wording"]
    assert learned == {task: wording(task) for task in cases.TASKS}


@pytest.mark.slow
def test_the_critic_scores_what_it_has_never_seen(critic):
    """Held-out cases; exactly the true scores, not merely near them. The benchmark has the figures."""
    rng = random.Random("test")
    made = [cases.random_case(rng, task, test=True) for task in cases.TASKS for _ in range(12)]
    critiques = critic.judge([question(case, rng) for case in made], JudgeOptions(batch_size=12))
    assert [c.status for c in critiques] == [COMPLETE] * 24
    right = sum(
        [a.score for a in critique.aspects] == [a.score for a in case.truth.aspects]
        for case, critique in zip(made, critiques, strict=True)
    )
    assert right >= 17, "\n".join(c.text for c in critiques)


def test_the_critic_looks_at_the_image_and_not_only_at_the_request(critic):
    request = "a large red circle on the left and a small blue star on the right"
    right = phrasing.parse_prompt(request).scene
    wrong = right.put("left", replace(right.at("left"), color="green"))
    empty = Scene((None, None, None))
    shown = [from_pil(draw(Rendering(scene), 256, 3)) for scene in (right, wrong, empty)]
    good, worse, worst = critique(critic, shown, request)
    assert good.overall == 4.0
    assert good.overall > worse.overall > worst.overall
    assert (
        "Left: wanted a large red circle, shows a large green circle, wrong color."
        in worse.aspect("text_faithfulness").justification
    )
    assert phrasing.parse_prompt(worse.refined_request).demanded == {("color", "left")}


@pytest.mark.slow
def test_the_training_script_makes_a_critic_that_loads(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "train_shapes_critic.py", "--scale", "0.0005"]
    run = subprocess.run([*map(str, command), "--out", str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    critic = load(tmp_path)
    assert sum(p.numel() for p in critic.model.parameters()) > 2e6
    (judged,) = critique(critic, [torch.zeros(64, 64, 3)], "a large red circle on the left", max_new_tokens=8)
    assert judged.overall is None
