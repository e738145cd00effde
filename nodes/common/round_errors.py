"""The round of a refine loop that a node runs in, and errors that say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from comfy_execution.graph import DynamicPrompt
from comfy_execution.utils import get_executing_context

from . import graph_copy
from .loop_context import END, START, STEP


def with_round_in_errors(execute: Callable) -> Callable:
    """Around `execute` of a node class that has the hidden input dynprompt, below its `classmethod`. Outside
    a loop nothing changes; the type of the error never does.

    Core shows the errors of later rounds on Refine End, so only the message can say where they come from.
    """

    @wraps(execute)
    def wrapped(cls, *args: object, **inputs: object):
        try:
            return execute(cls, *args, **inputs)
        except Exception as error:
            _add_round(error, cls)
            raise

    return wrapped


def current_round(node: type) -> int | None:
    """The round of a refine loop that a node with the hidden input dynprompt runs in; None outside one."""
    context, prompt = get_executing_context(), node.hidden and node.hidden.dynprompt
    return None if context is None or prompt is None else round_of(prompt, context.node_id)


def _add_round(error: Exception, node: type) -> None:
    """Put node and round in front of the message, if there is a text message and a round."""
    if not error.args or not isinstance(error.args[0], str):
        return
    if (number := current_round(node)) is not None:
        context, prompt = get_executing_context(), node.hidden.dynprompt
        assert context is not None, "there is a round"
        title = graph_copy.title(prompt, context.node_id, node.define_schema().display_name)
        error.args = (f"{title}, round {number}: {error.args[0]}", *error.args[1:])


def round_of(dynprompt: DynamicPrompt, node: str) -> int | None:
    """The round of the nearest Refine Start that the node depends on, or None. Nodes after a Refine End
    belong to no round, and those after a Refine Step to a round that another loop counts."""
    seen, level = {node}, [node]
    while level:
        sources = {source for id in level for source in graph_copy.sources(dynprompt, id)} - seen
        for source in sorted(sources):
            if dynprompt.get_node(source)["class_type"] == START:
                carried = graph_copy.inputs_of(dynprompt, source).get("carried")
                return 1 if carried is None else carried.state.number
        seen |= sources
        level = [id for id in sources if dynprompt.get_node(id)["class_type"] not in (STEP, END)]
    return None
