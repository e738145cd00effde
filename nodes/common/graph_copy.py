"""Repeat a part of the running graph: find the loop's body and copy it for the next round.

Core runs whatever graph a node hands back in its own place ("expansion"), so a loop is a node that ends by
handing back a copy of everything since the loop's start, itself included, until it has seen enough.
"""

from __future__ import annotations

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
        for source in sources(dynprompt, node):
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


def copy_body(
    dynprompt: DynamicPrompt, start: str, end: str, start_inputs: dict, prefix: str
) -> tuple[GraphBuilder, dict]:
    """A copy of the loop's body without its end, whose start gets `start_inputs`; with it the end's inputs,
    linked to the copy. Ids are the nodes' own behind `prefix`.

    Nodes outside the body are not copied but linked to, so a model is loaded once for all rounds. Every copy
    shows its progress and errors on the node it stems from.
    """
    graph = GraphBuilder(prefix)
    nodes = body(dynprompt, start, end) - {end}
    for node in sorted(nodes):
        copy = graph.node(dynprompt.get_node(node)["class_type"], node)
        copy.set_override_display_id(dynprompt.get_display_node_id(node))

    def inputs(of: str) -> dict:
        return {
            key: graph.lookup_node(value[0]).out(value[1]) if is_link(value) and value[0] in nodes else value
            for key, value in inputs_of(dynprompt, of).items()
        }

    for node in nodes:
        for key, value in (start_inputs if node == start else inputs(node)).items():
            graph.lookup_node(node).set_input(key, value)
    return graph, inputs(end)


def title(dynprompt: DynamicPrompt, node: str, name: str) -> str:
    """What the user calls the node the copy stems from, as far as the frontend has told; else `name`."""
    shown = dynprompt.get_node(dynprompt.get_display_node_id(node))
    return (shown.get("_meta") or {}).get("title") or name


def sources(dynprompt: DynamicPrompt, node: str) -> set[str]:
    """The nodes that it is connected to, by its inputs."""
    return {value[0] for value in inputs_of(dynprompt, node).values() if is_link(value)}
