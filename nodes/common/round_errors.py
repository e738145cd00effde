"""Errors of the pack's nodes inside a refine loop say in which round, and on which node, they arose."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from comfy_execution.graph import DynamicPrompt
from comfy_execution.utils import get_executing_context

from . import graph_copy
from .loop_context import END, START, STEP


def with_round_in_errors(execute: Callable) -> Callable:
    """Around `execute` of a node class that has the hidden input dynprompt, under its `classmethod`. Outside
    of a loop nothing changes; the kind of error never does.

    Core shows the errors of later rounds on Refine End, so the message alone can tell where they came from.
    """

    @wraps(execute)
    def told(cls, *args: object, **inputs: object):
        try:
            return execute(cls, *args, **inputs)
        except Exception as error:
            _name(error, cls)
            raise

    return told


def _name(error: Exception, node: type) -> None:
    """Put node and round in front of the message, where there is a message of words and a round."""
    context, prompt = get_executing_context(), node.hidden and node.hidden.dynprompt
    if context is None or prompt is None or not error.args or not isinstance(error.args[0], str):
        return
    if (number := round_of(prompt, context.node_id)) is not None:
        name = graph_copy.title(prompt, context.node_id, node.define_schema().display_name)
        error.args = (f"{name}, round {number}: {error.args[0]}", *error.args[1:])


def round_of(dynprompt: DynamicPrompt, node: str) -> int | None:
    """The round of the nearest Refine Start that the node hangs on, or None. What lies behind
    a Refine End hangs on no round, and behind a Refine Step on one that another loop counts."""
    seen, level = {node}, [node]
    while level:
        sources = {source for one in level for source in graph_copy.sources(dynprompt, one)} - seen
        for source in sorted(sources):
            if dynprompt.get_node(source)["class_type"] == START:
                carried = graph_copy.inputs_of(dynprompt, source).get("carried")
                return 1 if carried is None else carried.state.number
        seen |= sources
        level = [one for one in sources if dynprompt.get_node(one)["class_type"] not in (STEP, END)]
    return None
