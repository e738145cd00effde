"""Where the nodes cache critiques: in ComfyUI's user folder, out of the browser's reach."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import folder_paths
from comfy.cli_args import args

from ...rr_models.critics.base import Critic
from ...rr_models.critics.cached import CachedCritic
from ...rr_models.critics.disk_cache import DiskCache

_PLACE = ("__rational_rewards", "critiques")  # core serves no folder that begins with "__"


def cached(critic: Critic, use_cache: bool = True) -> Critic:
    """The critic with the cache; without it if not wanted, or if ComfyUI must not write prompts to disk
    (--disable-metadata)."""
    if not use_cache or args.disable_metadata:
        return critic
    return CachedCritic(critic, _store(Path(folder_paths.get_user_directory(), *_PLACE)))


@cache
def _store(folder: Path) -> DiskCache:
    return DiskCache(folder)
