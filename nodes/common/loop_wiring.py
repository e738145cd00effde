"""Checks how a refine loop is wired, when it begins."""

from __future__ import annotations

import importlib

from comfy_execution.graph import DynamicPrompt

from . import graph_copy
from .loop_context import END, START
from .socket_types import PROMPT_SLOT

CRITIQUE = "RationalRewardsCritique"


def check_loops(dynprompt: DynamicPrompt, start: str) -> None:
    """ValueError if a loop that this Refine Start opens cannot work."""
    for node in dynprompt.all_node_ids():
        inputs = graph_copy.inputs_of(dynprompt, node)
        if dynprompt.get_node(node)["class_type"] == END and inputs.get("loop", [None])[0] == start:
            start_of_loop(dynprompt, node)


def start_of_loop(dynprompt: DynamicPrompt, end: str) -> str:
    """The id of the Refine Start that belongs to this Refine End. ValueError if the two do not form a loop
    that can work."""
    links = graph_copy.inputs_of(dynprompt, end)
    start = links["loop"][0]
    source_type = dynprompt.get_node(start)["class_type"]
    if source_type != START:
        raise ValueError(
            f"Connect Refine Start's loop directly to Refine End's loop, without a node in between; now it "
            f"comes from {source_type}."
        )
    body = graph_copy.body(dynprompt, start, end)
    if links["image"][0] not in body:
        raise ValueError(
            "Connect Refine Start's prompt or seed to your generator: Refine End's image does not depend on "
            "Refine Start, so every round would make the same image."
        )
    for node in sorted(body):
        if dynprompt.get_node(node)["class_type"] == CRITIQUE:
            _check_request(dynprompt, node, start)
    if links.get("critic") is None and _is_plain_image(dynprompt, links["image"]):
        raise ValueError(
            "Connect Load Critic to Refine End's critic, or Critique Image's candidates to Refine End's "
            "image: nothing judges this loop's images."
        )
    return start


def _check_request(dynprompt: DynamicPrompt, critique: str, start: str) -> None:
    request = graph_copy.inputs_of(dynprompt, critique).get("request")
    if request == [start, PROMPT_SLOT]:
        title = graph_copy.title(dynprompt, critique, "Critique Image")
        raise ValueError(
            f"Connect {title}'s request to Refine Start's request, not to its prompt: the prompt changes "
            "from round to round, and all rounds must be judged by the same request."
        )


def _is_plain_image(dynprompt: DynamicPrompt, link: list) -> bool:
    """Whether an output has core's type IMAGE. Candidates may be judged, and so may what has another type."""
    mappings = importlib.import_module("nodes").NODE_CLASS_MAPPINGS
    source = mappings.get(dynprompt.get_node(link[0])["class_type"])
    types = getattr(source, "RETURN_TYPES", ())
    return link[1] < len(types) and types[link[1]] == "IMAGE"
