"""Refining and best-of in plain Python: what generator and critic get to see, failures, Stop, the README."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rr_tests.made import critique

from rr_models import LoopSettings, best_of, refine
from rr_models.errors import CriticError
from rr_models.images import generated_images
from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.judgement.ranking import rank
from rr_models.loop.replay import replay
from rr_models.loop.state import SEED_STEP
from rr_models.loop.stop_reason import StopReason
from rr_models.prompt_revision.revise import revise

ROOT = Path(__file__).resolve().parents[1]


class Light:
    """Judges brightness, black 1 to white 4, and asks for more light. Notes what it was shown."""

    name, profile = "light", RATIONAL_REWARDS

    def __init__(self, fails=()):
        self.fails, self.seen = fails, []

    def judge(self, questions, options=None, on_progress=None):
        first = questions[0]
        self.seen.append((first.request, first.task, len(first.sources), options.temperature))
        if len(self.seen) in self.fails:
            raise CriticError("too dark to see")
        if on_progress:
            on_progress(1, 2)
            on_progress(2, 2)
        return [
            critique(
                1 + 3 * asked.images[0].pixels.mean().item(),
                request=asked.request,
                refined=f"{asked.request} {len(self.seen)}",
            )
            for asked in questions
        ]


def paint(prompt: str, seed: int) -> Image.Image:
    return Image.new("L", (8, 8), min(250, 50 * len(prompt.split())))


def test_refines_until_the_threshold():
    state = refine(paint, Light(), "a cat", settings=LoopSettings(threshold=2.7))
    assert [past.prompt for past in state.history] == ["a cat", "a cat 1"]
    assert state.best_payload.getpixel((0, 0)) == 150 and state.best.number == 2
    assert "Round 2 reaches the thresholds: 2.7." in state.report()


def test_the_judge_sees_the_request_and_the_options():
    critic = Light()
    refine(paint, critic, "a cat", settings=LoopSettings(rounds=2), temperature=0.5)
    assert critic.seen == [("a cat", "t2i", 0, 0.5)] * 2


def test_an_edit_is_judged_with_its_source():
    critic = Light()
    refine(paint, critic, "more", sources=Image.new("RGB", (4, 4)), settings=LoopSettings(rounds=1))
    assert critic.seen == [("more", "edit", 1, 0.0)]


def test_the_next_prompt_may_be_ones_own():
    def mine(critique):
        return revise(critique, protected_terms=["sks"]).prompt

    state = refine(paint, Light(), "a cat", settings=LoopSettings(rounds=2), next_prompt=mine)
    assert state.history[1].prompt == "a cat 1, sks"


def test_several_candidates():
    def three(prompt, seed):
        return [Image.new("L", (8, 8), light) for light in (10, 90, 50)]

    state = refine(three, Light(), "a cat", settings=LoopSettings(rounds=1))
    assert state.best.chosen == 1 and state.best_payload.getpixel((0, 0)) == 90


def test_a_later_failure_keeps_the_best(caplog):
    def failing(prompt, seed):
        if "1" in prompt:
            raise RuntimeError("no memory")
        return paint(prompt, seed)

    state = refine(failing, Light(), "a cat")
    assert state.done and state.best.number == 1 and state.best_payload is not None
    assert state.stop_text == "Round 2 failed: RuntimeError: no memory." and "no memory" in caplog.text
    assert replay(json.loads(json.dumps(state.to_dict()))).stop == state.stop


def test_a_failure_in_the_first_round_is_raised():
    with pytest.raises(ZeroDivisionError):
        refine(lambda prompt, seed: 1 / 0, Light(), "a cat")
    with pytest.raises(ValueError, match="returned no image"):
        refine(lambda prompt, seed: [], Light(), "a cat")
    with pytest.raises(ValueError, match="a numpy array or a tensor, not str"):
        refine(lambda prompt, seed: "a.png", Light(), "a cat")
    with pytest.raises(ValueError, match="request is empty"):
        refine(paint, Light(), " ")


def test_a_critic_that_fails_costs_its_round():
    state = refine(paint, Light(fails=[2]), "a cat")
    assert state.best.number == 1 and "round 2 is incomplete: too dark to see." in state.stop_text
    passed_over = LoopSettings(rounds=3, seed_policy="new", max_failed_rounds=1, patience=0)
    assert len(refine(paint, Light(fails=[2]), "a cat", settings=passed_over).history) == 3
    first = refine(paint, Light(fails=[1]), "a cat")
    assert first.best_payload is not None and first.best.critique.overall is None


@pytest.mark.parametrize(("calls", "judged"), [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 1), (9, 2)])
def test_stop_ends_the_loop_with_the_best_so_far(calls, judged):
    asked = []

    def stop():
        asked.append(True)
        return len(asked) >= calls

    state = refine(paint, Light(), "a cat", stop=stop)
    assert len(asked) == calls and len(state.history) == judged
    assert state.stop_text == f"Stopped in round {judged + 1}." and state.stop_text in state.report()
    assert (state.best_payload is None) == (judged == 0)


def test_progress_hears_of_every_round_and_may_raise():
    heard = []
    state = refine(paint, Light(), "a cat", settings=LoopSettings(rounds=3), progress=heard.append)
    assert [one.history for one in heard] == [state.history[: i + 1] for i in range(len(state.history))]
    with pytest.raises(ZeroDivisionError):
        refine(paint, Light(), "a cat", progress=lambda state: 1 / 0)


def test_the_watch_of_the_critic_still_hears():
    heard = []
    refine(
        paint,
        Light(),
        "a cat",
        settings=LoopSettings(rounds=1),
        on_progress=lambda *at: heard.append(at),
        stop=lambda: False,
    )
    assert heard == [(1, 2), (2, 2)]


def test_best_of_draws_the_request_as_it_is_with_new_seeds():
    drawn = []

    def by_seed(prompt, seed):
        drawn.append((prompt, seed))
        return Image.new("L", (8, 8), [10, 90, 50][len(drawn) - 1])

    state = best_of(by_seed, Light(fails=[1]), "a cat", 3, seed=7)
    assert drawn == [("a cat", 7 + i * SEED_STEP) for i in range(3)]
    assert state.best.number == 2 and state.best_payload.getpixel((0, 0)) == 90


def test_best_of_stops_at_an_image_that_none_can_beat():
    state = best_of(lambda prompt, seed: Image.new("L", (8, 8), 255), Light(), "a cat", 9)
    assert len(state.history) == 1 and state.stop.reason is StopReason.THRESHOLDS_REACHED
    critic = Light()
    critic.profile = replace(RATIONAL_REWARDS, worst=0.0, best=10.0)
    assert critic.profile.scale[1] == 10
    with pytest.raises(ValueError, match="threshold must lie between 1 .*; it is 10"):
        best_of(paint, critic, "a cat", 2)  # it says one scale and judges on another


GREY = np.full((6, 5, 3), 51, np.uint8)


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (Image.fromarray(GREY), 1),
        (GREY, 1),
        (GREY[..., 0], 1),
        (GREY / np.float32(255), 1),
        (np.stack([GREY, GREY]), 2),
        (torch.full((6, 5, 3), 0.2), 1),
        (torch.full((3, 6, 5), 0.2), 1),
        (torch.full((2, 3, 6, 5), 0.2, dtype=torch.float16), 2),
        (torch.full((2, 6, 5, 3), 51, dtype=torch.uint8), 2),
        ([Image.fromarray(GREY), GREY, (torch.full((2, 6, 5, 3), 0.2),)], 4),
    ],
)
def test_images_of_any_kind(made, count):
    found = generated_images(made)
    assert len(found) == count
    for _, tensor in found:
        assert tensor.shape[:2] == (6, 5) and tensor.is_floating_point()
        assert torch.allclose(tensor.float(), torch.tensor(0.2), atol=1e-3)


ROUNDS = st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.9, "generator", "critic"]), min_size=6, max_size=6)


@given(ROUNDS, st.integers(1, 6), st.sampled_from(["fixed", "new"]), st.integers(0, 3), st.integers(0, 2))
def test_laws(plan, rounds, policy, patience, failures):
    drawn, judged = [], []

    def generate(prompt, seed):
        drawn.append((prompt, seed))
        if plan[len(drawn) - 1] == "generator":
            raise RuntimeError("fell over")
        return torch.full((4, 4, 3), 0.5 if plan[len(drawn) - 1] == "critic" else plan[len(drawn) - 1])

    class Critic(Light):
        def judge(self, questions, options=None, on_progress=None):
            judged.append(questions[0].request)
            if plan[len(drawn) - 1] == "critic":
                raise CriticError("cannot see")
            return super().judge(questions, options, on_progress)

    settings = LoopSettings(rounds=rounds, seed_policy=policy, patience=patience, max_failed_rounds=failures)
    try:
        state = refine(generate, Critic(), "a cat", settings=settings)
    except RuntimeError:
        assert plan[0] == "generator" and len(drawn) == 1
        return
    assert state.done and len(drawn) <= rounds and set(judged) == {"a cat"}
    assert len(state.history) == len(drawn) - ("generator" in plan[: len(drawn)])
    order = rank([past.critique for past in state.history], thresholds=settings.thresholds)
    assert state.best is state.history[order[0]]
    assert replay(json.loads(json.dumps(state.to_dict()))).to_dict() == state.to_dict()


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def run(code: str, folder: Path) -> dict:
    (folder / "example.py").write_text(code, "utf-8")
    return runpy.run_path("example.py")


@pytest.mark.slow
def test_the_examples_of_the_docs_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (front,) = examples("README.md")
    assert run(front, tmp_path)["result"].best.critique.reaches(3.0)
    single, loop = examples("docs/python.md")
    assert run(single, tmp_path)["judged"].overall is not None
    space = run(loop, tmp_path)
    result, others = space["result"], space["others"]
    assert result.best.critique.reaches(3.0) and len(result.history) > 1
    assert not result.history[0].critique.reaches(3.0)
    assert (tmp_path / "best.png").is_file() and "Round 1" in capsys.readouterr().out
    assert {past.prompt for past in others.history} == {result.request}
