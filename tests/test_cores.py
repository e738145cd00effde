"""The pack in real ComfyUI cores, the current one and the oldest promised; and the test harness itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dev_comfyui import PACK_FOLDER

EMPTY_IMAGE = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 16, "batch_size": 2, "color": 255}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


def test_a_prompt_runs_in_process(comfy_core):
    executor = comfy_core.executor()
    run = comfy_core.run(EMPTY_IMAGE, executor)
    assert run.success and run.executed == ["1", "2"], run.complaint
    assert tuple(run.value("1").shape) == (2, 16, 32, 3)
    assert len(run.outputs["2"]["images"]) == 2
    assert set(comfy_core.run(EMPTY_IMAGE, executor).cached) == {"1", "2"}


def test_a_bad_prompt_says_why(comfy_core):
    prompt = {
        **EMPTY_IMAGE,
        "1": {"class_type": "EmptyImage", "inputs": {**EMPTY_IMAGE["1"]["inputs"], "width": -1}},
    }
    run = comfy_core.run(prompt)
    assert not run.success and "width" in run.complaint


@pytest.mark.parametrize("core", ["core_folder", "floor_folder"])
def test_the_pack_loads_without_a_warning(core: str, serve, request: pytest.FixtureRequest):
    server = serve(request.getfixturevalue(core))
    nodes = server.get("/object_info").items()
    ours = [name for name, node in nodes if node["python_module"] == f"custom_nodes.{PACK_FOLDER}"]
    assert ours and all(name.startswith("RationalRewards") for name in ours)
    alarms = re.compile(r"warn|error|deprecat|failed|traceback|cannot import", re.IGNORECASE)
    loud = [line for line in server.log.splitlines() if PACK_FOLDER in line and alarms.search(line)]
    assert not loud, "\n".join(loud)


def test_a_prompt_runs_on_a_server(core_folder: Path, serve):
    entry = serve(core_folder).run(EMPTY_IMAGE, timeout=120)
    assert entry["status"]["completed"] and len(entry["outputs"]["2"]["images"]) == 2
