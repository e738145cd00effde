"""The demo: the bundled refine workflow in a real ComfyUI, reported round by round. Standard library only."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from dev_comfyui import PACK_FOLDER, Server, ticks, version_of
from dev_env import ROOT, SetupError, has_accelerator

BASE = ROOT / "demo"
NAME = "refine_shapes_demo.json"
LOOPS = BASE / "output" / "RationalRewards"
TIMEOUT = 600


def run(core: Path, python: Path) -> None:
    """Start ComfyUI, run the workflow, report the result, stop ComfyUI."""
    prompt = json.loads((ROOT / "workflows" / "api" / NAME).read_text("utf-8"))
    workflow = json.loads((ROOT / "workflows" / NAME).read_text("utf-8"))
    options = [] if has_accelerator() else ["--cpu"]
    print(f"Starting ComfyUI {version_of(core)} ({'CPU' if options else 'GPU'}) ...", flush=True)
    with Server(core, BASE, {PACK_FOLDER: ROOT}, python, options) as server:
        print(f"ComfyUI runs at {server.url}. Running workflows/{NAME} ...", flush=True)
        before = set(LOOPS.glob("*/"))
        folder = follow(server, server.queue(prompt, workflow), before)
        log = server.log_file
    history = read_history(folder)
    print(
        f"\nStopped: {history['stop']['text']}\nThe best round is {history['best']}.\n\n"
        f"Images and log are in {folder}"
    )
    for file in sorted(folder.iterdir()):
        print(f"    {file.name}")
    print(f"ComfyUI's log is {log}")


def follow(server: Server, prompt_id: str, before: set[Path]) -> Path:
    """Report each round as it ends; return the loop's folder when the workflow is done."""
    reported = 0
    for _ in ticks(TIMEOUT, 0.2):
        server.check_alive()
        entry = server.finished(prompt_id)
        folder = next(iter(sorted(set(LOOPS.glob("*/")) - before)), None)
        if folder is not None:
            for past in read_history(folder)["rounds"][reported:]:
                print(describe(past), flush=True)
                reported += 1
        if entry is None:
            continue
        if not entry["status"]["completed"]:
            raise SetupError(f"The workflow failed: {failure(entry)}\nComfyUI's log is {server.log_file}")
        if not folder or not reported:
            raise SetupError(
                f"The workflow ended without rounds in {LOOPS}. Turn on save_rounds of Refine End in "
                f"workflows/{NAME}."
            )
        return folder
    raise SetupError(f"The workflow did not end within {TIMEOUT} s. ComfyUI's log is {server.log_file}")


def read_history(folder: Path) -> dict:
    file = folder / "history.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {"rounds": []}


def describe(past: dict) -> str:
    """One round in a few lines: prompt, seed, score per aspect."""
    prompt = textwrap.fill(
        past["prompt"], 100, initial_indent="    prompt  ", subsequent_indent="            "
    )
    aspects = past["critique"]["aspects"]
    scores = ", ".join(f"{a['name']} {number(a['score'], 1, a['status'])}" for a in aspects)
    overall = number(past["overall"], 2, past["status"])
    return (
        f"\nRound {past['number']}, seed {past['seed']}\n{prompt}\n    scores  {scores} -> overall {overall}"
    )


def number(value: float | None, digits: int, status: str) -> str:
    return status.replace("_", " ") if value is None else f"{value:.{digits}f}"


def failure(entry: dict) -> str:
    """The error of a history entry."""
    for name, data in entry["status"]["messages"]:
        if name == "execution_error":
            return f"{data['node_type']}: {data['exception_message'].strip()}"
    return "it was interrupted."
