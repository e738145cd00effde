"""RationalRewards for ComfyUI: a critic that explains itself, wired into any graph. This file only wires."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .nodes import NODES

WEB_DIRECTORY = "./web"


class RationalRewardsExtension(ComfyExtension):
    """All nodes of the pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)


async def comfy_entrypoint() -> RationalRewardsExtension:
    return RationalRewardsExtension()
