"""Repeat a part of the running graph: find the loop's body and copy it for the next round.

Core runs whatever graph a node hands back in its own place ("expansion"), so a loop is a node that ends by
handing back a copy of everything since the loop's start, itself included, until it has seen enough.
"""

from __future__ import annotations

from collections import Counter

from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import GraphBuilder, is_link


def inputs_of(dynprompt: DynamicPrompt, node_id: str) -> dict:
    return dynprompt.get_node(node_id)["inputs"]


def body(dynprompt: DynamicPrompt, start: str, end: str) -> set[str]:
    """All nodes on a way from `start` to `end`, with both ends."""
    users: dict[str, set[str]] = {}
    seen, waiting = {end}, [end]
    while waiting:
        node = waiting.pop()
        for source in _sources(dynprompt, node):
            users.setdefault(source, set()).add(node)
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    found, waiting = {start}, [start]
    while waiting:
        new = users.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found | {end}


def copy_round(
    dynprompt: DynamicPrompt, start: str, end: str, start_inputs: dict
) -> tuple[GraphBuilder, str]:
    """A copy of the loop's body whose start gets `start_inputs`; returned with the name of the end's copy.

    Nodes outside the body are not copied but linked to, so a model is loaded once for all rounds. Every copy
    shows its progress and errors on the node it stems from.
    """
    graph = GraphBuilder()
    nodes = body(dynprompt, start, end)
    names = {node: _name(dynprompt, node) for node in nodes}
    # Nodes of two graphs may share their short name; the builder would make one node of them.
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    names = {node: node if name in shared else name for node, name in names.items()}
    for node in sorted(nodes):
        copy = graph.node(dynprompt.get_node(node)["class_type"], names[node])
        copy.set_override_display_id(dynprompt.get_display_node_id(node))
    for node in nodes:
        copy = graph.lookup_node(names[node])
        for key, value in (start_inputs if node == start else inputs_of(dynprompt, node)).items():
            inside = is_link(value) and value[0] in nodes
            copy.set_input(key, graph.lookup_node(names[value[0]]).out(value[1]) if inside else value)
    return graph, names[end]


def _name(dynprompt: DynamicPrompt, node: str) -> str:
    """The node's id as the user's graph has it, so that ids do not grow with every round.

    The builder makes ids of the form "parent.call.graph.name".
    """
    parent = dynprompt.get_parent_node_id(node)
    if parent is None or not node.startswith(f"{parent}."):
        return node
    return node[len(parent) + 1 :].split(".", 2)[-1]


def _sources(dynprompt: DynamicPrompt, node: str) -> set[str]:
    return {value[0] for value in inputs_of(dynprompt, node).values() if is_link(value)}
