"""Judge A vs B in the real core: the better image goes on, what cannot be told stops."""

from __future__ import annotations

import math

import pytest
import torch


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="module")
def core(core, tiny_model):
    """With a tiny model in its folders."""
    return core


SHAPES = "Shapes critic (built in, demo)"
REQUEST = "a large red circle on the left and a small blue star on the right"


def compared(model: str, **inputs) -> dict:
    """An image of the request against one of something else."""
    shapes = {"seed": 1, "size": 256, "batch_size": 1}
    return {
        "critic": node(
            "RationalRewardsLoadCritic", model=model, precision="auto", device="auto", max_pixels=65536
        ),
        "right": node("RationalRewardsShapesGenerator", prompt=REQUEST, **shapes),
        "wrong": node(
            "RationalRewardsShapesGenerator", prompt="a small green square in the middle", **shapes
        ),
        "compare": node(
            "RationalRewardsCompare",
            **{
                "critic": ["critic", 0],
                "image_a": ["wrong", 0],
                "image_b": ["right", 0],
                "request": REQUEST,
                "comparison": "auto",
                "tie_margin": 0.0,
                "temperature": 0.0,
                "seed": 0,
                "max_new_tokens": 512,
            }
            | inputs,
        ),
        "show": node("PreviewImage", images=["compare", 0]),
    }


def test_compare_passes_on_the_better_image(core):
    run = core.run(compared(SHAPES))
    assert run.success, run.complaint
    assert torch.equal(run.value("compare"), run.value("right"))
    winner, a, b, bias, report = (run.value("compare", place) for place in range(1, 6))
    assert winner == "B" and a < b and math.isnan(bias)
    assert "B wins" in report and "B: " in report


def test_what_might_have_been_written_can_decide(core):
    """Expected scores are those that Critique Image gives to each image alone. With a trained critic: random
    weights have near ties, which another processor or batch decides otherwise."""
    wish = {"detail": "scores", "max_new_tokens": 700, "score_mode": "expected"}
    prompt = compared(SHAPES, comparison="independent", **wish)
    for name, place in (("wrong", 2), ("right", 3)):
        alone = {"critic": ["critic", 0], "image": [name, 0], "request": REQUEST, "task": "auto"}
        chance = {"temperature": 0.0, "seed": 0}
        prompt[f"judge {place}"] = node("RationalRewardsCritique", **alone, **chance, **wish)
        prompt[f"seen {place}"] = node("PreviewAny", source=[f"judge {place}", 1])
    run = core.run(prompt)
    assert run.success, run.complaint
    for place in (2, 3):
        assert run.value("compare", place) == pytest.approx(run.value(f"judge {place}", 1), abs=1e-3)
    written = core.run(compared(SHAPES, comparison="independent", **wish | {"score_mode": "written"}))
    assert written.value("compare", 2) != run.value("compare", 2)


def test_what_cannot_be_told_stops_what_hangs_on_it(core):
    prompt = compared("tiny", max_new_tokens=64)
    prompt["told"] = node("PreviewAny", source=["compare", 5])
    prompt["winner"] = node("PreviewAny", source=["compare", 1])
    run = core.run(prompt)
    assert "could not decide" in run.complaint
    assert run.value("compare", 1) == "none" and math.isnan(run.value("compare", 2))


def test_less_can_be_asked_for_and_what_was_judged_is_cached(core):
    pair = {"comparison": "both orders", "max_new_tokens": 700}
    full = core.run(compared("tiny", **pair))
    brief = core.run(compared("tiny", detail="scores", **pair))
    assert full.success and brief.success, full.complaint or brief.complaint
    tokens = [run.value("compare", 6).verdict.source["tokens"] for run in (full, brief)]
    assert tokens[1] < tokens[0] and not math.isnan(brief.value("compare", 2))
    again = core.run(compared("tiny", detail="scores", **pair), keep_cache=True)
    assert "From the cache" in again.value("compare", 5)
    assert again.value("compare", 2) == brief.value("compare", 2)
    anew = core.run(compared("tiny", detail="scores", use_cache=False, **pair), keep_cache=True)
    assert "From the cache" not in anew.value("compare", 5)
    free = core.run(compared("tiny", constrained=False, **pair))
    assert [free.value("compare", place) for place in (1, 2, 3)] == [
        full.value("compare", place) for place in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request": ""}, "request is empty"),
        ({"image_a": ["two", 0]}, "image_a holds 2 images"),
        ({"comparison": "both orders"}, "compare images independently"),
    ],
)
def test_a_bad_comparison_is_an_error_that_names_it(core, change, said):
    prompt = compared(SHAPES, **change)
    prompt["two"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=2, fail_on="")
    run = core.run(prompt)
    assert not run.success and said in run.complaint
