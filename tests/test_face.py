"""What nodes hand to the browser: scores on the node after a run and from the cache, messages during one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

from rr_tests.loops import HISTORY, loop, node

from rr_models.loop.stop_reason import StopReason

ROOT = Path(__file__).resolve().parents[1]
RED = "a large red circle on the left"
BLUE = "a small blue star on the right"


def faces(output: dict) -> list[dict]:
    """What a node shows; core must be able to send it as JSON."""
    return [face for group in json.loads(json.dumps(output))["rational_rewards"] for face in group]


def sent(run, node_id: str) -> list[list[dict]]:
    """The faces of a node in the order in which they were sent, round by round."""
    return [
        faces(data["output"])
        for name, data in run.events
        if name == "executed" and data["display_node"] == node_id and data["output"]
    ]


def judge(batch: int = 1, **inputs) -> dict:
    return {
        "critic": node(
            "RationalRewardsLoadCritic",
            **{"model": "Shapes critic (built in, demo)", "precision": "auto", "device": "auto"},
            max_pixels=802816,
        ),
        "draw": node("RationalRewardsShapesGenerator", prompt=RED, seed=1, size=256, batch_size=batch),
        "judge": node(
            "RationalRewardsCritique",
            **{"critic": ["critic", 0], "image": ["draw", 0], "request": RED, "task": "auto"}
            | {"temperature": 0.0, "seed": 0, "max_new_tokens": 512}
            | inputs,
        ),
        "show": node("PreviewAny", source=["judge", 3]),
    }


def test_critiques_of_a_batch_are_shown_best_first_and_again_from_the_cache(core):
    executor, prompt = core.executor(), judge(batch=2)
    run = core.run(prompt, executor)
    assert run.success, run.complaint
    found = run.critiques("judge")
    shown = faces(run.outputs["judge"])
    assert sorted(face["image"] for face in shown) == ["1", "2"]
    assert [face["overall"] for face in shown] == sorted((one.overall for one in found), reverse=True)
    best = found[int(shown[0]["image"]) - 1]
    assert [a["score"] for a in shown[0]["aspects"]] == [a.score for a in best.aspects]
    assert [a["text"] for a in shown[0]["aspects"]] == [a.justification for a in best.aspects]
    again = core.run(prompt, executor)
    assert "judge" in again.cached
    assert faces(again.outputs["judge"]) == shown


def test_the_browser_hears_how_far_the_critic_is(core, monkeypatch):
    monkeypatch.setattr(core.library("nodes.common.display"), "MIN_INTERVAL", 0.0)
    run = core.run(judge())
    assert run.success, run.complaint
    live = [data for name, data in run.events if name == "rational_rewards.live"]
    assert {data["node"] for data in live} == {"judge"}
    assert [data["tokens"] for data in live] == sorted(data["tokens"] for data in live)
    best = run.critiques("judge")[0]
    want = {a.key: [a.score] for a in best.aspects}
    # as they come: first none, then one after the other, each as it stands in the end
    assert live[0]["scores"] == {} and live[-1]["scores"] == want
    assert {len(data["scores"]) for data in live} == set(range(len(want) + 1))
    assert live[-1]["per_second"] > 0
    assert live[-1]["left"] >= 0
    assert [aspect["key"] for aspect in live[0]["aspects"]] == list(want)


def test_several_passes_show_how_far_they_spread(core):
    other = "two yellow stars above a big blue square"  # what the image does not show: no plain case
    run = core.run(judge(samples=4, temperature=1.0, request=other))
    assert run.success, run.complaint
    (found,) = run.critiques("judge")
    (shown,) = faces(run.outputs["judge"])
    assert found.source["samples"] == 4
    assert [a["std"] for a in shown["aspects"]] == [a.std for a in found.aspects]
    assert any(a.std for a in found.aspects)
    scored = next(a for a in found.aspects if a.std)
    assert f"{scored.name} {scored.expected:.2f} ± {scored.std:.2f}" in run.value("judge", 3).split("\n\n")[0]
    alone = core.run(judge(samples=3))
    assert not alone.success and "samples is 3" in alone.complaint


def test_it_is_told_at_most_four_times_a_second(core, monkeypatch):
    looks = []

    def monotonic() -> float:
        looks.append(1)
        return len(looks) / 100  # 10 ms from one step of the critic to the next

    monkeypatch.setattr(core.library("nodes.common.display"), "time", SimpleNamespace(monotonic=monotonic))
    run = core.run(judge())
    assert 0 < sum(name == "rational_rewards.live" for name, _ in run.events) <= len(looks) / 25


def test_no_browser_no_messages(core):
    core.server.client_id = None
    face = core.library("nodes.common.display")
    core.server.events = []
    face._send(face.LIVE, {})
    assert not core.server.events


def test_a_loop_is_shown_round_by_round_and_whole_from_the_cache(core):
    executor, prompt = core.executor(), loop()
    run = core.run(prompt, executor)
    assert run.success, run.complaint
    seen = [len(face["rounds"]) for (face,) in sent(run, "end") if not face["stop"]]
    told = [data["number"] for name, data in run.events if name == "rational_rewards.round"]
    assert told == [1, 2, 3]
    (last,) = sent(run, "end")[-1]
    assert [past["number"] for past in last["rounds"]] == [1, 2, 3]
    assert last["best"] == 3 and last["stop"]["code"] == "thresholds_reached"
    assert last["critique"]["overall"] == run.value("end", HISTORY).best.critique.overall
    assert len(seen) <= 2  # core hands out the very list that later rounds bring up to date
    (kept,) = faces(run.outputs["end"])
    assert kept == last
    again = core.run(prompt, executor)
    assert "end" in again.cached and faces(again.outputs["end"]) == [last]


def test_loops_over_a_list_show_each_its_own(core):
    prompt = loop(request=["lines", 0])
    prompt["lines"] = node("RRTestList", text="grey\ngrey brighter brighter")
    run = core.run(prompt)
    assert run.success, run.complaint
    shown = faces(run.outputs["end"])
    assert [len(face["rounds"]) for face in shown] == [3, 1]


def test_a_comparison_is_shown_aspect_by_aspect(core):
    prompt = judge()
    prompt["other"] = node("RationalRewardsShapesGenerator", prompt=BLUE, seed=1, size=256, batch_size=1)
    prompt["judge"] = node(
        "RationalRewardsCompare",
        **{"critic": ["critic", 0], "image_a": ["draw", 0], "image_b": ["other", 0]},
        **{"request": RED, "comparison": "auto", "tie_margin": 0.0, "temperature": 0.0, "seed": 0},
        max_new_tokens=512,
    )
    prompt["show"]["inputs"]["source"] = ["judge", 5]
    run = core.run(prompt)
    assert run.success, run.complaint
    (face,) = faces(run.outputs["judge"])
    assert face["winner"] == run.value("judge", 1) == "A"
    assert face["overall"] == [run.value("judge", 2), run.value("judge", 3)]
    assert all(aspect["winner"] for aspect in face["aspects"] if aspect["status"] == "scored")


def test_every_stop_reason_is_translated():
    """With the parameters that its sentence has in English."""
    script = (ROOT / "web" / "js" / "face.js").read_text("utf-8")
    table = re.search(r"const STOP_ZH = \{(.+?)\n\};", script, re.DOTALL)[1]
    translations = dict(re.findall(r'^  (\w+): "(.+)",$', table, re.MULTILINE))
    assert set(translations) == {reason.value for reason in StopReason}
    for reason in StopReason:
        names = re.findall(r"\{\w+\}", reason.template)
        assert sorted(re.findall(r"\{\w+\}", translations[reason.value])) == sorted(names), reason
