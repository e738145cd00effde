"""The request that an image was made for: from a .txt file beside it, a critique saved in it, the text of
Automatic1111, or the prompt of a ComfyUI workflow if that has only one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

_END = re.compile(r"\n\s*(?:Negative prompt:|Steps: )")


def request_of(file: Path, metadata: Mapping[str, object]) -> str:
    """The request of the image `file` with the texts `metadata`; "" where there is none, or more than one."""
    text_file = file.with_suffix(".txt")
    if text_file.is_file():
        return text_file.read_text(encoding="utf-8-sig", errors="replace").strip()
    if request := of_critique(metadata.get("rational_rewards")):
        return request
    graph = metadata.get("prompt")
    if isinstance(graph, str) and (request := of_workflow(graph)):
        return request
    parameters = metadata.get("parameters")
    return of_parameters(parameters) if isinstance(parameters, str) else ""


def of_critique(text: object) -> str:
    """The request of the critique in a record (docs/records.md); "" where there is none."""
    try:
        record = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return ""
    critique = record.get("critique") if isinstance(record, dict) else None
    request = critique.get("request") if isinstance(critique, dict) else None
    return request.strip() if isinstance(request, str) else ""


def of_parameters(text: str) -> str:
    """The prompt in Automatic1111's text: all before the negative prompt or the settings; "" for other
    texts."""
    if not re.search(r"(?:^|\n)\s*Steps: ", text):
        return ""  # a text of another program
    return _END.split("\n" + text, maxsplit=1)[0].strip()


def of_workflow(text: str) -> str:
    """The text behind all `positive` inputs of a ComfyUI prompt in API format; "" where there is none, or
    more than one."""
    try:
        graph = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(graph, dict):
        return ""
    texts: set[str] = set()
    for node in graph.values():
        link = _inputs(node).get("positive")
        if isinstance(link, list) and link:
            texts |= _texts(graph, link, set())
    return texts.pop().strip() if len(texts) == 1 else ""


def _texts(graph: dict, link: list, seen: set[str]) -> set[str]:
    """All texts behind the conditioning that `link` leads to."""
    name = str(link[0])
    if name in seen:
        return set()
    seen.add(name)
    inputs = _inputs(graph.get(name))
    values = [inputs[key] for key in ("text", "prompt", "request", "value", "string") if key in inputs]
    texts = {text for text in values if isinstance(text, str) and text.strip()}
    links = [value for value in values if isinstance(value, list) and value]
    if not values:  # a node that passes conditioning on: input names vary, so all its links count
        links = [
            v
            for k, v in inputs.items()
            if isinstance(v, list) and v and k not in ("clip", "vae", "model", "negative")
        ]
    for inner in links:
        texts |= _texts(graph, inner, seen)
    return texts


def _inputs(node: object) -> dict:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}
