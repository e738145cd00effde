"""The refine loop in the real executor: target count, thresholds, time limit, Stop, replayed histories."""

from __future__ import annotations

import json

import pytest
from rr_tests.loops import ACCEPTED, ACCEPTED_CANDIDATES, HISTORY, REPORT, loop, node


def test_as_many_images_as_wanted(core):
    """Reward-filtered sampling: the prompt stays, the seed changes, accepted images are collected."""
    prompt = loop(
        rounds=9,
        threshold=1.6,
        seed_policy="new",
        target_count=3,
        prompt_policy="as written",
        patience=0,
        aspect_thresholds="",
        packed=True,
    )
    prompt["paint"]["inputs"]["batch_size"] = 2
    run = core.run(prompt)
    assert run.success, run.complaint
    state = run.value("end", HISTORY)
    assert state.stop_text == "All 3 wanted images are accepted."
    assert {past.prompt for past in state.history} == {"grey"}
    shades = [one.mean().item() for one in run.value("end", ACCEPTED)]
    assert len(shades) == 3 and min(shades) >= 0.2 - 1e-6
    accepted = run.value("end", ACCEPTED_CANDIDATES)
    assert [one.latent["samples"][0, 0, 0, 0] for one in accepted] == pytest.approx(shades)
    assert [one.mask[0, 0, 0] for one in accepted] == pytest.approx(shades)
    assert [one.critique.overall for one in accepted] == pytest.approx([1 + 3 * x for x in shades])
    assert [one.seed for one in accepted] == [0, 1000003, 1000003] or len({one.seed for one in accepted}) > 1
    assert {one.prompt for one in accepted} == {"grey"}


def test_where_nothing_is_accepted_nothing_runs_after_it(core):
    prompt = loop(rounds=1)
    prompt["show"] = node("PreviewImage", images=["end", ACCEPTED])
    run = core.run(prompt)
    assert run.success and not run.errors and "show" not in run.outputs, run.complaint


def test_thresholds_and_time_limit_of_the_start(core):
    run = core.run(
        loop(aspect_thresholds="text_faithfulness=2.5, physical_quality=1", threshold=2.5, min_overall=2.0)
    )
    assert len(run.value("end", HISTORY).history) == 2, run.complaint
    late = core.run(loop(time_limit_minutes=0.0001, seed_policy="new"))
    assert "another round takes at least" in late.value("end", REPORT)
    assert (
        "aspect_thresholds: 'mood' is not judged here" in core.run(loop(aspect_thresholds="mood=2")).complaint
    )
    assert "is not an aspect and a score" in core.run(loop(aspect_thresholds="mood")).complaint


def test_a_start_from_the_cache_has_used_no_time(core, monkeypatch):
    executor = core.executor()
    core.run(loop(time_limit_minutes=0.5), executor)
    loops = core.library("nodes.common.loop_context")
    real = loops.time.monotonic
    monkeypatch.setattr(loops.time, "monotonic", lambda: real() + 3600)
    again = core.run(loop(time_limit_minutes=0.5, end={"filename_prefix": "other"}), executor)
    assert "start" in again.cached
    assert len(again.value("end", HISTORY).history) == 3, again.complaint


def test_a_stopped_loop_has_its_best_image_on_disk_and_leaves_a_clean_queue(core):
    prompt = loop(end={"save_rounds": True, "filename_prefix": "stopped"})
    home = core.base / "output" / "RationalRewards" / "stopped_00001"

    def press_stop(name, data):
        if (home / "round_01.png").is_file():
            core.interrupt()

    executor = core.executor()
    run = core.run(prompt, executor, on_event=press_stop)
    assert run.interrupted and not run.success
    assert (home / "best.png").is_file() and (home / "history.json").is_file()
    again = core.run(loop(), executor)
    assert again.success and len(again.value("end", HISTORY).history) == 3, again.complaint


def test_the_history_on_disk_replays(core):
    core.run(loop(end={"save_rounds": True, "filename_prefix": "replay"}))
    file = core.base / "output" / "RationalRewards" / "replay_00001" / "history.json"
    state = core.library("rr_models.loop.replay").replay(json.loads(file.read_text("utf-8")))
    assert state.done and state.best.number == 3
