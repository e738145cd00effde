"""RationalRewards as a library: a critic that explains itself. Knows nothing of ComfyUI, imports nothing
heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .judgement.critique import Critique
from .judgement.verdict import Verdict
from .loop.run import best_of, refine
from .loop.settings import LoopSettings

if TYPE_CHECKING:
    from .critics.local import LocalCritic

__all__ = ["Critique", "LoopSettings", "Verdict", "best_of", "load_critic", "refine"]


def load_critic(folder: Path | str | None = None, **options: Any) -> LocalCritic:
    """The critic in a model folder, with its weights loaded; by default the built-in Shapes critic.

    `options` are those of `critics.local.load`: `device` ("cpu", "cuda", "auto"), `dtype`, `max_pixels` ...
    """
    from .checkpoints.model_folder import SHAPES_CRITIC
    from .critics.local import load

    if folder is None:
        return load(SHAPES_CRITIC, **{"name": "Shapes critic", **options})
    return load(folder, **options)
