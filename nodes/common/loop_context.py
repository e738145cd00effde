"""What a refine loop carries from round to round: its state, and pictures with all that belongs to them."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import ExecutionBlocker

from ...rr_models.images import thumbnail
from ...rr_models.judgement.critique import Critique
from ...rr_models.loop import state as loop_state
from .batches import batch_size, check_pairs, join_latents, take_latents, take_masks

START, STEP, END = "RationalRewardsRefineStart", "RationalRewardsRefineStep", "RationalRewardsRefineEnd"


@dataclass(frozen=True)
class LoopContext:
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

    def observe(
        self,
        dynprompt: DynamicPrompt,
        pictures: list[Picture],
        critiques: tuple[Critique, ...],
        next_prompt: str | None,
        keep: list | None = None,
    ) -> LoopContext:
        """The next state, which keeps the pictures, or what `keep` has in their place. The clock starts anew
        where Refine Start did not run but came out of the cache."""
        first = self if self.state.history else replace(self, shown=[])
        if self.run() is not dynprompt:
            first = replace(first, began=time.monotonic(), run=weakref.ref(dynprompt))
        seconds = time.monotonic() - first.began
        small = [thumbnail(one.image[0]) for one in pictures]
        keep = pictures if keep is None else keep
        state = loop_state.observe(self.state, critiques, keep, next_prompt, seconds, small)
        return replace(first, state=state)

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


class ImageStore:
    """The pictures of one loop that are still wanted, for all its rounds together.

    Core keeps what every round was given until the whole prompt is done; so rounds carry places on the shelf,
    not pictures.
    """

    def __init__(self) -> None:
        self.pictures: dict[object, Picture] = {}
        self.latest: Picture | None = None
        """The latest round's result."""

    def observe(
        self,
        loop: LoopContext,
        dynprompt: DynamicPrompt,
        pictures: list[Picture],
        critiques: tuple[Critique, ...],
        next_prompt: str | None,
    ) -> LoopContext:
        number = loop.state.number
        places = {(number, i): picture for i, picture in enumerate(pictures)}
        loop = loop.observe(dynprompt, pictures, critiques, next_prompt, list(places))
        self.latest = pictures[loop.state.history[-1].chosen]
        wanted = {loop.state.best_payload, *(image.payload for image in loop.state.accepted)}
        self.pictures = {key: one for key, one in (self.pictures | places).items() if key in wanted}
        return loop

    def filled(self, state: loop_state.State) -> loop_state.State:
        """The state with pictures in place of places."""
        return replace(
            state,
            best_payload=self.pictures[state.best_payload],
            accepted=tuple(replace(image, payload=self.pictures[image.payload]) for image in state.accepted),
        )


@dataclass(frozen=True)
class LoopRun:
    """One running of a loop: its two ends, how ids of copies begin, what errors call it, its pictures."""

    start: str
    end: str
    prefix: str
    title: str
    shelf: ImageStore

    def take(
        self,
        loop: LoopContext,
        dynprompt: DynamicPrompt,
        image: torch.Tensor,
        critiques: tuple[Critique, ...],
        next_prompt: str | None,
        latent: dict | None,
        mask: torch.Tensor | None,
    ) -> LoopContext:
        """What comes of a round's pictures and critiques."""
        with named(self.title, loop):
            pictures = candidates(image, critiques, latent, mask)
            return self.shelf.observe(loop, dynprompt, pictures, critiques, next_prompt)


@contextmanager
def named(title: str, loop: LoopContext) -> Iterator[None]:
    """What is wrong with a round's inputs names the node and the round."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{title}, round {loop.state.number}: {error}") from error


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
    pictures = [image.payload for image in state.accepted]
    critiques = tuple(one.critique for one in state.accepted)
    if len({picture.image.shape for picture in pictures}) > 1:
        told = "Refine End: the accepted pictures differ in size and make no batch; save_rounds keeps them."
        return (*(ExecutionBlocker(told),) * 3, critiques)
    latents = [picture.latent for picture in pictures]
    masks = [picture.mask for picture in pictures]
    return (
        torch.cat([picture.image for picture in pictures]),
        or_blocker(None if None in latents else join_latents(latents), "latent"),
        or_blocker(None if any(mask is None for mask in masks) else torch.cat(masks), "mask"),
        critiques,
    )


def reject_unknown_inputs(node: str, others: dict, hidden: str, value: object, kind: type) -> None:
    """ValueError where a prompt names an input that the `node` has not, or fills the `hidden` one, in which
    only nodes hand a `kind` to each other."""
    if others or not isinstance(value, kind | None):
        raise ValueError(f"{node} has no input {', '.join(others) or hidden}: take it out of the prompt.")


def or_blocker(value: object | None, name: str, node: str = "Refine End") -> object:
    return (
        ExecutionBlocker(f"{node}: connect its {name} input to use its {name} output.")
        if value is None
        else value
    )
