"""Take the screenshots of the help pages: every node in the real frontend, in English and Chinese.

    python scripts/draw_nodes.py

Nodes that are part of a workflow with the Shapes critic are shown after a run of it; the others as they come
from the menu.
"""

from __future__ import annotations

import io
import json
import sys

import dev_comfyui
from dev_browser import VUE, Frontend, browser
from dev_env import CACHE, PYTHON, ROOT, SetupError
from draw_workflows import SETTLED
from PIL import Image

WORKFLOWS = ROOT / "workflows"
SHOW = """
    id => {
        const node = app.graph.getNodeById(id), canvas = app.canvas;
        canvas.deselectAll?.();
        canvas.ds.scale = 1;
        canvas.ds.offset = [120 - node.pos[0], 140 - node.pos[1]];
        canvas.draw(true, true);
        return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
"""
PLACE = "id => document.querySelector(`.lg-node[data-node-id='${id}']`).getBoundingClientRect().toJSON()"
ALONE = """
    kind => {
        const node = LiteGraph.createNode(kind);
        app.graph.add(node);
        node.setSize([Math.max(340, node.computeSize()[0]), node.computeSize()[1]]);
        return app.graph.serialize();
    }
"""
DEMO = "refine_shapes_demo"
EMPTY = {"nodes": [], "links": [], "version": 0.4}


def main() -> int:
    core = dev_comfyui.fetch(dev_comfyui.CURRENT, PYTHON)
    server = dev_comfyui.Server(core, CACHE / "drawing", {dev_comfyui.PACK_FOLDER: ROOT}, options=["--cpu"])
    try:
        with server, browser() as running:
            for language in ("en", "zh"):
                frontend = Frontend(running, server.url, language, size=(1400, 1500))
                for setting in ("Comfy.Minimap.Visible", "Comfy.Graph.CanvasInfo"):
                    frontend.ask("name => app.extensionManager.setting.set(name, false)", setting)
                print(language, *draw(frontend, language), flush=True)
                frontend.close()
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def draw(frontend: Frontend, language: str) -> list[str]:
    """Take all screenshots in the frontend's language; returns the nodes' ids."""
    kinds = frontend.ask(
        "Object.keys(LiteGraph.registered_node_types).filter(kind => kind.startsWith('RationalRewards'))"
    )
    left = set(kinds)
    for file in sorted(WORKFLOWS.glob("*.json"), key=lambda file: (file.stem != DEMO, file.stem)):
        workflow = json.loads(file.read_text("utf-8"))
        nodes = [node for node in workflow["nodes"] if node["type"] in left]
        if nodes and "Shapes critic" in file.read_text("utf-8"):
            frontend.open(workflow, VUE)
            if frontend.press_run() != "execution_success":
                raise SetupError(f"{file.stem} failed; the log of ComfyUI says why.")
            frontend.wait(SETTLED)
            for node in nodes:
                screenshot(frontend, node["id"], node["type"], language)
            left -= {node["type"] for node in nodes}
    for kind in sorted(left):
        frontend.open(EMPTY, VUE)
        workflow = frontend.ask(ALONE, kind)
        frontend.open(workflow, VUE)
        screenshot(frontend, workflow["nodes"][0]["id"], kind, language)
    return sorted(kinds)


def screenshot(frontend: Frontend, number: int, kind: str, language: str) -> None:
    """The node at its natural size, as web/docs/<id>/<language>.png."""
    frontend.ask(SHOW, number)
    box = frontend.ask(PLACE, number)
    left, top, width, height = (box[name] for name in ("x", "y", "width", "height"))
    data = frontend.page.screenshot(
        clip={"x": left - 6, "y": top - 6, "width": width + 12, "height": height + 12}
    )
    shot = Image.open(io.BytesIO(data)).convert("RGB")
    shot.quantize(128).save(ROOT / "web" / "docs" / kind / f"{language}.png", optimize=True)


if __name__ == "__main__":
    sys.exit(main())
