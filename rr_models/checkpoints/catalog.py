"""Checkpoints on the Hugging Face hub: those known by name, and what lies in the hub's cache on this disk.

Nothing here asks the network or imports huggingface_hub; download.py does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import model_folder


@dataclass(frozen=True)
class Checkpoint:
    """A published critic, or a model that can serve as one. `size` is its weights in bytes, as published."""

    repository: str
    size: int

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2]

    @property
    def label(self) -> str:
        """What a list shows where the checkpoint is not on this disk."""
        return f"{self.name} ({self.size / 1e9:.1f} GB, not downloaded)"


KNOWN_CHECKPOINTS = (
    Checkpoint("TIGER-Lab/RationalRewards-8B-T2I", 17_534_247_392),
    Checkpoint("TIGER-Lab/RationalRewards-8B-Edit", 17_534_247_392),
    Checkpoint("Qwen/Qwen3-VL-2B-Instruct", 4_255_064_064),
    Checkpoint("Qwen/Qwen3-VL-4B-Instruct", 8_875_631_616),
    Checkpoint("Qwen/Qwen3-VL-8B-Instruct", 17_534_247_392),
)
"""Sizes follow from the models' shapes at two bytes a weight."""


def known_checkpoint(name: str) -> Checkpoint | None:
    """The known checkpoint of that name, repository or label, in whatever case."""
    return next(
        (known for known in KNOWN_CHECKPOINTS if name and locate(name, {known.repository: Path()})), None
    )


def strip_remark(label: str) -> str:
    """A name without the remark that lists put behind it."""
    return label.partition(" (")[0]


def locate(name: str, found: Mapping[str, Path | None]) -> Path | None:
    """The folder that a saved workflow means by `name`.

    That name itself; else one that differs in having an owner in front or none ("TIGER-Lab/X" and "X"), so
    that a workflow finds the same model in another user's folders, in the hub's cache, or after a download.
    """
    if found.get(name):
        return found[name]
    owner, last = _parts(name)
    for other, path in found.items():
        whose, what = _parts(other)
        if path and what == last and (owner == whose or not owner or not whose):
            return path
    return None


def cache_folder() -> Path:
    """Where the hub's cache lies, by the same rules and variables as in huggingface_hub."""
    home = _variable("XDG_CACHE_HOME", Path("~", ".cache"))
    home = _variable("HF_HOME", Path(home, "huggingface"))
    return _variable("HF_HUB_CACHE", _variable("HUGGINGFACE_HUB_CACHE", Path(home, "hub")))


def cached_models() -> dict[str, Path]:
    """Qwen3-VL repositories in the hub's cache: "owner/name" -> the folder of the revision last asked for."""
    found = {}
    for folder in sorted(cache_folder().glob("models--*--*")):
        if snapshot := _snapshot(folder):
            found[folder.name.removeprefix("models--").replace("--", "/", 1)] = snapshot
    return found


def available_models(roots: Iterable[Path]) -> dict[str, Path | None]:
    """All that can be offered by name: what lies under `roots` (see weights.find), what lies in the hub's
    cache and is not there as well, and the known checkpoints that are neither (label -> None)."""
    offered: dict[str, Path | None] = dict(model_folder.find(roots))
    for name, folder in cached_models().items():
        if locate(name, offered) is None:
            offered[name] = folder
    return offered | {known.label: None for known in KNOWN_CHECKPOINTS if locate(known.name, offered) is None}


def _snapshot(folder: Path) -> Path | None:
    main = folder / "refs" / "main"
    named = [folder / "snapshots" / main.read_text("utf-8").strip()] if main.is_file() else []
    # a revision that was asked for by its commit leaves no name behind
    others = sorted(folder.glob("snapshots/*"), key=lambda snapshot: snapshot.stat().st_mtime, reverse=True)
    return next((snapshot for snapshot in (*named, *others) if model_folder.is_critic(snapshot)), None)


def _parts(name: str) -> tuple[str, str]:
    owner, _, last = strip_remark(name).casefold().rpartition("/")
    return owner, last


def _variable(name: str, otherwise: Path) -> Path:
    value = os.environ[name] if name in os.environ else otherwise
    return Path(os.path.expandvars(os.path.expanduser(value)))
