"""The shipped workflows: they fit the nodes as they are, the two forms say the same, and the demo runs and
improves.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from rr_tests.loops import HISTORY

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))
FILES_WITH_NODES = sorted([*(ROOT / "workflows").glob("*.json"), *(ROOT / "subgraphs").glob("*.json")])
CHOICE = "COMFY_DYNAMICCOMBO_V3"
"""A choice that reveals more inputs, which follow it as `choice.input`."""
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", CHOICE}


def load(name: str, folder: str = "") -> dict:
    return json.loads((ROOT / "workflows" / folder / f"{name}.json").read_text("utf-8"))


def declared(core, class_type: str) -> dict[str, tuple[str, dict]]:
    """input name -> (type, options), required ones first, as the frontend reads them."""
    found = {}
    inputs = core.nodes.NODE_CLASS_MAPPINGS[class_type].INPUT_TYPES()
    for kind in ("required", "optional"):
        for name, (io_type, *options) in inputs.get(kind, {}).items():
            found[name] = (
                "COMBO" if isinstance(io_type, list | tuple) else io_type,
                options[0] if options else {},
            )
    return found


def revealed(options: dict, choice: str) -> list[str]:
    (inputs,) = (option["inputs"] for option in options["options"] if option["key"] == choice)
    return [name for kind in ("required", "optional") for name in inputs.get(kind, {})]


def widgets(core, class_type: str, values: list) -> list[str]:
    """Names of a node's widgets in the order of widgets_values; a seed brings its control along."""
    names = []
    for name, (io_type, options) in declared(core, class_type).items():
        if io_type == CHOICE:
            names.append(name)
            names += [f"{name}.{inner}" for inner in revealed(options, values[len(names) - 1])]
        elif io_type in WIDGETS and not options.get("forceInput"):
            names.append(name)
            if options.get("control_after_generate") or name in ("seed", "noise_seed"):
                names.append(f"{name} control")
    return names


