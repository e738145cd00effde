"""How a picture was made, as far as the graph says so beyond doubt: steps, sampler, model and so on."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = {"steps": "Steps", "sampler_name": "Sampler", "scheduler": "Schedule type", "cfg": "CFG scale"}
"""Inputs of core's samplers, by the names that galleries use."""
_MODELS = ("ckpt_name", "unet_name")


def details(prompt: Mapping[str, dict] | None, node: str) -> dict[str, object]:
    """What stands behind `node` in an API-format prompt, by the names that galleries use.

    Only what is written in the graph as a value, and only where all nodes behind it agree: with two samplers
    of unequal steps there are no "Steps".
    """
    if not prompt or node not in prompt:
        return {}
    values: dict[str, set] = {}
    for name in _behind(prompt, node):
        inputs = prompt[name].get("inputs", {})
        for key, told in inputs.items():
            known = NAMES.get(key) or ("Model" if key in _MODELS else None)
            if known and isinstance(told, str | int | float):
                values.setdefault(known, set()).add(told)
        if isinstance(text := _text(prompt, inputs.get("negative")), str):
            values.setdefault("Negative prompt", set()).add(text)
    order = ["Negative prompt", *NAMES.values(), "Model"]
    return {name: values[name].pop() for name in order if len(values.get(name, ())) == 1}


def _behind(prompt: Mapping[str, dict], node: str) -> set[str]:
    seen, waiting = {node}, [node]
    while waiting:
        for value in prompt[waiting.pop()].get("inputs", {}).values():
            if (source := _source(prompt, value)) and source not in seen:
                seen.add(source)
                waiting.append(source)
    return seen


def _source(prompt: Mapping[str, dict], value: object) -> str | None:
    """The node that an input is linked to."""
    linked = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in prompt
    return value[0] if linked else None


def _text(prompt: Mapping[str, dict], link: object) -> object:
    source = _source(prompt, link)
    return prompt[source].get("inputs", {}).get("text") if source else None
