"""The built-in world: its language, its generator that errs, its teacher, and the critic trained in it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rr_models.checkpoints.model_folder import SHAPES_CRITIC, check
from rr_models.critics.base import Question
from rr_models.critics.local import load
from rr_models.images import from_pil
from rr_models.judgement.critique import COMPLETE
from rr_models.parsing.parse import parse
from rr_models.prompting.rubric import wording
from rr_models.shapes import cases, generator, language
from rr_models.shapes.draw import draw
from rr_models.shapes.world import Fault, Picture, Scene, differences, flaws, word_faults

ROOT = Path(__file__).resolve().parents[1]
seeds = st.integers(0, 2**32)


def faults_of(scene: Scene, picture: Picture) -> tuple[Fault, ...]:
    return differences(scene, picture.scene) + flaws(picture) + word_faults(scene.word, picture)


@given(seeds, st.booleans())
def test_a_request_reads_back_as_the_scene_it_was_made_from(seed, test):
    rng = random.Random(seed)
    scene = cases.scene(rng, test)
    assert language.read(language.phrase(scene, rng)) == language.Reading(scene, frozenset())


@given(seeds, st.sampled_from(cases.TASKS), st.booleans())
def test_cases_stay_on_their_side_and_their_critique_parses_back(seed, task, test):
    rng = random.Random(seed)
    first = cases.case(rng, task, test)
    for case in (first, cases.another(first, rng, test)):
        scenes = [case.wanted, case.picture.scene] + ([case.source.scene] if case.source else [])
        assert {cases.held_out(scene) for scene in scenes} == {test}
        assert case.truth.status == COMPLETE
        read = parse(case.truth.to_text(), task, case.request)
        assert replace(read, text="") == case.truth
        # 4.0 everywhere exactly when nothing is wrong
        assert (case.truth.overall == 4.0) == (not case.faults)


@given(seeds)
def test_a_refined_request_asks_for_the_same_scene_and_stresses_every_fault(seed):
    rng = random.Random(seed)
    case = cases.case(rng, "t2i", test=False)
    reading = language.read(case.truth.refined_request)
    assert reading.scene == case.wanted
    kinds = {"letters": "word", "no word": "word"}
    assert {(kinds.get(f.kind, f.kind), f.place) for f in case.faults} <= reading.stressed


def test_stressing_every_fault_mends_most_and_touches_nothing_else():
    rng = random.Random(0)
    plain = firm = 0
    for seed in range(300):
        scene = cases.scene(rng, test=False)
        before = faults_of(scene, generator.imagine(str(scene), seed))
        firmly = f"{scene}. {language.demands(before, scene)}"
        after = faults_of(scene, generator.imagine(firmly, seed))
        # a shape that was missing may turn out to have faults of its own
        came = {fault.place for fault in set(after) - set(before)}
        assert came <= {fault.place for fault in before if fault.kind == "missing"}
        plain, firm = plain + len(before), firm + len(after)
    assert plain > 200
    assert firm < plain / 4


def test_the_same_prompt_and_seed_draw_the_same_picture():
    request = "a large red circle on the left and a small blue star on the right"
    pictures = [generator.generate(request, seed, size=64) for seed in (5, 5, 6)]
    assert pictures[0].size == (64, 64)
    assert pictures[0].tobytes() == pictures[1].tobytes() != pictures[2].tobytes()


def test_other_spellings_are_read():
    reading = language.read("Big RED circle in the centre, a little blue star at the left")
    assert str(reading.scene) == "a small blue star on the left, a large red circle in the middle"


def test_a_request_for_anything_else_is_refused_with_an_example():
    with pytest.raises(language.UnreadableRequest, match="a large red circle on the left"):
        generator.generate("a cat on a sofa", 0)


@pytest.fixture(scope="module")
def critic():
    return load(SHAPES_CRITIC, name="Shapes critic")


def question(case: cases.Case, rng: random.Random) -> Question:
    def shown(picture):
        return from_pil(draw(picture, 256, rng.getrandbits(32)))

    return Question(
        case.task, case.request, (shown(case.picture),), (shown(case.source),) if case.source else ()
    )


def test_the_shipped_critic_is_whole_small_and_trained_on_the_wording_in_use():
    check(SHAPES_CRITIC)
    assert (SHAPES_CRITIC / "model.safetensors").stat().st_size < 8_000_000
    learned = json.loads((SHAPES_CRITIC / "training.json").read_text("utf-8"))["wording"]
    assert learned == {task: wording(task) for task in cases.TASKS}


@pytest.mark.slow
def test_the_critic_scores_what_it_has_never_seen(critic):
    """Held-out cases; exactly the true scores, not merely near them. The benchmark has the figures."""
    rng = random.Random("test")
    made = [cases.case(rng, task, test=True) for task in cases.TASKS for _ in range(12)]
    critiques = critic.judge([question(case, rng) for case in made], batch_size=12)
    assert [c.status for c in critiques] == [COMPLETE] * 24
    right = sum(
        [a.score for a in critique.aspects] == [a.score for a in case.truth.aspects]
        for case, critique in zip(made, critiques, strict=True)
    )
    assert right >= 17, "\n".join(c.text for c in critiques)


def test_the_critic_looks_at_the_picture_and_not_only_at_the_request(critic):
    request = "a large red circle on the left and a small blue star on the right"
    right = language.read(request).scene
    wrong = right.put("left", replace(right.at("left"), color="green"))
    empty = Scene((None, None, None))
    shown = [from_pil(draw(Picture(scene), 256, 3)) for scene in (right, wrong, empty)]
    good, worse, worst = critic.critique(shown, request)
    assert good.overall == 4.0
    assert good.overall > worse.overall > worst.overall
    assert (
        "Left: wanted a large red circle, shows a large green circle, wrong color."
        in worse.aspect("text_faithfulness").justification
    )
    assert language.read(worse.refined_request).stressed == {("color", "left")}


@pytest.mark.slow
def test_the_training_script_makes_a_critic_that_loads(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "train_shapes_critic.py", "--scale", "0.0005"]
    run = subprocess.run([*map(str, command), "--out", str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    critic = load(tmp_path)
    assert sum(p.numel() for p in critic.model.parameters()) > 2e6
    (critique,) = critic.critique(
        [torch.zeros(64, 64, 3)], "a large red circle on the left", max_new_tokens=8
    )
    assert critique.overall is None