def to_api(core, workflow: dict) -> dict:
    """The API form of a workflow of plain nodes, as the frontend would make it."""
    sources = {link: [str(node), slot] for link, node, slot, *_ in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        names = widgets(core, node["type"], node["widgets_values"])
        inputs = dict(zip(names, node["widgets_values"], strict=True))
        inputs = {name: value for name, value in inputs.items() if not name.endswith(" control")}
        for slot in node["inputs"]:
            if slot["link"] is not None:
                inputs[slot["name"]] = sources[slot["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def test_every_workflow_has_an_api_twin():
    assert NAMES == sorted(file.stem for file in (ROOT / "workflows" / "api").glob("*.json"))
    assert {"refine_shapes_demo", "refine_text_to_image"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_say_the_same(comfy_core, name):
    assert to_api(comfy_core, load(name)) == load(name, "api")


@pytest.mark.parametrize("name", NAMES)
def test_links_are_sound(comfy_core, name):
    workflow = load(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"]) and workflow["last_node_id"] == max(nodes)
    assert workflow["last_link_id"] == max(link[0] for link in workflow["links"])
    for number, source, output, target, place, io_type in workflow["links"]:
        end = nodes[target]["inputs"][place]
        assert end["link"] == number
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == io_type
        assert io_type in end["type"].split(",") or "*" in (io_type, end["type"])


@pytest.mark.parametrize("name", NAMES)
def test_sockets_are_those_the_nodes_have(comfy_core, name):
    for node in load(name)["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        types = comfy_core.nodes.NODE_CLASS_MAPPINGS[node["type"]].RETURN_TYPES
        names = {slot["name"] for slot in node["inputs"] if "." not in slot["name"]}
        assert names == set(declared(comfy_core, node["type"]))
        if node["type"].startswith("RationalRewards"):
            assert len(node["outputs"]) == len(types)
        # Newer cores give some of their nodes more outputs; those in use must be there in all.
        assert all(place < len(types) for place, slot in enumerate(node["outputs"]) if slot["links"])


@pytest.mark.parametrize("name", NAMES)
def test_nodes_say_which_pack_they_come_from(name):
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    for node in load(name)["nodes"]:
        if node["type"].startswith("RationalRewards"):
            assert node["properties"]["cnr_id"] == "rational-rewards"
            assert node["properties"]["ver"] == version
        elif node["type"] != "MarkdownNote":
            assert node["properties"]["cnr_id"] == "comfy-core"


@pytest.mark.parametrize("name", NAMES)
def test_nodes_do_not_lie_on_each_other(name):
    boxes = [(*node["pos"], *node["size"]) for node in load(name)["nodes"]]
    for index, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[index + 1 :]:
            apart = x + width <= left or left + wide <= x or y + height <= top or top + high <= y
            assert apart, f"{x}, {y} and {left}, {top}"


@pytest.mark.parametrize("name", NAMES)
def test_an_image_and_a_note_go_with_it(name):
    with Image.open(ROOT / "workflows" / f"{name}.jpg") as image:
        assert image.format == "JPEG" and image.width >= 800
    assert (ROOT / "workflows" / f"{name}.jpg").stat().st_size < 200_000
    notes = [node["widgets_values"][0] for node in load(name)["nodes"] if node["type"] == "MarkdownNote"]
    assert notes and all(note.startswith("## ") and "**" in note for note in notes)


@pytest.mark.parametrize("file", FILES_WITH_NODES, ids=[file.stem for file in FILES_WITH_NODES])
def test_a_connected_text_holds_no_text_of_its_own(comfy_core, file):
    """It would be shown in grey, and look as if it were used."""
    data = json.loads(file.read_text("utf-8"))
    subgraphs = (data.get("definitions") or {}).get("subgraphs", [])
    for node in [*data["nodes"], *(node for subgraph in subgraphs for node in subgraph["nodes"])]:
        if node["type"] not in comfy_core.nodes.NODE_CLASS_MAPPINGS:
            continue
        names = widgets(comfy_core, node["type"], node["widgets_values"])
        values = dict(zip(names, node["widgets_values"], strict=False))
        for slot in node["inputs"]:
            if slot["link"] is not None and slot["type"] == "STRING" and "widget" in slot:
                assert values[slot["name"]] == "", f"{node['type']}: {values[slot['name']]}"


FILES = {"ckpt_name", "unet_name", "clip_name", "vae_name", "image", "model"}


@pytest.mark.parametrize("name", NAMES)
def test_core_takes_all_values(comfy_core, name):
    """What validation asks for, but for files that a user must have."""
    for node in load(name, "api").values():
        inputs = comfy_core.nodes.NODE_CLASS_MAPPINGS[node["class_type"]].INPUT_TYPES()
        assert set(inputs["required"]) <= set(node["inputs"])
        types = declared(comfy_core, node["class_type"])
        for key, value in node["inputs"].items():
            if "." in key:
                choice, inner = key.split(".")
                assert inner in revealed(types[choice][1], node["inputs"][choice])
                continue
            io_type, options = types[key]
            if isinstance(value, list) or key in FILES:
                continue
            if io_type == CHOICE:
                assert value in [option["key"] for option in options["options"]]
            elif io_type == "COMBO":
                listed = inputs["required"].get(key) or inputs["optional"][key]
                choices = listed[0] if isinstance(listed[0], list | tuple) else options["options"]
                assert value in choices, f"{key}: {value}"
            elif io_type in ("INT", "FLOAT"):
                assert options.get("min", value) <= value <= options.get("max", value), f"{key}: {value}"
            else:
                assert isinstance(value, {"STRING": str, "BOOLEAN": bool}[io_type]), f"{key}: {value}"


def test_text_to_image_runs_with_any_checkpoint_and_critic(core, tiny_model):
    """Core's own sampling and a real critic, both tiny: the first image comes out with its
    critique.
    """
    prompt = load("refine_text_to_image", "api")
    kinds = {node["class_type"]: name for name, node in prompt.items()}
    prompt[kinds["CheckpointLoaderSimple"]] = {"class_type": "RRTestTinyModel", "inputs": {"weights_seed": 0}}
    for kind, inputs in {
        "RationalRewardsLoadCritic": {"model": "tiny"},
        "EmptyLatentImage": {"width": 64, "height": 64},
        "KSampler": {"steps": 2},
    }.items():
        prompt[kinds[kind]]["inputs"].update(inputs)
    run = core.run(prompt)
    assert run.success, run.complaint
    end = kinds["RationalRewardsRefineEnd"]
    assert run.value(end, 0).shape == (1, 64, 64, 3)
    assert run.value(end, HISTORY).history[0].critique.text


def test_the_demo_runs_and_the_critic_makes_the_image_better(comfy_core):
    prompt = copy.deepcopy(load("refine_shapes_demo", "api"))
    end = next(name for name, node in prompt.items() if node["class_type"] == "RationalRewardsRefineEnd")
    output = comfy_core.base / "output" / "RationalRewards"
    before = set(output.glob("refine_shapes_*"))  # other tests run the demo too
    run = comfy_core.run(prompt)
    assert run.success, run.complaint
    history = run.value(end, HISTORY)
    first, best = history.history[0].critique, history.best.critique
    assert len(history.history) > 1 and not first.reaches(3.0)
    assert best.reaches(3.0) and best.overall > first.overall
    (folder,) = set(output.glob("refine_shapes_*")) - before
    assert {"round_01.png", "best.png", "history.json"} <= {file.name for file in folder.iterdir()}
