"""Results of a node by the names of its outputs, so that no order is kept by hand."""

from __future__ import annotations

from collections.abc import Mapping

from comfy_api.latest import io


def node_output(node: type[io.ComfyNode], results: Mapping[str, object], **more) -> io.NodeOutput:
    """The results in the order of the node's schema. TypeError unless there is one for every output and no
    other. `more`: further arguments of io.NodeOutput, such as `ui`."""
    names = node.RETURN_NAMES
    if set(results) != set(names):
        missing, unknown = set(names) - set(results), set(results) - set(names)
        raise TypeError(
            f"{node.__name__}: results are missing for {sorted(missing)} and unknown for {sorted(unknown)}."
        )
    return io.NodeOutput(*(results[name] for name in names), **more)
