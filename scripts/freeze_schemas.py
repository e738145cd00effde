"""Write down the sockets of all nodes, which saved workflows and programs rely on.

    python scripts/freeze_schemas.py

tests/test_schemas.py compares the nodes with the file. Before the first published version, run this after
every change of a schema. From then on, nodes may only gain: optional inputs, outputs after the last one,
options of a choice.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import dev_comfyui
import generate_docs
from dev_env import PYTHON, ROOT, SetupError

FILE = ROOT / "tests" / "data" / "node_schemas.json"
HERE = {"model", "device", "file"}
"""Choices that depend on the computer."""


def describe(nodes: Mapping[str, type]) -> dict:
    """By node id, the inputs (type, whether optional, options of a choice) and the outputs, in order."""
    return {name: describe_node(node.GET_SCHEMA()) for name, node in nodes.items()}


def describe_node(schema) -> dict:
    inputs = {}
    for name, socket in generate_docs.all_inputs(schema.inputs).values():
        inputs[name] = {"type": socket.get_io_type(), "optional": bool(socket.optional)}
        options = getattr(socket, "options", None)
        if options and name not in HERE:
            inputs[name]["options"] = [getattr(option, "key", option) for option in options]
    outputs = [[output.display_name, output.get_io_type()] for output in schema.outputs]
    return {"inputs": inputs, "outputs": outputs}


def main() -> int:
    try:
        nodes = generate_docs.load_nodes(Path(dev_comfyui.fetch(dev_comfyui.CURRENT, PYTHON)))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    FILE.write_text(json.dumps(describe(nodes), indent=1) + "\n", "utf-8", newline="\n")
    print(f"written: {FILE.relative_to(ROOT).as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
