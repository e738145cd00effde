"""In ComfyUI's real frontend: a saved image opens its workflow, its critique is loaded again, and the
scorecard is seen on its node. Screenshots are left in .cache/browser.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dev_browser import RENDERINGS, Frontend

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / ".cache" / "browser"
NAME = "save_with_critique"

OPEN = """async ([place, type]) => {
    const data = await fetch('api/view?' + new URLSearchParams(place)).then(got => got.blob());
    await app.handleFile(new File([data], place.filename, {type}));
}"""
DROP = """async ([place, type]) => {
    const data = await fetch('api/view?' + new URLSearchParams(place)).then(got => got.blob());
    const node = app.graph.nodes.find(n => n.type === 'RationalRewardsLoadCritique');
    const files = [new File([data], place.filename, {type})];
    return await node.onDragDrop({dataTransfer: {files, items: []}});
}"""


@pytest.fixture(scope="module")
def frontend(core_folder, serve, running_browser):
    frontend = Frontend(running_browser, serve(core_folder).url)
    yield frontend
    frontend.close()


def workflow(kind: str) -> dict:
    opened = json.loads((ROOT / "workflows" / f"{NAME}.json").read_text("utf-8"))
    (save,) = (node for node in opened["nodes"] if node["type"] == "RationalRewardsSaveImage")
    names = [slot["name"] for slot in save["inputs"] if "widget" in slot]
    save["widgets_values"][names.index("format")] = kind
    return opened


def saved(frontend, kind: str) -> dict:
    """Where the first image lies, after a run that saves in this format."""
    frontend.open(workflow(kind))
    assert frontend.press_run() == "execution_success"
    outputs = frontend.wait(
        "() => Object.values(app.nodeOutputs).find(o => o.images?.[0]?.type === 'output')"
    )
    return outputs["images"][0]


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_saved_image_opens_the_workflow_it_came_from(frontend, kind):
    place = saved(frontend, kind)
    frontend.ask("app.graph.clear()")
    frontend.ask(OPEN, [place, f"image/{kind}"])
    expected = sorted(node["type"] for node in workflow(kind)["nodes"])
    assert (
        sorted(frontend.wait("() => app.graph.nodes.length && app.graph.nodes.map(n => n.type)")) == expected
    )
    assert not frontend.unknown() and not frontend.complaints


def test_an_image_dropped_on_load_critique_is_read(frontend):
    place = saved(frontend, "png")
    frontend.ask("app.graph.clear()")
    frontend.ask(
        """() => { for (const type of ['RationalRewardsLoadCritique', 'PreviewAny']) {
            const node = LiteGraph.createNode(type);
            app.graph.add(node);
            node.pos = type === 'PreviewAny' ? [600, 60] : [60, 60]; }
        const [load, show] = app.graph.nodes; load.connect(5, show, 0); }"""
    )
    assert frontend.ask(DROP, [place, "image/png"])
    chosen = "() => app.graph.nodes.find(n => n.type === 'RationalRewardsLoadCritique').widgets[0].value"
    assert frontend.wait(f"{chosen}".replace("() => ", "() => (") + " || '').endsWith('.png')")
    assert frontend.press_run() == "execution_success"
    shown = frontend.wait("() => app.graph.nodes.find(n => n.type === 'PreviewAny').widgets[0].value")
    assert "Text Faithfulness" in shown and "overall" in shown
    frontend.screenshot(SCREENSHOTS / "load_critique.png")
    assert not frontend.complaints


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_scorecard_is_seen_on_its_node(frontend, rendering):
    frontend.open(workflow("png"), rendering)
    assert frontend.press_run() == "execution_success"
    card = "app.graph.nodes.find(n => n.type === 'RationalRewardsScorecard')"
    frontend.wait(
        f"() => {card}.imgs?.[0]?.naturalWidth === 1200 || app.nodeOutputs[{card}.id]?.images?.length"
    )
    frontend.page.wait_for_timeout(500)
    frontend.screenshot(SCREENSHOTS / f"scorecard_{rendering}.png")
    assert not frontend.complaints


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_a_new_scorecard_is_wide_and_a_saved_one_keeps_its_size(frontend, rendering):
    opened = workflow("png")
    (card,) = (node for node in opened["nodes"] if node["type"] == "RationalRewardsScorecard")
    card["size"][0] = 410
    frontend.open(opened, rendering)
    width = "app.graph.nodes.find(n => n.type === 'RationalRewardsScorecard').size[0]"
    assert frontend.ask(f"() => {width}") == 410
    frontend.open({"nodes": [], "links": [], "version": 0.4}, rendering)
    frontend.ask("() => { app.graph.add(LiteGraph.createNode('RationalRewardsScorecard')); }")
    frontend.page.wait_for_timeout(500)
    assert frontend.ask(f"() => {width}") >= 520
    assert not frontend.complaints
