"""Lay out the shipped workflows and take their screenshots, in ComfyUI's real frontend.

    python scripts/draw_workflows.py [NAME ...]

The source of a workflow is workflows/api/NAME.json; its notes are those of workflows/NAME.json. Inputs that
nodes have gained since are added with their defaults. Nodes are placed in columns, each to the right of all
it depends on, with the space that it needs in both renderings. Workflows with the Shapes critic are run for
their screenshot; for the others, empty files stand in for the models, so that no node is drawn as missing
one.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import uuid
from pathlib import Path

import dev_comfyui
from dev_browser import FIT, LITEGRAPH, RENDERINGS, VUE, Frontend, browser
from dev_env import CACHE, PYTHON, ROOT, SetupError
from PIL import Image, ImageDraw

FOLDER = ROOT / "workflows"
GAP_X, GAP_Y, TITLE = 70, 40, 30
WIDTHS = {
    "MarkdownNote": 380,
    "PreviewImage": 320,
    "SaveImage": 320,
    "PreviewAny": 420,
    "RationalRewardsScorecard": 520,
}
LEAST = {"MarkdownNote": 420, "PreviewImage": 340, "SaveImage": 360, "PreviewAny": 220, "LoadImage": 330}
ROOM = {
    "RationalRewardsCritique": 150,
    "RationalRewardsCompare": 150,
    "RationalRewardsRefineEnd": 190,
    "RationalRewardsSaveImage": 260,
    "RationalRewardsScorecard": 410,
}
"""Additional height of a node that has run."""
MODELS = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "vae_name": "vae",
}
ROW_END = "RationalRewardsRefineStep"
"""After a round by hand, the next one begins in a new row."""
ONLY_ON_SCREEN = {"PreviewAny": 0, "LoadImage": 1}
"""Number of widgets that belong to the API; the others are the frontend's own."""
IN_THEIR_LANGUAGE = ("localized_name", "label")
NOTE = {"color": "#432", "bgcolor": "#653"}

BUILD = """
    ([prompt, notes, widths]) => {
        app.loadApiJson(prompt, "drawing");
        for (const [title, text] of notes) {
            const note = LiteGraph.createNode("MarkdownNote");
            app.graph.add(note);
            note.title = title;
            note.widgets[0].value = text;
        }
        for (const node of app.graph.nodes) {
            const linked = new Set(node.inputs.filter(slot => slot.link != null).map(slot => slot.name));
            const fresh = LiteGraph.createNode(node.type);
            for (const widget of node.widgets ?? []) {
                if (widget.name === "control_after_generate") widget.value = "fixed";
                // the frontend leaves the value of an earlier workflow's node with the same id; a text that
                // is not used must not look as if it were
                if (linked.has(widget.name))
                    widget.value = widget.type === "customtext" || widget.type === "text"
                        ? "" : fresh.widgets.find(other => other.name === widget.name).value;
            }
            node.setSize([widths[node.type] ?? Math.max(340, node.computeSize()[0]), node.computeSize()[1]]);
        }
        return app.graph.serialize();
    }
"""

