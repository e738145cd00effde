"""Tournament in the real core: who wins, what it costs, what stays together, Stop."""

from __future__ import annotations

import pytest
from rr_tests.loops import node

BEST, CANDIDATES, REST, REST_CANDIDATES, INDEX, REPORT = range(6)
SHAPES = "a large red circle on the left and a small blue star on the right"
WRONG = "a large green square on the left"
LOADED = {"precision": "auto", "device": "auto", "max_pixels": 65536}


@pytest.fixture(scope="module")
def core(core, tiny_model):
    """With a tiny model in its folders."""
    return core


def met(prompts: str = f"{WRONG}\n{SHAPES}\n{WRONG}", seeds: str = "5 0 6", **inputs) -> dict:
    """A list of images from a list of prompts, judged by the built-in critic."""
    return {
        "critic": node("RationalRewardsLoadCritic", model="Shapes critic (built in, demo)", **LOADED),
        "prompts": node("RRTestList", text=prompts),
        "seeds": node("RRTestInts", text=seeds),
        "draw": node(
            "RationalRewardsShapesGenerator",
            prompt=["prompts", 0],
            seed=["seeds", 0],
            size=128,
            batch_size=1,
        ),
        "pack": node(
            "RationalRewardsPackImages", image=["draw", 0], prompt=["prompts", 0], seed=["seeds", 0]
        ),
        "meet": node(
            "RationalRewardsTournament",
            **{
                "critic": ["critic", 0],
                "image": ["pack", 0],
                "request": SHAPES,
                "count": 1,
                "format": "knockout",
            }
            | inputs,
        ),
        "show": node("PreviewAny", source=["meet", REPORT]),
    }


@pytest.mark.parametrize("form", ["knockout", "round robin"])
def test_the_best_wins_with_all_that_belongs_to_it(core, form):
    said = []
    run = core.run(
        met(format=form),
        on_event=lambda name, data: said.append(data["text"]) if name == "progress_text" else None,
    )
    assert run.success, run.complaint
    assert run.slot("meet", INDEX) == [1]
    ((best,),) = run.slot("meet", CANDIDATES)
    assert (best.prompt, best.seed) == (SHAPES, 0)
    rest = [one for bundle in run.slot("meet", REST_CANDIDATES) for one in bundle]
    assert [(one.prompt, one.seed) for one in rest] == [(WRONG, 5), (WRONG, 6)]
    assert len(run.slot("meet", REST)) == 2
    report = run.value("meet", REPORT)
    cost = "3 images, judged independently: 3 answers of the critic"
    assert cost in said and report.startswith(cost), "the built-in critic knows no pairs"
    assert report.count(" against ") == (2 if form == "knockout" else 3)
    assert report.endswith("Selected, best first: 2.")


def test_a_critic_that_knows_pairs_sees_both_orders(core):
    said = []
    painted = {
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=3, fail_on=""),
        "critic": node("RationalRewardsLoadCritic", model="tiny", **LOADED),
        "show": node("PreviewAny", source=["meet", REPORT]),
    }
    painted["pack"] = node(
        "RationalRewardsPackImages", image=["paint", 0], latent=["paint", 1], mask=["paint", 2]
    )
    painted["meet"] = node(
        "RationalRewardsTournament",
        critic=["critic", 0],
        image=["pack", 0],
        request="a cat",
        count=2,
        format="round robin",
    )
    run = core.run(
        painted, on_event=lambda name, data: said.append(data["text"]) if name == "progress_text" else None
    )
    assert run.success, run.complaint
    assert "3 images: at most 3 comparison(s), 6 answer(s) of the critic" in said
    kept, index = run.value("meet", BEST), run.slot("meet", INDEX)
    assert kept.shape == (2, 16, 16, 3) and run.value("meet", REST).shape == (1, 16, 16, 3)
    shades = [(0.15, 0.20, 0.25)[place] for place in index]
    assert [one.mean().item() for one in kept] == pytest.approx(shades)
    best = run.value("meet", CANDIDATES)
    assert [one.latent["samples"].mean().item() for one in best] == pytest.approx(shades)
    assert [one.mask.mean().item() for one in best] == pytest.approx(shades)
    assert run.value("meet", REPORT).count(" against ") == 3


def test_one_image_wins_without_a_comparison(core):
    run = core.run(met(prompts=SHAPES, seeds="3"))
    assert run.success, run.complaint
    assert run.slot("meet", INDEX) == [0] and not run.errors


def test_stop_ends_it_between_and_within_comparisons(core):
    def press(name, data):
        if name == "progress" and data.get("node") == "meet":
            core.interrupt()

    run = core.run(met(), on_event=press)
    assert run.interrupted and not run.success
    assert core.run(met()).success


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request": " "}, "request is empty"),
        ({"request": ["prompts", 0]}, "request must be one value"),
    ],
)
def test_bad_input_is_an_error_that_names_it(core, change, said):
    prompt = met()
    prompt["meet"]["inputs"] |= change
    run = core.run(prompt)
    assert not run.success and said in run.complaint
