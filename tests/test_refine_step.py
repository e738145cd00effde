"""Refine Step in the real core: in a while loop of another make, and in a row by hand."""

from __future__ import annotations

import pytest
from rr_tests.loops import loop, node

LOOP, PROMPT, SEED, GO_ON, IMAGE, CANDIDATES, REPORT = range(7)


def step(number: int, before: str) -> dict:
    """Painter, judge and step of one round, after the node `before`, a Refine Start or a Refine Step."""
    paint, pack, judge = f"paint{number}", f"pack{number}", f"judge{number}"
    return {
        paint: node("RRTestPaint", prompt=[before, PROMPT], seed=[before, SEED], batch_size=2, fail_on=""),
        pack: node("RationalRewardsPackImages", image=[paint, 0], latent=[paint, 1]),
        judge: node(
            "RRTestMeasure", image=[pack, 0], request="grey", prompt=[before, PROMPT], blind_above=1.0
        ),
        f"step{number}": node("RationalRewardsRefineStep", loop=[before, LOOP], image=[judge, 0]),
    }


def in_a_row(count: int, **start) -> dict:
    prompt = {"start": loop(**start)["start"]}
    for number in range(1, count + 1):
        prompt |= step(number, f"step{number - 1}" if number > 1 else "start")
    prompt["show"] = node("PreviewImage", images=[f"step{count}", IMAGE])
    return prompt


@pytest.mark.parametrize("cache", ["classic", "none"])
def test_what_comes_after_the_end_is_not_made(core, cache):
    run = core.run(in_a_row(5, rounds=9), core.executor(cache))
    assert run.success, run.complaint
    assert {name for name in run.executed if name.startswith("paint")} == {"paint1", "paint2", "paint3"}
    if cache == "classic":
        assert [run.value(f"step{n}", GO_ON) for n in (1, 2, 3, 4, 5)] == [True, True, False, False, False]
        assert run.value("step5", PROMPT) == "grey brighter brighter"
        assert run.value("step5", IMAGE).mean().item() == pytest.approx(0.75, abs=1e-5)
        assert run.value("step5", CANDIDATES)[0].latent["samples"].shape[0] == 1
        assert run.value("step5", CANDIDATES)[0].critique.overall == pytest.approx(3.25, abs=1e-5)
        assert "Round 3 reaches the thresholds: 3" in run.value("step5", REPORT)
        assert len(run.value("step5", LOOP).state.history) == 3


@pytest.mark.parametrize("cache", ["classic", "none", "ram"])
def test_in_a_while_loop_of_another_make(core, cache):
    prompt = {
        "start": loop(rounds=9)["start"],
        "open": node("RRTestWhileOpen", value=["start", LOOP]),
        "read": node("RationalRewardsRefineStep", loop=["open", 0]),
        **step(1, "read"),
        "close": node("RRTestWhileClose", open=["open", 0], value=["step1", LOOP], go_on=["step1", GO_ON]),
        "result": node("RationalRewardsRefineStep", loop=["close", 0]),
        "show": node("PreviewImage", images=["result", IMAGE]),
        "text": node("PreviewAny", source=["result", REPORT]),
    }
    run = core.run(prompt, core.executor(cache))
    assert run.success and not run.errors, run.complaint
    painted = [d for name, d in run.events if name == "executing" and d.get("display_node") == "paint1"]
    assert len(painted) == 3
    (text,) = run.outputs["text"]["text"]
    assert "Best: round 3." in text and len(text.splitlines()) == 4


def test_a_step_judges_by_itself_and_only_while_the_loop_runs(core):
    prompt = {"start": loop(rounds=2)["start"], "toy": node("RRTestToyCritic")}
    for number, before in enumerate(("start", "step1", "step2"), 1):
        prompt |= step(number, before)
        del prompt[f"judge{number}"]
        prompt[f"step{number}"]["inputs"] |= {"image": [f"pack{number}", 0], "critic": ["toy", 0]}
    prompt["show"] = node("PreviewImage", images=["step3", IMAGE])
    run = core.run(prompt)
    assert run.success, run.complaint
    assert len(run.value("step3", LOOP).state.history) == 2 and "paint3" not in run.executed
    assert run.value("step3", CANDIDATES)[0].latent is not None


def test_before_the_first_round_there_is_no_image(core):
    prompt = {
        "start": loop()["start"],
        "read": node("RationalRewardsRefineStep", loop=["start", 0]),
        "show": node("PreviewImage", images=["read", IMAGE]),
        "text": node("PreviewAny", source=["read", PROMPT]),
    }
    run = core.run(prompt)
    assert run.success and not run.errors, run.complaint
    assert run.value("read", PROMPT) == "grey" and "show" not in run.outputs


def test_wrong_use_is_an_error_that_says_what_to_do(core):
    prompt = in_a_row(1)
    prompt["step1"]["inputs"]["image"] = ["paint1", 0]
    assert "Refine Step, round 1: the images are not judged" in core.run(prompt).complaint
    prompt = in_a_row(2)
    prompt["judge2"]["inputs"]["request"] = ["step1", PROMPT]
    assert "Refine Step, round 2: Judge every round by the loop's request" in core.run(prompt).complaint
    prompt = in_a_row(1)
    prompt["step1"]["inputs"]["run"] = "x"
    assert "Refine Step has no input run" in core.run(prompt).complaint
