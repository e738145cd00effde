"""The shipped workflows that need no weights run to their end in the real core; with a tiny model in the
place of the checkpoint others do too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rr_tests.loops import ACCEPTED, ACCEPTED_CANDIDATES, REPORT

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "workflows" / "api"
SHAPES = sorted(file.stem for file in API.glob("*.json") if "Shapes critic" in file.read_text("utf-8"))


def load(name: str) -> dict:
    return json.loads((API / f"{name}.json").read_text("utf-8"))


def of_kind(prompt: dict, kind: str) -> str:
    (name,) = (name for name, node in prompt.items() if node["class_type"] == f"RationalRewards{kind}")
    return name


@pytest.fixture(scope="module")
def ran(comfy_core):
    """ran(name) -> its prompt and what became of it; each is run once."""
    runs = {}

    def run(name: str):
        if name not in runs:
            prompt = load(name)
            runs[name] = (prompt, comfy_core.run(prompt))
        return runs[name]

    return run


@pytest.mark.parametrize("name", SHAPES)
def test_the_demos_run(ran, name):
    _, run = ran(name)
    assert run.success and run.outputs, run.complaint


def test_collecting_stops_with_the_fourth(ran):
    prompt, run = ran("collect_four_shapes_demo")
    end = of_kind(prompt, "RefineEnd")
    assert run.value(end, ACCEPTED).shape[0] == len(run.value(end, ACCEPTED_CANDIDATES)) == 4
    assert "All 4 wanted images are accepted." in run.value(end, REPORT)


def test_the_gate_lets_some_pass_and_some_not(ran):
    prompt, run = ran("gate_shapes_demo")
    assert 0 < run.value(of_kind(prompt, "Gate"), 4) < 6


def test_the_comparison_finds_the_better_one(ran):
    prompt, run = ran("compare_shapes_demo")
    assert run.value(of_kind(prompt, "Compare"), 1) == "B"


def test_rounds_by_hand_end_with_the_first_good_image(ran):
    prompt, run = ran("loop_recipe_shapes_demo")
    steps = [name for name, node in prompt.items() if node["class_type"] == "RationalRewardsRefineStep"]
    drawn = [prompt[name]["inputs"]["image"][0] for name in steps]
    assert [run.value(name, 3) for name in steps] == [True, False, False], "go_on"
    assert [name in run.executed for name in drawn] == [True, True, False], "the third is not even drawn"
    assert run.value(steps[-1], 5)[0].critique.overall >= 3


def test_a_folder_is_ranked_by_what_its_images_were_asked_for(ran):
    prompt, run = ran("rank_folder_shapes_demo")
    scores = run.slot(of_kind(prompt, "RankFolder"), 2)
    assert len(scores) == 4 and scores == sorted(scores, reverse=True)
    assert "0 skipped" in run.value(of_kind(prompt, "RankFolder"), 4)


@pytest.mark.parametrize("name", ["best_of_8", "refine_z_image"])
def test_sampling_workflows_run_with_any_model_and_critic(core, tiny_model, name):
    """Core's own sampling and a real critic, both tiny."""
    prompt, loaders = load(name), {}
    outputs = {"UNETLoader": 0, "CLIPLoader": 1, "VAELoader": 2}
    for key, node in prompt.items():
        kind = node["class_type"]
        if kind == "CheckpointLoaderSimple" or kind in outputs:
            loaders[key] = outputs.get(kind)
        elif kind.startswith("Empty"):
            node["inputs"] |= {"width": 64, "height": 64, "batch_size": min(2, node["inputs"]["batch_size"])}
        elif kind == "KSampler":
            node["inputs"]["steps"] = 2
        elif kind == "RationalRewardsLoadCritic":
            node["inputs"]["model"] = "tiny"
        elif kind == "RationalRewardsCritique":
            node["inputs"]["max_new_tokens"] = 512
    prompt["tiny"] = {"class_type": "RRTestTinyModel", "inputs": {"weights_seed": 0}}
    for node in prompt.values():
        for key, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in loaders:
                place = loaders[value[0]]
                node["inputs"][key] = ["tiny", value[1] if place is None else place]
    for key in loaders:
        del prompt[key]
    run = core.run(prompt)
    assert run.success, run.complaint
