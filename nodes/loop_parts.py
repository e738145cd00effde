"""What a refine loop carries from round to round: its state, and pictures with all that belongs to them."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models import loop_state
from ..rr_models.critique import Critique
from .sockets import batch_size, check_pairs, join_latents, take_latents, take_masks


@dataclass(frozen=True)
class Carried:
    """What one round hands to the next: the loop's state, the folder its pictures are saved in, why something
    is missing there, when the loop began in which run of the graph, and what Refine End shows. That one all
    rounds share: core keeps what the first round has shown, so those that follow bring it up to date.
    """

    state: loop_state.State
    folder: Path | None = None
    unsaved: str = ""
    began: float = 0.0
    run: Callable[[], object] = lambda: None
    shown: list[dict] = field(default_factory=list)

    def in_run(self, dynprompt: DynamicPrompt) -> Carried:
        """The same, its clock started anew where Refine Start did not run but came out of core's cache."""
        if self.run() is dynprompt:
            return self
        return replace(self, began=time.monotonic(), run=weakref.ref(dynprompt))

    def report(self) -> str:
        return "\n".join(filter(None, [self.state.report(), self.unsaved]))

    def __repr__(self) -> str:
        return repr(self.state)


@dataclass(frozen=True)
class Picture:
    """One candidate with all that belongs to it, each as a batch of one."""

    image: torch.Tensor
    latent: dict | None
    mask: torch.Tensor | None


def candidates(
    image: torch.Tensor, critiques: tuple[Critique, ...], latent: dict | None, mask: torch.Tensor | None
) -> list[Picture]:
    count = batch_size(image)
    check_pairs(count, critiques)
    return [
        Picture(
            image[[i]],
            take_latents(latent, [i], count) if latent is not None else None,
            take_masks(mask, [i], count) if mask is not None else None,
        )
        for i in range(count)
    ]


def accepted(state: loop_state.State) -> tuple:
    """Pictures, latents, masks and critiques of all that was accepted, each as one batch."""
    if not state.accepted:
        return (ExecutionBlocker(None),) * 4
    pictures = [one.kept for one in state.accepted]
    critiques = tuple(one.critique for one in state.accepted)
    if len({picture.image.shape for picture in pictures}) > 1:
        told = "Refine End: the accepted pictures differ in size and make no batch; save_rounds keeps them."
        return (*(ExecutionBlocker(told),) * 3, critiques)
    latents = [picture.latent for picture in pictures]
    masks = [picture.mask for picture in pictures]
    return (
        torch.cat([picture.image for picture in pictures]),
        or_block(None if None in latents else join_latents(latents), "latent"),
        or_block(None if any(mask is None for mask in masks) else torch.cat(masks), "mask"),
        critiques,
    )


def or_block(value: object | None, name: str) -> object:
    return (
        ExecutionBlocker(f"Refine End: connect its {name} input to use its {name} output.")
        if value is None
        else value
    )
