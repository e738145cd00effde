"""Repeat a part of the running graph: find the body of a loop and copy it for the next round.

Core runs the graph that a node returns in its own place ("expansion"). So a loop is a node that returns a
copy of everything since the loop's start, including itself, until it is done.
"""

from __future__ import annotations

from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import GraphBuilder, is_link


def inputs_of(dynprompt: DynamicPrompt, node_id: str) -> dict:
    return dynprompt.get_node(node_id)["inputs"]


def body(dynprompt: DynamicPrompt, start: str, end: str) -> set[str]:
    """The ids of all nodes on a path from `start` to `end`, including both."""
    users: dict[str, set[str]] = {}
    seen, waiting = {end}, [end]
    while waiting:
        node = waiting.pop()
        for source in sources(dynprompt, node):
            users.setdefault(source, set()).add(node)
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    nodes, waiting = {start}, [start]
    while waiting:
        new = users.get(waiting.pop(), set()) - nodes
        nodes |= new
        waiting += new
    return nodes | {end}


def copy_body(
    dynprompt: DynamicPrompt, start: str, end: str, start_inputs: dict, prefix: str
) -> tuple[GraphBuilder, dict]:
    """A copy of the loop's body without its end, whose start gets `start_inputs`; and the end's inputs,
    linked to the copy. The ids are `prefix` and the original id.

    Nodes outside the body are linked to, not copied, so a model is loaded once for all rounds. Every copy
    shows its progress and errors on its original.
    """
    graph = GraphBuilder(prefix)
    copies = {}
    for node in sorted(body(dynprompt, start, end) - {end}):
        copies[node] = graph.node(dynprompt.get_node(node)["class_type"], node)
        copies[node].set_override_display_id(dynprompt.get_display_node_id(node))

    def relinked(node: str) -> dict:
        return {
            key: copies[value[0]].out(value[1]) if is_link(value) and value[0] in copies else value
            for key, value in inputs_of(dynprompt, node).items()
        }

    for node, copy in copies.items():
        for key, value in (start_inputs if node == start else relinked(node)).items():
            copy.set_input(key, value)
    return graph, relinked(end)


def title(dynprompt: DynamicPrompt, node: str, default: str) -> str:
    """The user's title of the original of a node, if the frontend sent one; otherwise `default`."""
    original = dynprompt.get_node(dynprompt.get_display_node_id(node))
    return (original.get("_meta") or {}).get("title") or default


def sources(dynprompt: DynamicPrompt, node: str) -> set[str]:
    """The ids of the nodes that its inputs are linked to."""
    return {value[0] for value in inputs_of(dynprompt, node).values() if is_link(value)}
