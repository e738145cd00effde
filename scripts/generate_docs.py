"""Write what follows from the nodes' schemas: the English locale, and the heads of all help pages.

    python scripts/generate_docs.py            write the files
    python scripts/generate_docs.py --check    change nothing; fail if a file is not up to date

A help page is generated down to MARKER; the notes below it are written by hand. English texts come from the
schemas of nodes/*.py, Chinese ones from locales/zh/nodeDefs.json, which is written by hand and must name
every input and output.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import dev_comfyui
from dev_env import PYTHON, ROOT, SetupError

LOCALES, PAGES = ROOT / "locales", ROOT / "web" / "docs"
MARKER = "<!-- scripts/generate_docs.py writes all of the above. -->"
HEADINGS = {"en": {"inputs": "Inputs", "outputs": "Outputs"}, "zh": {"inputs": "输入", "outputs": "输出"}}


def generate(nodes: Mapping[str, type]) -> dict[Path, str]:
    """The content of every generated file, from the node classes by their ids; ValueError if the Chinese
    texts do not match the schemas."""
    schemas = {name: node.GET_SCHEMA() for name, node in nodes.items()}
    chinese = json.loads((LOCALES / "zh" / "nodeDefs.json").read_text("utf-8"))
    texts = {"en": {name: english(schema) for name, schema in schemas.items()}, "zh": chinese}
    check_translation(texts["en"], chinese)
    files = {LOCALES / "en" / "nodeDefs.json": json.dumps(texts["en"], ensure_ascii=False, indent=2) + "\n"}
    for language, by_node in texts.items():
        for name, node_texts in by_node.items():
            page = PAGES / name / f"{language}.md"
            outputs = [output.display_name for output in schemas[name].outputs]
            inputs = [socket for socket, _ in all_inputs(schemas[name].inputs).values()]
            files[page] = head(name, language, node_texts, inputs, outputs) + notes(page)
    return files


def english(schema) -> dict:
    """The texts of one node in the form of ComfyUI's nodeDefs.json."""
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {
            key: {"name": socket.id, "tooltip": socket.tooltip}
            for key, (_, socket) in all_inputs(schema.inputs).items()
        },
        "outputs": {
            str(slot): {"name": socket.display_name, "tooltip": socket.tooltip}
            for slot, socket in enumerate(schema.outputs)
        },
    }


def all_inputs(inputs: list) -> dict[str, tuple]:
    """The names of inputs in a prompt and the inputs, by their keys in nodeDefs.json, which have _ for a dot.
    Those that a choice reveals follow it; of equal ones that several choices reveal, the last is taken."""
    found = {}
    for socket in inputs:
        found[socket.id] = (socket.id, socket)
        if socket.get_io_type() == "COMFY_DYNAMICCOMBO_V3":
            nested = {inner.id: inner for option in socket.options for inner in option.inputs}
            found |= {f"{socket.id}_{id}": (f"{socket.id}.{id}", inner) for id, inner in nested.items()}
    return found


def check_translation(english: dict, translation: dict) -> None:
    """ValueError unless the translation has the same nodes, inputs and outputs in the same order, and no
    empty text."""
    if keys(translation) != keys(english):
        missing = set(keys(english)) - set(keys(translation))
        surplus = set(keys(translation)) - set(keys(english))
        raise ValueError(
            "locales/zh/nodeDefs.json does not match the schemas: "
            f"missing {sorted(missing)}, unknown {sorted(surplus)}, or in another order."
        )
    if empty := [key for key, text in leaves(translation) if not text]:
        raise ValueError(f"locales/zh/nodeDefs.json has empty texts: {empty}")


def keys(texts: dict) -> list[str]:
    return [key for key, _ in leaves(texts)]


def leaves(texts: dict, prefix: str = "") -> list[tuple[str, str]]:
    """(path, text) of every text in nested dicts; a path is "RationalRewardsGate.inputs.image.name"."""
    found = []
    for key, value in texts.items():
        found += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found


def head(name: str, language: str, texts: dict, inputs: list[str], outputs: list[str]) -> str:
    """The generated part of a help page: lists, because the help panel is too narrow for tables."""
    title = texts["display_name"]
    tables = {
        "inputs": list(zip(inputs, texts["inputs"].values(), strict=True)),
        "outputs": list(zip(outputs, texts["outputs"].values(), strict=True)),
    }
    lines = [f"# {title}", "", texts["description"], "", f"![{title}]({name}/{language}.png)", ""]
    for part, rows in tables.items():
        lines += [f"## {HEADINGS[language][part]}", ""]
        lines += [
            f"* {socket_name(socket, text['name'])}: {escaped(text['tooltip'])}" for socket, text in rows
        ]
        lines.append("")
    return "\n".join([*lines, MARKER, ""])


def socket_name(socket: str, name: str) -> str:
    """A socket's name on the node, and in workflows if that is another."""
    return f"**{name}**" if name == socket else f"**{name}** (`{socket}`)"


def escaped(text: str) -> str:
    """A text in Markdown, where a tag such as <lora:x:1> would vanish."""
    return text.replace("<", "&lt;")


def notes(page: Path) -> str:
    """What is written by hand below the marker; empty for a new page."""
    return page.read_text("utf-8").partition(f"{MARKER}\n")[2] if page.is_file() else ""


def load_nodes(core: Path) -> dict[str, type]:
    """The pack's node classes by id, imported within the ComfyUI in the folder `core`."""
    sys.path[:] = [str(core), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    args = importlib.import_module("comfy.cli_args").args
    args.cpu = True
    spec = importlib.util.spec_from_file_location(
        "rational_rewards_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = pack
    spec.loader.exec_module(pack)
    return {node.__name__: node for node in pack.NODES}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file is not up to date"
    )
    options = parser.parse_args()
    try:
        files = generate(load_nodes(dev_comfyui.fetch(dev_comfyui.CURRENT, PYTHON)))
    except (SetupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    outdated = [file for file, text in files.items() if not file.is_file() or file.read_text("utf-8") != text]
    for file in outdated:
        if not options.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(files[file], "utf-8", newline="\n")
        print(f"{'outdated' if options.check else 'written'}: {file.relative_to(ROOT).as_posix()}")
    return 1 if options.check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
