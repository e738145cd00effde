"""Reward Gate in the real core: what passes, what is blocked, rerouted, or stops the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PASS, FAIL, PASSED, REPORT, LATENT, MASK, CRITIQUES, PROMPTS, SEEDS = range(9)
FAIL_LATENT, FAIL_MASK, FAIL_CRITIQUES, FAIL_PROMPTS, FAIL_SEEDS = range(9, 14)


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def gated(blind_above: float = 1.0, **gate) -> dict:
    """A batch of three with scores of 1.45, 1.6 and 1.75 on every aspect."""
    return {
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=3, fail_on=""),
        "judge": node("RRTestMeasure", image=["paint", 0], request="r", prompt="p", blind_above=blind_above),
        "gate": node(
            "RationalRewardsGate",
            **{"image": ["paint", 0], "critiques": ["judge", 0], "threshold": 1.5, "on_fail": "reroute"}
            | {"batch_mode": "each image", "latent": ["paint", 1], "mask": ["paint", 2]}
            | gate,
        ),
        "pass": node("PreviewImage", images=["gate", PASS]),
        "fail": node("PreviewImage", images=["gate", FAIL]),
        "report": node("PreviewAny", source=["gate", REPORT]),
    }


def shades(images) -> list[float]:
    return [round(one.mean().item(), 2) for image in images for one in image]


def test_a_batch_is_parted_in_its_order(core):
    run = core.run(gated())
    assert run.success, run.complaint
    assert shades(run.slot("gate", PASS)) == [0.2, 0.25] and shades(run.slot("gate", FAIL)) == [0.15]
    assert run.value("gate", PASSED) == 2
    assert run.value("gate", LATENT)["samples"][:, 0, 0, 0].tolist() == pytest.approx([0.2, 0.25])
    assert run.value("gate", FAIL_LATENT)["samples"][:, 0, 0, 0].tolist() == pytest.approx([0.15])
    assert run.value("gate", MASK).shape == (2, 16, 16) and run.value("gate", FAIL_MASK).shape == (1, 16, 16)
    assert [one.overall for one in run.value("gate", CRITIQUES)] == pytest.approx([1.6, 1.75])
    assert [one.overall for one in run.value("gate", FAIL_CRITIQUES)] == pytest.approx([1.45])
    lines = run.value("gate", REPORT).splitlines()
    assert lines[0].startswith("Image 1: fail, Text Faithfulness 1.45 (threshold 1.5)")
    assert lines[1:] == ["Image 2: pass", "Image 3: pass"]


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
    assert set(run.outputs) == shown | {"report"}


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
    prompt = gated(prompts=["texts", 0], seeds=["seeds", 0], threshold=2.0)
    prompt |= {
        "texts": node("RRTestList", text="grey\nbrighter\nbrighter brighter"),
        "sizes": node("RRTestInts", text="16 24 32"),
        "seeds": node("RRTestInts", text="10 20 30"),
        # takes the list as a whole: a blocked item in it would block it
        "pick": node(
            "RationalRewardsPickBest", image=["gate", 0], critiques=["gate", 6], count=9, rank_by="overall"
        ),
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
    assert run.slot("gate", PROMPTS) == ["brighter", "brighter brighter"] and run.slot("gate", SEEDS) == [
        20,
        30,
    ]
    assert [one.shape[1] for one in run.slot("gate", FAIL)] == [16]
    assert run.slot("gate", FAIL_PROMPTS) == ["grey"] and run.slot("gate", FAIL_SEEDS) == [10]
    assert run.value("gate", PASSED) == 2
    assert len(run.outputs["best"]["images"]) == 2


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"threshold": 5.0}, "threshold must lie between 1 (worst) and 4 (best)"),
        ({"aspect_thresholds": "mood=2"}, "'mood' is not judged here"),
        ({"critiques": ["other", 0]}, "image holds 3 images, critiques holds 1"),
        ({"latent": ["single", 1]}, "latent holds 1 items for 3 images"),
    ],
)
def test_bad_input_is_an_error_that_names_it(core, gate, said):
    prompt = gated(**gate)
    prompt["single"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=1, fail_on="")
    prompt["other"] = node("RRTestMeasure", image=["single", 0], request="r", prompt="p", blind_above=1.0)
    run = core.run(prompt)
    assert not run.success and said in run.complaint


def test_an_open_input_is_named_where_its_output_is_used(core):
    prompt = gated()
    prompt["show"] = node("PreviewAny", source=["gate", SEEDS])
    assert "Reward Gate: connect its seeds input" in core.run(prompt).complaint


def test_the_shipped_workflow_lets_only_what_is_right_through(core):
    file = Path(__file__).parents[1] / "workflows" / "api" / "best_of_shapes_demo.json"
    prompt = json.loads(file.read_text("utf-8"))
    (gate,) = (name for name, one in prompt.items() if one["class_type"] == "RationalRewardsGate")
    run = core.run(prompt)
    assert run.success and not run.errors, run.complaint
    through = [one for item in run.slot(gate, CRITIQUES) for one in item]
    back = [one for item in run.slot(gate, FAIL_CRITIQUES) for one in item]
    assert through and back and all(one.reaches(3.5) for one in through)
    assert not any(one.reaches(3.5) for one in back)
