"""Long and large loops in the real executor: host memory, candidates, loops in loops, Stop, every cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from rr_tests.loops import loop

TESTONLY = Path(__file__).parent / "nodes_testonly"


@pytest.fixture(scope="module")
def core(comfy_core):
    if "RRTestPaint" not in comfy_core.nodes.NODE_CLASS_MAPPINGS:
        comfy_core.load_pack(TESTONLY, "rr-nodes-testonly")
    return comfy_core


def resident() -> float:
    """This process's memory, in MB."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_a_hundred_rounds_take_no_more_memory_than_five(core, cache):
    """Every picture, 512 x 512 (3.1 MB), is better than all before. Core's cache lets go of what rounds made:
    at once where there is none, and by default where memory is short, which is made so here."""
    executor = core.executor(cache)
    if cache == "ram":
        executor.cache_args = executor.cache_args | {"ram": 1e6, "ram_inactive": 1e6}
    prompt = loop(rounds=100, bar=4.0, patience=0, min_gain=0.0)
    prompt["paint"]["inputs"] |= {"size": 512, "step": 0.009}
    prompt["end"]["inputs"] |= {"latent": ["paint", 1], "mask": ["paint", 2]}
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
