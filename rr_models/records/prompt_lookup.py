"""What a picture was asked for, from what lies beside it or stands in it: a .txt file, a critique that was
saved with it, the text of Automatic1111, or the prompt of a ComfyUI workflow where only one can be meant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

_END = re.compile(r"\n\s*(?:Negative prompt:|Steps: )")


def request_of(file: Path, info: Mapping[str, object]) -> str:
    """The request of a picture `file` with these metadata; "" where there is none, or more than one."""
    beside = file.with_suffix(".txt")
    if beside.is_file():
        return beside.read_text(encoding="utf-8-sig", errors="replace").strip()
    if found := of_critique(info.get("rational_rewards")):
        return found
    graph = info.get("prompt")
    if isinstance(graph, str) and (found := of_workflow(graph)):
        return found
    written = info.get("parameters")
    return of_parameters(written) if isinstance(written, str) else ""


def of_critique(text: object) -> str:
    """The request that a picture was judged by when it was saved (docs/records.md); "" where none is."""
    try:
        told = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return ""
    critique = told.get("critique") if isinstance(told, dict) else None
    request = critique.get("request") if isinstance(critique, dict) else None
    return request.strip() if isinstance(request, str) else ""


def of_parameters(text: str) -> str:
    """The prompt of Automatic1111's text: all before the negative prompt or the settings."""
    if not re.search(r"(?:^|\n)\s*Steps: ", text):
        return ""  # somebody else's text of that name
    return _END.split("\n" + text, maxsplit=1)[0].strip()


def of_workflow(text: str) -> str:
    """The one text behind all `positive` inputs of a ComfyUI prompt in API form; "" where there are
    several."""
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(graph, dict):
        return ""
    found: set[str] = set()
    for node in graph.values():
        link = _inputs(node).get("positive")
        if isinstance(link, list) and link:
            found |= _texts(graph, link, set())
    return found.pop().strip() if len(found) == 1 else ""


def _texts(graph: dict, link: list, seen: set[str]) -> set[str]:
    """All texts that the conditioning at the end of `link` is made of."""
    name = str(link[0])
    if name in seen:
        return set()
    seen.add(name)
    inputs = _inputs(graph.get(name))
    said = [inputs[key] for key in ("text", "prompt", "request", "value", "string") if key in inputs]
    found = {text for text in said if isinstance(text, str) and text.strip()}
    links = [value for value in said if isinstance(value, list) and value]
    if not said:  # a node that passes conditioning on; what it is called varies, so all its links count
        links = [
            v
            for k, v in inputs.items()
            if isinstance(v, list) and v and k not in ("clip", "vae", "model", "negative")
        ]
    for inner in links:
        found |= _texts(graph, inner, seen)
    return found


def _inputs(node: object) -> dict:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}
