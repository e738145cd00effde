"""ComfyUI's real frontend on the real core: the shipped workflows open in both renderings, Run runs them, and
what we bring to the screen is there. Screenshots are left in .cache/browser.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dev_browser import LITEGRAPH, RENDERINGS, VUE, Frontend
from dev_comfyui import PACK_FOLDER

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / ".cache" / "browser"
NAMES = sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))
DEMO = "refine_shapes_demo"
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
TESTONLY = {"rr-nodes-testonly": ROOT / "tests" / "nodes_testonly"}


def load(name: str, folder: str = "") -> dict:
    return json.loads((ROOT / "workflows" / folder / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def server(core_folder, serve):
    return serve(core_folder, TESTONLY)


@pytest.fixture(scope="module")
def frontend(running_browser, server):
    frontend = Frontend(running_browser, server.url)
    yield frontend
    frontend.close()


@pytest.fixture(autouse=True)
def no_complaints(frontend):
    yield
    complaints, frontend.complaints = frontend.complaints, []
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_opens_whole(frontend, name, rendering):
    frontend.open(load(name), rendering)
    frontend.screenshot(SCREENSHOTS / f"{name}_{rendering}.png")
    assert not frontend.unknown()
    assert frontend.ask("app.graph.links.size") == len(load(name)["links"])
    assert frontend.prompt() == load(name, "api")
    boxes = frontend.boxes(rendering)
    assert len(boxes) == len(load(name)["nodes"])
    for index, (title, x, y, width, height) in enumerate(boxes):
        for other, left, top, wide, high in boxes[index + 1 :]:
            apart = x + width <= left or left + wide <= x or y + height <= top or top + high <= y
            assert apart, f"{title} lies on {other}"


def faces(frontend, kind: str) -> str:
    """What the node of this class shows on its face, as text; "" where it is not drawn."""
    find = "kind => app.graph.nodes.find(n => n.type === kind).rationalRewardsFace.element"
    return frontend.ask(
        f"kind => {{ const e = ({find})(kind); return e.isConnected ? e.innerText : '' }}", kind
    )


def saved_widgets(workflow: dict) -> dict[int, list]:
    return {node["id"]: node.get("widgets_values", []) for node in workflow["nodes"]}


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_run_runs_the_demo_and_the_nodes_show_their_scores(frontend, rendering):
    workflow = load(DEMO)
    frontend.open(workflow, rendering)
    frontend.ask("window.rrLive = []")
    frontend.ask("comfyAPI.api.api.addEventListener('rational_rewards.live', got => rrLive.push(got.detail))")
    before = faces(frontend, "RationalRewardsRefineEnd")
    assert frontend.press_run() == "execution_success"
    shown = frontend.wait("() => app.graph.nodes.find(n => n.type === 'PreviewAny').widgets[0].value")
    assert re.search(r"Round 2 .*overall 4\.00", shown) and "Round 2 reaches the thresholds" in shown
    frontend.screenshot(SCREENSHOTS / f"run_{rendering}.png")
    assert "after a run" in before
    end = faces(frontend, "RationalRewardsRefineEnd")
    assert re.search(r"Round 1\s+2\.20\s+Round 2 · best\s+4\.00", end)
    assert "Round 2 reaches the thresholds" in end
    assert re.search(r"Overall\s+\d\.\d\d / 4", end)
    assert saved_widgets(frontend.ask("app.graph.serialize()")) == saved_widgets(workflow)
    if rendering == RENDERINGS[0]:  # the second run comes from the cache
        live = frontend.ask("rrLive")
        assert any(said["per_second"] for said in live) and any(said["scores"] for said in live)


def test_faces_come_back_from_the_cache_and_from_the_history(running_browser, server):
    """In a new window, as after a reload: what ran before is shown without running again."""
    frontend = Frontend(running_browser, server.url, "zh")
    try:
        frontend.open(load(DEMO), VUE)
        assert "评分" in faces(frontend, "RationalRewardsRefineEnd")
        assert frontend.press_run() == "execution_success"
        frontend.screenshot(SCREENSHOTS / "cached_zh.png")
        assert "文本忠实度" in faces(frontend, "RationalRewardsRefineEnd")
        frontend.open(load(DEMO), LITEGRAPH)
        assert "评分" in faces(frontend, "RationalRewardsRefineEnd")
        latest = "fetch('api/history?max_items=1').then(got => got.json()).then(all => Object.values(all)[0])"
        frontend.ask(f"{latest}.then(run => {{ app.nodeOutputs = run.outputs }})")
        assert "最佳" in faces(frontend, "RationalRewardsRefineEnd")
        assert not frontend.complaints
    finally:
        frontend.close()


def test_a_chinese_stop_reason_names_the_aspects_in_chinese(running_browser, server):
    frontend = Frontend(running_browser, server.url, "zh")
    stop = {
        "code": "thresholds_reached",
        "parameters": {"round": 2, "thresholds": "3, text_faithfulness=2.5, mood=3.5, overall=3.2"},
    }
    loop = {"kind": "loop", "rounds": [], "target": 1, "scale": [1, 4], "stop": {**stop, "details": ""}}
    show = """loop => {
        const found = app.graph.nodes.find(n => n.type === "RationalRewardsRefineEnd").rationalRewardsFace;
        found.show({ rational_rewards: [loop] });
        return found.element.innerText;
    }"""
    try:
        frontend.open(load(DEMO))
        shown = frontend.ask(show, loop)
        assert "第 2 轮达到门槛：3, 文本忠实度=2.5, mood=3.5, 总分=3.2。" in shown
        assert not frontend.complaints
    finally:
        frontend.close()


def test_words_of_a_model_are_never_markup(frontend):
    frontend.open(load(DEMO))
    evil = "<img src=x onerror='window.rrEvil = 1'><b>bold</b>"
    aspect = {"key": evil, "name": evil, "status": "scored", "score": 2.0, "text": evil}
    face = {
        **{"kind": "critique", "image": "", "overall": 2.0, "status": "complete", "scale": [1, 4]},
        **{"aspects": [aspect], "summary": evil, "refined": evil, "notes": [evil]},
    }
    past = {"number": 1, "seed": evil, "overall": 2.0, "status": "complete", "candidates": 1, "prompt": evil}
    loop = {
        **{"kind": "loop", "rounds": [past], "best": 1, "accepted": 0, "target": 1, "limit": 4},
        **{"stop": {"code": evil, "parameters": {}, "details": evil, "text": evil}},
        **{"scale": [1, 4], "critique": face},
    }
    show = """faces => {
        const found = app.graph.nodes.find(n => n.type === "RationalRewardsRefineEnd").rationalRewardsFace;
        found.show({ rational_rewards: [faces] });
        return [found.element.querySelectorAll("img, b").length, found.element.innerText, window.rrEvil ?? 0];
    }"""
    elements, text, ran = frontend.ask(show, [face, loop])
    assert not elements and not ran and evil in text


def test_the_template_browser_shows_ours(frontend):
    page = frontend.page
    frontend.ask("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_text("ComfyUI-RationalRewards").first.click()
    for name in NAMES:
        page.get_by_test_id(f"template-workflow-{name}").wait_for()
    frontend.screenshot(SCREENSHOTS / "templates.png")
    page.get_by_test_id(f"template-workflow-{DEMO}").click()
    frontend.wait("count => app.graph.nodes.length === count", len(load(DEMO)["nodes"]))
    assert not frontend.unknown()


def test_the_help_panel_shows_ours(frontend):
    frontend.open(load(DEMO))
    frontend.ask("app.canvas.selectNode(app.graph.nodes.find(n => n.type === 'RationalRewardsRefineEnd'))")
    frontend.page.get_by_test_id("info-button").click()
    page = frontend.page.locator(".node-help-content .markdown-content")
    page.wait_for()
    assert page.locator("h1").inner_text() == "Refine End"
    frontend.wait("() => document.querySelector('.node-help-content img')?.naturalWidth > 100")
    frontend.screenshot(SCREENSHOTS / "help.png")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_where_nothing_passes_the_node_says_so_and_no_earlier_image_stays(frontend, rendering):
    frontend.open(load("gate_shapes_demo"), rendering)
    set_threshold = """value => {
        const gate = app.graph.nodes.find(node => node.type === "RationalRewardsGate");
        gate.widgets.find(widget => widget.name === "threshold").value = value;
    }"""
    shown = """() => {
        const gate = app.graph.nodes.find(node => node.type === "RationalRewardsGate");
        const preview = gate.getOutputNodes(0)[0];
        return (app.nodeOutputs[preview.id]?.images ?? []).length;
    }"""
    frontend.ask(set_threshold, 1.0)
    assert frontend.press_run() == "execution_success"
    assert "6 of 6 pass" in faces(frontend, "RationalRewardsGate") and frontend.ask(shown) == 6
    frontend.ask(set_threshold, 4.0)
    frontend.ask(
        "app.graph.nodes.find(n => n.type === 'RationalRewardsGate')"
        ".widgets.find(w => w.name === 'aspect_thresholds').value = 'text_faithfulness=4.0'"
    )
    frontend.ask(
        "app.graph.nodes.find(n => n.type === 'RationalRewardsGate')"
        ".widgets.find(w => w.name === 'batch_mode').value = 'all must pass'"
    )
    assert frontend.press_run() == "execution_success"
    frontend.screenshot(SCREENSHOTS / f"nothing_passes_{rendering}.png")
    assert "0 of 6 pass" in faces(frontend, "RationalRewardsGate")
    assert frontend.ask(shown) == 0


def test_core_offers_the_blueprints(server):
    offered = server.get("/global_subgraphs").values()
    ours = [one["name"] for one in offered if one["info"]["node_pack"] == f"custom_nodes.{PACK_FOLDER}"]
    assert sorted(ours) == [file.stem for file in BLUEPRINTS] == ["Best of N", "Refine until good"]


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("file", BLUEPRINTS, ids=[file.stem for file in BLUEPRINTS])
def test_a_blueprint_opens_whole(frontend, file, rendering):
    blueprint = json.loads(file.read_text("utf-8"))
    frontend.open(blueprint, rendering)
    inside = blueprint["definitions"]["subgraphs"][0]["nodes"]
    kinds = frontend.ask("Object.keys(LiteGraph.registered_node_types)")
    assert {node["type"] for node in inside} <= set(kinds)
    assert {node["properties"]["cnr_id"] for node in inside} == {"rational-rewards", "comfy-core"}
    assert sorted(node["class_type"] for node in frontend.prompt().values()) == sorted(
        node["type"] for node in inside
    )
    frontend.screenshot(SCREENSHOTS / f"{file.stem}_{rendering}.png")


@pytest.mark.parametrize("file", BLUEPRINTS, ids=[file.stem for file in BLUEPRINTS])
def test_a_blueprint_runs(frontend, server, file):
    """As the frontend hands it over, with a tiny random model connected to its inputs."""
    frontend.open(json.loads(file.read_text("utf-8")))
    prompt = frontend.prompt()
    outside = {
        "model": ["tiny", 0],
        "clip": ["tiny", 1],
        "vae": ["tiny", 2],
        "negative": ["negative", 0],
        "latent_image": ["latent", 0],
        "critic": ["critic", 0],
    }
    for name, node in prompt.items():
        known = server.get(f"/object_info/{node['class_type']}")[node["class_type"]]["input"]
        names = {*known["required"], *known.get("optional", {})} & set(outside)
        node["inputs"] |= {key: outside[key] for key in names if key not in node["inputs"]}
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = 2
        if node["class_type"] == "RationalRewardsRefineStart":
            node["inputs"] |= {"request": "a large red circle on the left", "rounds": 2}
        if node["class_type"] == "RationalRewardsPickBest":
            last = name
        for key in ("text", "request"):
            if node["inputs"].get(key) == "":
                node["inputs"][key] = "a large red circle on the left"
    prompt |= {
        "tiny": {"class_type": "RRTestTinyModel", "inputs": {"weights_seed": 0}},
        "negative": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["tiny", 1], "text": "blurry"}},
        "latent": {
            "class_type": "EmptySD3LatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 2},
        },
        "critic": {
            "class_type": "RationalRewardsLoadCritic",
            "inputs": {
                **{"model": "Shapes critic (built in, demo)", "precision": "auto", "device": "auto"},
                "max_pixels": 802816,
            },
        },
    }
    if file.stem == "Best of N":
        prompt["show"] = {"class_type": "PreviewImage", "inputs": {"images": [last, 0]}}
    entry = server.run(prompt, timeout=180)
    assert entry["status"]["completed"], entry["status"]
    shown = json.dumps(entry["outputs"])
    assert ('"images": [{' if file.stem == "Best of N" else "Best: round") in shown
