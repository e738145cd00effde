"""Reward Gate in the real core: what passes, what is blocked, rerouted, or stops the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PASS, CANDIDATES, FAIL, FAIL_CANDIDATES, PASSED, REPORT = range(6)


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def gated(blind_above: float = 1.0, **gate) -> dict:
    """A batch of three with scores of 1.45, 1.6 and 1.75 on every aspect."""
    packed = {"latent": ["paint", 1], "mask": ["paint", 2]}
    packed |= {name: gate.pop(name) for name in ("latent", "prompt", "seed") if name in gate}
    return {
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=3, fail_on=""),
        "pack": node("RationalRewardsPackImages", image=["paint", 0], **packed),
        "judge": node("RRTestMeasure", image=["pack", 0], request="r", prompt="p", blind_above=blind_above),
        "gate": node(
            "RationalRewardsGate",
            **{"candidates": ["judge", 0], "threshold": 1.5, "on_fail": "reroute"}
            | {"batch_mode": "each image"}
            | gate,
        ),
        "pass": node("PreviewImage", images=["gate", PASS]),
        "fail": node("PreviewImage", images=["gate", FAIL]),
        "report": node("PreviewAny", source=["gate", REPORT]),
    }


def parts(run, slot: int, name: str, gate: str = "gate") -> list:
    """One part of each candidate that came out."""
    return [getattr(one, name) for bundle in run.slot(gate, slot) for one in bundle]


def shades(images) -> list[float]:
    return [round(one.mean().item(), 2) for image in images for one in image]


def test_a_batch_is_parted_in_its_order(core):
    run = core.run(gated())
    assert run.success, run.complaint
    assert shades(run.slot("gate", PASS)) == [0.2, 0.25] and shades(run.slot("gate", FAIL)) == [0.15]
    assert run.value("gate", PASSED) == 2
    latents = parts(run, CANDIDATES, "latent"), parts(run, FAIL_CANDIDATES, "latent")
    assert [one["samples"].mean().item() for one in latents[0]] == pytest.approx([0.2, 0.25])
    assert [one["samples"].mean().item() for one in latents[1]] == pytest.approx([0.15])
    assert [one.mean().item() for one in parts(run, CANDIDATES, "mask")] == pytest.approx([0.2, 0.25])
    assert [one.overall for one in parts(run, CANDIDATES, "critique")] == pytest.approx([1.6, 1.75])
    assert [one.overall for one in parts(run, FAIL_CANDIDATES, "critique")] == pytest.approx([1.45])
    lines = run.value("gate", REPORT).splitlines()
    assert lines[0].startswith("Image 1: fail, Text Faithfulness 1.45 (threshold 1.5)")
    assert lines[1:] == ["Image 2: pass", "Image 3: pass"]
    ((panel,),) = run.outputs["gate"]["rational_rewards"]
    assert (panel["counts"], panel["lines"], panel["passing"]) == ([2, 3], lines, True)


@pytest.mark.parametrize(
    ("gate", "shown"),
    [
        ({"threshold": 1.0}, {"pass"}),
        ({"threshold": 2.0}, {"fail"}),
        ({"threshold": 1.5, "on_fail": "block"}, {"pass"}),
        ({"threshold": 2.0, "on_fail": "block"}, set()),
        ({"threshold": 1.5, "batch_mode": "all must pass"}, {"fail"}),
        ({"threshold": 1.5, "batch_mode": "one is enough"}, {"pass"}),
        ({"threshold": 1.0, "min_overall": 1.7}, {"pass", "fail"}),
        ({"threshold": 1.0, "aspect_thresholds": "physical_quality=3"}, {"fail"}),
        ({"threshold": 1.0, "on_fail": "stop the run"}, {"pass"}),
    ],
)
def test_only_the_side_with_images_runs_and_nothing_is_said(core, gate, shown):
    run = core.run(gated(**gate))
    assert run.success and not run.errors, run.complaint
    assert set(run.outputs) == shown | {"gate", "report"}


def test_the_run_can_be_stopped_and_is_told_why(core):
    run = core.run(gated(on_fail="stop the run"))
    assert not run.success and "Reward Gate stopped the run" in run.complaint
    assert "Image 1: fail, Text Faithfulness" in run.complaint and "Image 3: pass" in run.complaint
    assert core.run(gated()).success, "the next run starts clean"


def test_what_could_not_be_judged_never_passes(core):
    run = core.run(gated(blind_above=0.16, threshold=1.0))
    assert run.success and shades(run.slot("gate", PASS)) == [0.15]
    assert "Image 2: fail, the critique is incomplete" in run.value("gate", REPORT)


def test_a_list_gets_shorter_and_keeps_what_belongs_together(core):
    prompt = gated(prompt=["texts", 0], seed=["seeds", 0], threshold=2.0)
    prompt |= {
        "texts": node("RRTestList", text="grey\nbrighter\nbrighter brighter"),
        "sizes": node("RRTestInts", text="16 24 32"),
        "seeds": node("RRTestInts", text="10 20 30"),
        # takes the list as a whole: a blocked item in it would block it
        "pick": node("RationalRewardsPickBest", candidates=["gate", CANDIDATES], count=9, rank_by="overall"),
        "best": node("PreviewImage", images=["pick", 0]),
    }
    prompt["paint"]["inputs"] |= {
        "prompt": ["texts", 0],
        "size": ["sizes", 0],
        "seed": ["seeds", 0],
        "batch_size": 1,
    }
    run = core.run(prompt)
    assert run.success, run.complaint
    assert [one.shape[1] for one in run.slot("gate", PASS)] == [24, 32]
    assert parts(run, CANDIDATES, "prompt") == ["brighter", "brighter brighter"]
    assert parts(run, CANDIDATES, "seed") == [20, 30]
    assert [one.shape[1] for one in run.slot("gate", FAIL)] == [16]
    assert parts(run, FAIL_CANDIDATES, "prompt") == ["grey"]
    assert parts(run, FAIL_CANDIDATES, "seed") == [10]
    assert run.value("gate", PASSED) == 2
    assert len(run.outputs["best"]["images"]) == 2


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"threshold": 5.0}, "threshold must lie between 1 (worst) and 4 (best)"),
        ({"aspect_thresholds": "mood=2"}, "'mood' is not judged here"),
        ({"candidates": ["pack", 0]}, "these images have not been judged"),
        ({"latent": ["single", 1]}, "latent holds 1 items for 3 images"),
    ],
)
def test_bad_input_is_an_error_that_names_it(core, gate, said):
    prompt = gated(**gate)
    prompt["single"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=1, fail_on="")
    run = core.run(prompt)
    assert not run.success and said in run.complaint


def test_the_shipped_workflow_lets_only_what_is_right_through(core):
    file = Path(__file__).parents[1] / "workflows" / "api" / "best_of_shapes_demo.json"
    prompt = json.loads(file.read_text("utf-8"))
    (gate,) = (name for name, one in prompt.items() if one["class_type"] == "RationalRewardsGate")
    run = core.run(prompt)
    assert run.success and not run.errors, run.complaint
    through, back = (parts(run, slot, "critique", gate) for slot in (CANDIDATES, FAIL_CANDIDATES))
    assert through and back and all(one.reaches(3.5) for one in through)
    assert not any(one.reaches(3.5) for one in back)