SETTLED = """
    () => [...document.querySelectorAll(".lg-node img")].every(image => image.complete && image.naturalWidth)
        && ![...document.querySelectorAll(".lg-node")].some(node => node.innerText.includes("Loading..."))
        && document.querySelector("[data-testid=queue-overlay-toggle]").innerText.startsWith("0")
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = sorted(file.stem for file in (FOLDER / "api").glob("*.json"))
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all by default")
    wanted = options.parse_args().names or names
    core = dev_comfyui.fetch(dev_comfyui.CURRENT, PYTHON)
    base = CACHE / "drawing"
    stand_in(base)
    try:
        server = dev_comfyui.Server(core, base, {dev_comfyui.PACK_FOLDER: ROOT}, options=["--cpu"])
        with server, browser() as running:
            frontend = Frontend(running, server.url, size=(2000, 1300))
            for setting in ("Comfy.Minimap.Visible", "Comfy.Graph.CanvasInfo"):
                frontend.ask("name => app.extensionManager.setting.set(name, false)", setting)
            for name in wanted:
                print(draw(frontend, name), flush=True)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def stand_in(base: Path) -> None:
    """Create the files that the workflows name: empty ones for models, a landscape to edit."""
    for file in (FOLDER / "api").glob("*.json"):
        for node in json.loads(file.read_text("utf-8")).values():
            for name, folder in MODELS.items():
                if isinstance(value := node["inputs"].get(name), str):
                    (base / "models" / folder).mkdir(parents=True, exist_ok=True)
                    (base / "models" / folder / value).touch()
    (base / "input").mkdir(parents=True, exist_ok=True)
    landscape = Image.new("RGB", (768, 512), "#9cc4e4")
    pen = ImageDraw.Draw(landscape)
    pen.ellipse([560, 50, 660, 150], "#ffe08a")
    pen.polygon([(0, 512), (0, 330), (260, 210), (470, 330), (768, 260), (768, 512)], "#5b8c5a")
    landscape.save(base / "input" / "example.png")


def draw(frontend: Frontend, name: str) -> str:
    """Write a workflow in both forms, and its screenshot; returns a line about it."""
    api, file = FOLDER / "api" / f"{name}.json", FOLDER / f"{name}.json"
    prompt = json.loads(api.read_text("utf-8"))
    old = json.loads(file.read_text("utf-8"))["nodes"] if file.is_file() else []
    notes = [
        (node.get("title", "About this workflow"), node["widgets_values"][0])
        for node in old
        if node["type"] == "MarkdownNote"
    ]
    workflow = build(frontend, prompt, notes)
    place(frontend, workflow)
    finish(workflow, name)
    frontend.open(workflow, VUE)
    write(api, frontend.prompt())
    write(file, workflow)
    runs = "Shapes critic" in api.read_text("utf-8")
    if runs and frontend.press_run() != "execution_success":
        raise SetupError(f"{name} failed; the log of ComfyUI says why.")
    take_screenshot(frontend, file.with_suffix(".jpg"))
    return f"{name}: {len(workflow['nodes'])} nodes{', run' if runs else ''}"


def build(frontend: Frontend, prompt: dict, notes: list[tuple[str, str]]) -> dict:
    """The workflow that the frontend makes from the API form, not laid out yet."""
    frontend.open({"nodes": [], "links": [], "version": 0.4}, LITEGRAPH)
    return frontend.ask(BUILD, [prompt, notes, WIDTHS])


def place(frontend: Frontend, workflow: dict) -> None:
    """Set position and size of all nodes: in columns and, for rounds by hand, in rows, large enough for both
    renderings."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for index, node in enumerate(nodes.values()):
        node["pos"] = [0, 3000 * index]  # apart, while they are measured
    room = {number: [0.0, 0.0] for number in nodes}
    for rendering in RENDERINGS:
        frontend.open(workflow, rendering)
        for number, (_, _, _, *size) in zip(nodes, frontend.boxes(rendering), strict=True):
            room[number] = [max(both) for both in zip(room[number], size, strict=True)]
    for number, node in nodes.items():
        kind = node["type"]
        height = max(room[number][1] - TITLE + ROOM.get(kind, 0), LEAST.get(kind, 0))
        node["size"] = [round(room[number][0]), round(height)]
    x, top, bottom, left = 0, 0, 0, 0
    rows = sum(node["type"] == ROW_END for node in nodes.values())
    for number, column in enumerate(columns(workflow)):
        y = top
        for node in column:
            node["pos"] = [x, y + TITLE]
            y += node["size"][1] + TITLE + GAP_Y
        x, bottom = x + max(node["size"][0] for node in column) + GAP_X, max(bottom, y)
        if number == 0:
            left = x  # the notes' column is theirs alone
        rows -= (ended := column[0]["type"] == ROW_END)
        if ended and rows:
            x, top = left, bottom


def columns(workflow: dict) -> list[list[dict]]:
    """Notes first, then every node to the right of all it depends on; sources to the left of their user."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    needs, users = {n: set() for n in nodes}, {n: set() for n in nodes}
    for _, source, _, target, *_ in workflow["links"]:
        needs[target].add(source)
        users[source].add(target)
    depth: dict[int, int] = {}

    def deep(number: int) -> int:
        if number not in depth:
            depth[number] = 1 + max((deep(source) for source in needs[number]), default=0)
        return depth[number]

    for number in nodes:
        deep(number)
    for number in nodes:
        if not needs[number] and users[number]:
            depth[number] = max(1, min(depth[user] for user in users[number]) - 1)
        if nodes[number]["type"] == "MarkdownNote":
            depth[number] = 0
    return [
        [node for number, node in nodes.items() if depth[number] == place]
        for place in sorted({*depth.values()})
    ]


def finish(workflow: dict, name: str) -> None:
    """Make the file the same on every machine, and record where its nodes come from."""
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    workflow["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"rational-rewards/{name}"))
    workflow |= {"revision": 0, "config": {}, "extra": {}}
    for node in workflow["nodes"]:
        kind = node["type"]
        if kind == "MarkdownNote":
            node |= NOTE
            node["properties"] = {}
            continue
        ours = kind.startswith("RationalRewards")
        node["properties"] = {
            "cnr_id": "rational-rewards" if ours else "comfy-core",
            "ver": version if ours else dev_comfyui.CURRENT.version,
            "Node name for S&R": kind,
        }
        values = node.get("widgets_values", [])
        node["widgets_values"] = values[: ONLY_ON_SCREEN.get(kind, len(values))]
        node["inputs"] = [slot for slot in node.get("inputs", []) if slot["name"] != "upload"]
        for slot in node.get("outputs", []):
            slot["links"] = slot.get("links") or []
        for slot in (*node.get("inputs", []), *node.get("outputs", [])):
            for key in [
                key for key in slot if key != "link" and slot[key] is None or key in IN_THEIR_LANGUAGE
            ]:
                del slot[key]
        node.pop("showAdvanced", None)


def take_screenshot(frontend: Frontend, file: Path) -> None:
    """The graph on the screen, without the window around it."""
    frontend.ask(FIT)
    frontend.wait(SETTLED)
    nodes = "[...document.querySelectorAll('.lg-node[data-node-id]')]"
    boxes = frontend.ask(f"{nodes}.map(node => node.getBoundingClientRect().toJSON())")
    left, top = (min(box[side] for box in boxes) - 14 for side in ("left", "top"))
    right, bottom = (max(box[side] for box in boxes) + 14 for side in ("right", "bottom"))
    data = frontend.page.screenshot(clip={"x": left, "y": top, "width": right - left, "height": bottom - top})
    screenshot = Image.open(io.BytesIO(data)).convert("RGB")
    screenshot.save(file, quality=82, optimize=True)


def write(file: Path, data: dict) -> None:
    file.write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
