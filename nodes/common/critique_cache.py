"""Where the nodes keep critiques between runs: in ComfyUI's user folder, out of the browser's reach."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import folder_paths
from comfy.cli_args import args

from ...rr_models.critics.cached import CachedCritic
from ...rr_models.critics.disk_cache import DiskCache
from .model_memory import ManagedCritic

_PLACE = ("__rational_rewards", "critiques")  # core serves no folder that begins with "__"


def cached(critic: ManagedCritic, wanted: bool = True) -> ManagedCritic | CachedCritic:
    """The critic with its memory; without, where none is wanted or ComfyUI is to write no prompts to disk
    (--disable-metadata)."""
    if not wanted or args.disable_metadata:
        return critic
    return with_memory(critic, _store(Path(folder_paths.get_user_directory(), *_PLACE)))


def with_memory(critic: ManagedCritic, store: DiskCache) -> CachedCritic:
    """The critic with what is kept in `store`."""
    return CachedCritic(critic, store, critic.critic, critic.patcher.load_device.type)


@cache
def _store(folder: Path) -> DiskCache:
    return DiskCache(folder)
