"""Errors that arise in a round say in which, and on which node; those elsewhere are as they were."""

from __future__ import annotations

from rr_tests.loops import loop, node

CIRCLE = "a large red circle on the left"
SHAPES = "Shapes critic (built in, demo)"


def shapes(end: dict | None = None, prefix: str = "") -> dict:
    """A loop around the Shapes Generator."""
    prompt = loop(prefix, request=CIRCLE, threshold=4.0, end=end)
    start, paint = f"{prefix}start", f"{prefix}paint"
    prompt[paint] = node(
        "RationalRewardsShapesGenerator", prompt=[start, 1], seed=[start, 2], size=64, batch_size=1
    )
    return prompt


def said(run) -> str:
    assert not run.success
    (error,) = run.errors
    return error["exception_message"]


def test_a_generator_of_ours_names_node_and_round(core):
    prompt = shapes(end={"next_prompt": "nothing that can be drawn"})
    prompt["paint"]["_meta"] = {"title": "My shapes"}
    run = core.run(prompt)
    assert said(run).startswith("My shapes, round 2: The request 'nothing that can be drawn' names no shape")
    assert run.errors[0]["exception_type"].endswith("UnreadableRequest")
    assert run.errors[0]["node_id"] == "end"  # so core says; it is why the message has to tell


def test_in_the_first_round_too(core):
    prompt = shapes()
    prompt["start"]["inputs"]["request"] = "nothing"
    assert said(core.run(prompt)).startswith("Shapes Generator (demo), round 1: The request 'nothing'")


def test_critique_image_names_itself_and_the_round(core):
    weights = "text_faithfulness=2"
    prompt = loop(request=weights, threshold=4.0, end={"next_prompt": "mood=1"})
    prompt["critic"] = node(
        "RationalRewardsLoadCritic", model=SHAPES, precision="auto", device="auto", max_pixels=65536
    )
    prompt["judge"] = node(
        "RationalRewardsCritique",
        critic=["critic", 0],
        image=["paint", 0],
        request=["start", 4],
        weights=["start", 1],
        task="auto",
        temperature=0.0,
        seed=0,
        max_new_tokens=500,
        detail="scores",
    )
    assert said(core.run(prompt)).startswith("Critique Image, round 2: weights: 'mood' is not judged here")


def test_behind_a_loop_there_is_no_round(core):
    prompt = shapes()
    prompt["late"] = node(
        "RationalRewardsShapesGenerator", prompt=["words", 0], seed=["unpack", 4], size=64, batch_size=1
    )
    prompt["unpack"] = node("RationalRewardsUnpackImages", candidates=["end", 1])
    prompt["words"] = node("PrimitiveString", value="nothing")
    prompt["shown"] = node("PreviewImage", images=["late", 0])
    assert said(core.run(prompt)).startswith("The request 'nothing' names no shape")


def test_in_a_loop_in_a_loop_it_is_the_round_of_the_inner_one(core):
    inner = shapes(end={"next_prompt": "nothing"}, prefix="in.")
    inner["in.start"]["inputs"]["request"] = ["start", 1]
    outer = loop(request=CIRCLE, rounds=2, threshold=4.0)
    outer["judge"]["inputs"]["image"] = ["in.end", 0]
    del outer["paint"]
    assert ", round 2: The request 'nothing'" in said(core.run({**inner, **outer}))
