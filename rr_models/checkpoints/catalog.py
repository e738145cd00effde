"""Checkpoints by name: the known ones, those in model folders, and those in the Hugging Face cache.

Nothing here uses the network; download.py does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import model_folder


@dataclass(frozen=True)
class Checkpoint:
    """A published critic, or a model that can serve as one. `size` is the size of its weights in bytes."""

    repository: str
    size: int

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2]

    @property
    def label(self) -> str:
        """What a list shows if the checkpoint is not on this disk."""
        return f"{self.name} ({self.size / 1e9:.1f} GB, not downloaded)"


KNOWN_CHECKPOINTS = (
    Checkpoint("TIGER-Lab/RationalRewards-8B-T2I", 17_534_247_392),
    Checkpoint("TIGER-Lab/RationalRewards-8B-Edit", 17_534_247_392),
    Checkpoint("Qwen/Qwen3-VL-2B-Instruct", 4_255_064_064),
    Checkpoint("Qwen/Qwen3-VL-4B-Instruct", 8_875_631_616),
    Checkpoint("Qwen/Qwen3-VL-8B-Instruct", 17_534_247_392),
)
"""The sizes follow from the models' shapes at two bytes a weight."""


def known_checkpoint(name: str) -> Checkpoint | None:
    """The known checkpoint of that name, repository or label, in any case; None if there is none."""
    if not name:
        return None
    return next((known for known in KNOWN_CHECKPOINTS if _same_model(name, known.repository)), None)


def strip_remark(label: str) -> str:
    """A name without the remark in brackets that lists put after it."""
    return label.partition(" (")[0]


def locate(name: str, available: Mapping[str, Path | None]) -> Path | None:
    """The folder that a saved workflow means by `name`; None if there is none.

    An exact match, or else a name that differs only in its owner being given or not ("TIGER-Lab/X" and "X"),
    so that a workflow finds the same model in another user's folders, in the cache, or after a download.
    """
    if folder := available.get(name):
        return folder
    return next((folder for other, folder in available.items() if folder and _same_model(name, other)), None)


def cached_models() -> dict[str, Path]:
    """Qwen3-VL repositories in the Hugging Face cache: "owner/name" -> the folder of the last revision."""
    from huggingface_hub import constants  # about 0.1 s, so only when it is needed

    models = {}
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        if snapshot := _last_snapshot(folder):
            models[folder.name.removeprefix("models--").replace("--", "/", 1)] = snapshot
    return models


def available_models(roots: Iterable[Path]) -> dict[str, Path | None]:
    """Every model that can be offered by name: those below `roots` (see model_folder.find), those that are
    only in the Hugging Face cache, and the known checkpoints that are in neither (label -> None)."""
    models: dict[str, Path | None] = {**model_folder.find(roots)}
    for name, folder in cached_models().items():
        if locate(name, models) is None:
            models[name] = folder
    return models | {known.label: None for known in KNOWN_CHECKPOINTS if locate(known.name, models) is None}


def _last_snapshot(repository: Path) -> Path | None:
    main = repository / "refs" / "main"
    named = [repository / "snapshots" / main.read_text("utf-8").strip()] if main.is_file() else []
    # a revision that was requested by its commit leaves no ref
    others = sorted(
        repository.glob("snapshots/*"), key=lambda snapshot: snapshot.stat().st_mtime, reverse=True
    )
    return next((snapshot for snapshot in (*named, *others) if model_folder.is_critic(snapshot)), None)


def _same_model(name: str, other: str) -> bool:
    (owner, model), (other_owner, other_model) = _owner_and_model(name), _owner_and_model(other)
    return model == other_model and (owner == other_owner or not owner or not other_owner)


def _owner_and_model(name: str) -> tuple[str, str]:
    owner, _, model = strip_remark(name).casefold().rpartition("/")
    return owner, model
