"""How an image was made, as far as the graph determines it: steps, sampler, model and so on."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = {"steps": "Steps", "sampler_name": "Sampler", "scheduler": "Schedule type", "cfg": "CFG scale"}
"""Inputs of core's samplers -> the names that image galleries use."""
_MODELS = ("ckpt_name", "unet_name")


def sampler_metadata(prompt: Mapping[str, dict] | None, node_id: str) -> dict[str, object]:
    """What the nodes upstream of `node_id` in an API-format prompt say, by the names that galleries use.

    Only values written in the graph count, and only if all upstream nodes agree: two samplers with different
    steps give no "Steps".
    """
    if not prompt or node_id not in prompt:
        return {}
    values: dict[str, set] = {}
    for upstream in _upstream(prompt, node_id):
        inputs = prompt[upstream].get("inputs", {})
        for key, value in inputs.items():
            name = NAMES.get(key) or ("Model" if key in _MODELS else None)
            if name and isinstance(value, str | int | float):
                values.setdefault(name, set()).add(value)
        if isinstance(text := _text(prompt, inputs.get("negative")), str):
            values.setdefault("Negative prompt", set()).add(text)
    order = ["Negative prompt", *NAMES.values(), "Model"]
    return {name: values[name].pop() for name in order if len(values.get(name, ())) == 1}


def _upstream(prompt: Mapping[str, dict], node_id: str) -> set[str]:
    """The node and all nodes it depends on."""
    seen, waiting = {node_id}, [node_id]
    while waiting:
        for value in prompt[waiting.pop()].get("inputs", {}).values():
            if (source := _source(prompt, value)) and source not in seen:
                seen.add(source)
                waiting.append(source)
    return seen


def _source(prompt: Mapping[str, dict], value: object) -> str | None:
    """The node that an input is linked to."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in prompt:
        return value[0]
    return None


def _text(prompt: Mapping[str, dict], link: object) -> object:
    source = _source(prompt, link)
    return prompt[source].get("inputs", {}).get("text") if source else None
