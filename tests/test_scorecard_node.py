"""The Scorecard node in a real core: critiques, a comparison, a loop's story, and what it refuses."""

from __future__ import annotations

import torch
from rr_tests.loops import HISTORY, loop, node

VERDICT = 6


def judged(count: int, **card) -> dict:
    return {
        "paint": node("RRTestPaint", prompt="brighter", seed=0, batch_size=count, fail_on=""),
        "judge": node("RRTestMeasure", image=["paint", 0], request="a request", prompt="b", blind_above=1.0),
        "card": scorecard(judged=["judge", 0], **card),
    }


def scorecard(**inputs) -> dict:
    return node("RationalRewardsScorecard", **{"theme": "light", "threshold": 3.0} | inputs)


def drawn(core, run) -> torch.Tensor:
    assert run.success, run.complaint
    (shown,) = run.outputs["card"]["images"]
    assert (core.base / "temp" / shown["subfolder"] / shown["filename"]).is_file(), "it is shown on the node"
    card = run.value("card")
    assert card.shape[0] == 1 and card.shape[2:] == (1200, 3)
    return card[0]


def holds(card: torch.Tensor, shade: float) -> bool:
    """Whether a grey of this shade fills a part of the card, as the painter's images do."""
    return ((card - shade).abs().amax(-1) < 0.012).sum().item() > 5000


def test_one_critique_is_a_card_and_several_are_a_sheet(core):
    one, many = (drawn(core, core.run(judged(count))) for count in (1, 5))
    assert holds(one, 0.5) and one.shape != many.shape


def test_the_dark_theme_is_dark(core):
    light, dark = (drawn(core, core.run(judged(1, theme=theme)))[:20] for theme in ("light", "dark"))
    assert light.min() > 0.9 and dark.max() < 0.2, "the margin"


def test_the_language_of_the_labels_may_be_chosen(core):
    cards = [
        drawn(core, core.run(judged(1, **options)))
        for options in ({}, {"language": "auto"}, {"language": "English"}, {"language": "中文"})
    ]
    assert all(cards[0].equal(card) for card in cards[1:3]), "the request is English"
    assert not cards[0].equal(cards[3])


def test_a_loop_tells_its_story_with_its_own_small_images(core):
    card = drawn(core, core.run({**loop(), "card": scorecard(judged=["end", HISTORY])}))
    assert all(holds(card, shade) for shade in (0.25, 0.5, 0.75))


def test_a_comparison_of_the_built_in_critic(core):
    request = "a large red circle on the left"
    prompt = {
        "critic": node("RationalRewardsLoadCritic", model="Shapes critic (built in, demo)", **LOADING),
        "a": node("RationalRewardsShapesGenerator", prompt=request, seed=1, size=128, batch_size=1),
        "b": node("RationalRewardsShapesGenerator", prompt=request, seed=2, size=160, batch_size=1),
        "pair": node(
            "RationalRewardsCompare",
            **{"critic": ["critic", 0], "image_a": ["a", 0], "image_b": ["b", 0], "request": request}
            | ASKING,
        ),
        "card": scorecard(judged=["pair", VERDICT]),
    }
    drawn(core, core.run(prompt))


LOADING = {"precision": "auto", "device": "auto", "max_pixels": 802816}
ASKING = {"comparison": "auto", "tie_margin": 0.0, "temperature": 0.0, "seed": 0, "max_new_tokens": 2048}


def test_what_was_not_judged_cannot_be_drawn(core):
    prompt = judged(1)
    prompt["pack"] = node("RationalRewardsPackImages", image=["paint", 0])
    prompt["card"] = scorecard(judged=["pack", 0])
    run = core.run(prompt)
    assert not run.success and "these images have not been judged" in run.complaint


def test_the_rounds_of_a_loop_made_by_hand_can_be_drawn(core):
    step = node("RationalRewardsRefineStep", loop=["start", 0], image=["judge", 0])
    graph = {name: one for name, one in loop().items() if name != "end"}
    card = drawn(core, core.run({**graph, "step": step, "card": scorecard(judged=["step", 0])}))
    assert holds(card, 0.25)
