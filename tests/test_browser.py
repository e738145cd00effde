"""ComfyUI's real frontend on the real core: the shipped workflows open in both renderings, Run runs them, and
what we bring to the screen is there. Screenshots are left in .cache/browser.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dev_browser import RENDERINGS, Frontend, browser
from dev_env import Trouble

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / ".cache" / "browser"
NAMES = sorted(file.stem for file in (ROOT / "workflows").glob("*.json"))
DEMO = "refine_shapes_demo"

pytestmark = [pytest.mark.core, pytest.mark.browser]


def load(name: str, folder: str = "") -> dict:
    return json.loads((ROOT / "workflows" / folder / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def running_browser():
    try:
        with browser() as found:
            yield found
    except Trouble as trouble:
        pytest.skip(str(trouble))


@pytest.fixture(scope="module")
def frontend(running_browser, core_folder, serve):
    frontend = Frontend(running_browser, serve(core_folder).url)
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
    frontend.picture(PICTURES / f"{name}_{rendering}.png")
    assert not frontend.unknown()
    assert frontend.ask("app.graph.links.size") == len(load(name)["links"])
    assert frontend.prompt() == load(name, "api")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_run_runs_the_demo(frontend, rendering):
    frontend.open(load(DEMO), rendering)
    assert frontend.press_run() == "execution_success"
    shown = frontend.wait("() => app.graph.nodes.find(n => n.type === 'PreviewAny').widgets[0].value")
    assert re.search(r"Round 2 .*overall 4\.00", shown) and "Every aspect stands at 3" in shown
    frontend.picture(PICTURES / f"run_{rendering}.png")


def test_the_help_panel_shows_ours(frontend):
    frontend.open(load(DEMO))
    frontend.ask("app.canvas.selectNode(app.graph.nodes.find(n => n.type === 'RationalRewardsRefineEnd'))")
    frontend.page.get_by_test_id("info-button").click()
    page = frontend.page.locator(".node-help-content .markdown-content")
    page.wait_for()
    assert page.locator("h1").inner_text() == "Refine End"
    frontend.picture(PICTURES / "help.png")
