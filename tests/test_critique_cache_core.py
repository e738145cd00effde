"""Cached critiques in the real core: an unchanged graph costs no inference, and one can do without."""

from __future__ import annotations

import pytest


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="module")
def core(core, tiny_model):
    """With a tiny model in its folders."""
    return core


def judged(**inputs) -> dict:
    return {
        "critic": node(
            "RationalRewardsLoadCritic", model="tiny", precision="auto", device="auto", max_pixels=65536
        ),
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=2, fail_on=""),
        "judge": node(
            "RationalRewardsCritique",
            **{"critic": ["critic", 0], "image": ["paint", 0], "request": "a cat", "task": "auto"}
            | {"temperature": 0.0, "seed": 0, "max_new_tokens": 300}
            | inputs,
        ),
        "show": node("PreviewAny", source=["judge", 3]),
    }


def ran(core, prompt: dict, keep_cache: bool = True) -> tuple[list, int, str]:
    """The critiques, how many steps of the node's progress bar there were, and the report."""
    steps = []
    run = core.run(
        prompt,
        on_event=lambda name, data: (
            steps.append(data) if name == "progress" and data["node"] == "judge" else None
        ),
        keep_cache=keep_cache,
    )
    assert run.success, run.complaint
    return run.critiques("judge"), len(steps), run.value("judge", 3)


def test_an_unchanged_graph_costs_no_inference_even_in_a_new_process(core):
    first, steps, report = ran(core, judged(), keep_cache=False)
    assert steps and "from the cache" not in report
    # each run has an executor of its own: nothing is left of core's own cache
    again, steps, report = ran(core, judged())
    assert steps == 0 and "2 of 2 critique(s) from the cache" in report
    assert [one.text for one in again] == [one.text for one in first]
    assert all(one.source["from_cache"] for one in again)
    assert list((core.base / "user" / "__rational_rewards" / "critiques").glob("??/*.json"))


def test_a_critic_with_cached_critiques_is_not_even_loaded(core):
    import comfy.model_management as management

    ran(core, judged(), keep_cache=False)
    management.unload_all_models()
    ran(core, judged())
    assert not management.current_loaded_models


def test_only_what_is_new_is_judged(core):
    ran(core, judged(), keep_cache=False)
    prompt = judged()
    prompt["paint"]["inputs"]["batch_size"] = 3
    found, steps, report = ran(core, prompt)
    assert steps and "2 of 3 critique(s) from the cache" in report and len(found) == 3


def test_it_can_be_switched_off(core, monkeypatch):
    ran(core, judged(use_cache=False), keep_cache=False)
    assert not (core.base / "user" / "__rational_rewards").exists()
    ran(core, judged())
    _, steps, report = ran(core, judged(use_cache=False))
    assert steps and "from the cache" not in report
    # who keeps prompts out of files does not want them here either
    from comfy.cli_args import args

    monkeypatch.setattr(args, "disable_metadata", True)
    _, steps, _ = ran(core, judged(), keep_cache=False)
    assert steps and not (core.base / "user" / "__rational_rewards").exists()
