"""ComfyUI's real frontend in a browser: open a workflow in either rendering, press Run, take screenshots.

Playwright drives it; the browser is an installed Chromium, Chrome or Edge, or Playwright's own Chromium. Run
as a script in `.venv`, it installs a Chromium unless a browser can be started already.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev_comfyui import PACK_FOLDER
from dev_env import SetupError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Playwright

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
INSTALL_TIMEOUT = 600
VUE, LITEGRAPH = "vue", "litegraph"
RENDERINGS = (LITEGRAPH, VUE)
OURS = re.compile(rf"extensions/{PACK_FOLDER}|RationalRewards|rational_rewards")
IGNORED_ERRORS = (
    "Failed to load resource",
    "Content Security Policy",
    "Error loading core workflow templates",
    "Error loading fuse options",
)
READY = """
    () => window.app?.extensionManager && app.graph && document.querySelector("[data-testid=queue-button]")
        && Object.keys(LiteGraph.registered_node_types).some(name => name.startsWith("RationalRewards"))
"""
LISTEN = """
    window.rrEnded = {};
    for (const name of ["execution_success", "execution_error", "execution_interrupted"])
        comfyAPI.api.api.addEventListener(name, ({ detail }) => { rrEnded[detail.prompt_id] ??= name });
"""
# Without the animation of the command "fit view".
FIT = """
    () => {
        const boxes = app.graph.nodes.map(node => node.getBounding());
        const [left, top] = [0, 1].map(side => Math.min(...boxes.map(box => box[side])));
        const [right, bottom] = [0, 1].map(side => Math.max(...boxes.map(box => box[side] + box[side + 2])));
        app.canvas.ds.fitToBounds([left, top, right - left, bottom - top], {zoom: 0.8});
        app.canvas.draw(true, true);
        return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
"""
DRAWN = {
    LITEGRAPH: "count => { app.canvas.draw(true, true); return app.graph.nodes.length === count }",
    VUE: "count => document.querySelectorAll('.lg-node[data-node-id]').length === count",
}
# In graph units, with the title bar, as drawn: nodes are larger than the size that a workflow stores.
BOXES = {
    LITEGRAPH: "app.graph.nodes.map(node => [node.title, ...node.getBounding()])",
    VUE: """
        [...document.querySelectorAll(".lg-node[data-node-id]")].map(element => {
            const box = element.getBoundingClientRect(), scale = app.canvas.ds.scale;
            const node = app.graph.getNodeById(element.dataset.nodeId);
            return [node.title, box.x / scale, box.y / scale, box.width / scale, box.height / scale];
        })
    """,
}


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A running browser; SetupError if none can be started or playwright is not installed."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SetupError("playwright is not installed: pip install -r requirements-dev.txt") from error
    with sync_playwright() as playwright:
        running = _launch(playwright)
        try:
            yield running
        finally:
            running.close()


def install() -> None:
    """Install Playwright's Chromium, or where its host cannot be reached, the system's. Does nothing if a
    browser can be started already; SetupError if none can be started afterwards."""
    root = sys.platform == "linux" and os.geteuid() == 0
    ways: list[list[Sequence[str]]] = [
        [[sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]],
        [["apt-get", "update"], ["apt-get", "install", "--yes", "chromium"]] if root else [],
    ]
    for commands in ways:
        if can_start():
            return
        for command in commands:
            if shutil.which(command[0]):
                print(f"$ {' '.join(command)}", flush=True)
                subprocess.run(command, timeout=INSTALL_TIMEOUT)
    with browser():
        return


def can_start() -> bool:
    try:
        with browser():
            return True
    except SetupError:
        return False


def _launch(playwright: Playwright) -> Browser:
    from playwright.sync_api import Error

    # Chromium's sandbox does not work as root, as which containers run.
    root = sys.platform == "linux" and os.geteuid() == 0
    arguments = ["--disable-gpu", "--disable-background-networking", *(["--no-sandbox"] if root else [])]
    installed: list[dict[str, Any]] = [
        {"executable_path": path} for name in EXECUTABLES if (path := shutil.which(name))
    ]
    choices = [*installed, {"channel": "chrome"}, {"channel": "msedge"}, {}]
    for choice in choices:
        with contextlib.suppress(Error):
            return playwright.chromium.launch(args=arguments, **choice)
    raise SetupError(
        "No Chromium, Chrome or Edge could be started here. Install one, for example with "
        "`apt install chromium` or `python -m playwright install chromium`."
    )


class Frontend:
    """One browser tab with the frontend of a server.

    `complaints` holds uncaught errors and console errors: all of our own code, and those of other code since
    the first workflow was opened, except for files that an empty ComfyUI lacks (user.css, core's templates).
    """

    def __init__(
        self, browser: Browser, url: str, language: str = "en", size: tuple[int, int] = (1600, 1000)
    ):
        self.url, self.complaints, self.opened = url, [], False
        context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        self.page: Page = context.new_page()
        # core's first workflow asks a model's host for its size; no request may leave this machine
        self.page.route(lambda address: not address.startswith(url), lambda route: route.abort())
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        for setting, value in {"Comfy.TutorialCompleted": True, "Comfy.Locale": language}.items():
            self.page.request.post(f"{url}/api/settings/{setting}", data=json.dumps(value))
        self.page.goto(url)
        self.page.wait_for_function(READY, timeout=120_000)
        self.ask(f"() => {{{LISTEN}}}")

    def _heard(self, message) -> None:
        where = message.location.get("url", "")
        ignored = not self.opened or any(text in message.text for text in IGNORED_ERRORS)
        if message.type == "error" and (OURS.search(where + message.text) or not ignored):
            self.complaints.append(f"{message.text} ({where})")

    def close(self) -> None:
        self.page.context.close()

    def ask(self, script: str, argument: object = None) -> Any:
        """Evaluate JavaScript and return its value, that of a promise when it is resolved."""
        return self.page.evaluate(script, argument)

    def wait(self, script: str, argument: object = None, timeout: float = 60) -> Any:
        """Wait until a JavaScript function returns a true value, and return it."""
        return self.page.wait_for_function(script, arg=argument, timeout=1000 * timeout).json_value()

    def open(self, workflow: dict, rendering: str = LITEGRAPH) -> None:
        """Open a workflow in a new tab and wait until all of it is drawn and in view."""
        self.opened = True
        self.ask("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", rendering == VUE)
        self.ask("workflow => app.loadGraphData(workflow)", workflow)
        self.wait(DRAWN[rendering], len(workflow["nodes"]))
        self.ask(FIT)

    def unknown(self) -> list[str]:
        """Node types of the open workflow that the frontend does not know."""
        return self.ask("app.graph.nodes.map(n => n.type).filter(t => !LiteGraph.registered_node_types[t])")

    def boxes(self, rendering: str) -> list[tuple[str, float, float, float, float]]:
        """Title, x, y, width and height of every node, in graph units, as drawn."""
        return [tuple(box) for box in self.ask(BOXES[rendering])]

    def prompt(self) -> dict:
        """The API form of the open workflow, as the frontend makes it, without titles."""
        prompt = self.ask("app.graphToPrompt().then(result => result.output)")
        return {name: {key: node[key] for key in ("class_type", "inputs")} for name, node in prompt.items()}

    def press_run(self) -> str:
        """Press Run, wait for the end, and return the name of core's last event (execution_success)."""
        with self.page.expect_response(lambda response: response.url.endswith("/prompt")) as response:
            self.page.get_by_test_id("queue-button").click()
        prompt_id = response.value.json()["prompt_id"]
        return self.wait("prompt_id => rrEnded[prompt_id]", prompt_id, timeout=180)

    def screenshot(self, file: Path, part: Locator | None = None) -> Path:
        """A screenshot of the window, or of a part of it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        (part or self.page).screenshot(path=file)
        return file


if __name__ == "__main__":
    try:
        install()
    except SetupError as error:
        sys.exit(str(error))
