"""Long and large loops in the real executor: host memory, candidates, loops in loops, Stop, every cache."""

from __future__ import annotations

import pytest
import torch
from rr_tests.loops import CANDIDATES, HISTORY, IMAGE, loop, node


def resident() -> float:
    """This process's memory, in MB."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_a_hundred_rounds_take_no_more_memory_than_five(core, cache):
    """Every image, 512 x 512 (3.1 MB), is better than all before. Core's cache lets go of what rounds made:
    at once where there is none, and by default where memory is short, which is made so here."""
    executor = core.executor(cache)
    if cache == "ram":
        executor.cache_args = executor.cache_args | {"ram": 1e6, "ram_inactive": 1e6}
    prompt = loop(rounds=100, threshold=4.0, patience=0, min_gain=0.0, packed=True)
    prompt["paint"]["inputs"] |= {"size": 512, "step": 0.009}
    used = []

    def sample(name, data):
        if name == "executing" and data.get("display_node") == "paint":
            used.append(resident())
            # core tells of all nodes whenever one moves, and the recorder would keep it all
            core.server.events.clear()

    run = core.run(prompt, executor, on_event=sample)
    assert run.success, run.complaint
    assert len(used) == 100
    assert max(used[5:]) - max(used[:5]) < 60, used


@pytest.mark.parametrize("cache", ["classic", "none"])
def test_three_candidates_in_four_rounds_around_a_loop(core, cache):
    """The outer loop's generator is itself a loop; its candidates are a batch of three of what came out."""
    inner = loop("in.", rounds=2, threshold=4.0, packed=True)
    inner["in.start"]["inputs"]["request"] = ["start", 1]
    outer = loop(rounds=4, threshold=4.0, patience=0)
    outer["three"] = node("RepeatImageBatch", image=["in.end", IMAGE], amount=3)
    outer["latents"] = node("RepeatLatentBatch", samples=["unpack", 1], amount=3)
    outer["unpack"] = node("RationalRewardsUnpackImages", candidates=["in.end", CANDIDATES])
    outer["pack"] = node("RationalRewardsPackImages", image=["three", 0], latent=["latents", 0])
    outer["judge"]["inputs"]["image"] = ["pack", 0]
    del outer["paint"]
    outer["start"]["inputs"]["request"] = "grey"
    inner["in.paint"]["inputs"]["step"] = 0.1
    run = core.run({**outer, **inner}, core.executor(cache))
    assert run.success, run.complaint
    # by value: without a cache, nothing is left to look at but the last outputs
    told = [data for name, data in run.events if name == "executing" and data.get("display_node") == "judge"]
    assert len(told) == 4
    if cache == "classic":
        history = run.value("end", HISTORY)
        assert [len(past.critiques) for past in history.history] == [3] * 4
        shades = [past.critique.overall for past in history.history]
        assert shades == pytest.approx([1 + 3 * 0.1 * (2 + i) for i in range(4)], abs=1e-4)
        assert torch.allclose(
            run.value("end", CANDIDATES)[0].latent["samples"].mean(),
            run.value("end", IMAGE).mean(),
            atol=1e-5,
        )


def test_an_error_of_a_later_round_names_the_node_and_the_round(core):
    prompt = loop(end={"image": ["two", 0]})
    prompt["two"] = node("RRTestForget", candidates=["judge", 0], round=["start", 3])
    prompt["end"]["_meta"] = {"title": "My loop"}
    run = core.run(prompt)
    assert not run.success
    assert "My loop, round 2: the images are not judged" in run.complaint
