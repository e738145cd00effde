"""What a refine loop carries from round to round: its state, and the images that it still needs."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import ExecutionBlocker

from ...rr_models.images import thumbnail
from ...rr_models.judgement.critique import Critique
from ...rr_models.loop import state as loop_state
from .image_items import ImageItem, collect, in_groups, joined

START, STEP, END = "RationalRewardsRefineStart", "RationalRewardsRefineStep", "RationalRewardsRefineEnd"


@dataclass(frozen=True)
class RoundResult:
    """What a round made: its images and critiques, and what is connected of prompt, latent and mask."""

    image: torch.Tensor | None
    critiques: tuple[Critique, ...] | None
    next_prompt: str | None = None
    latent: dict | None = None
    mask: torch.Tensor | None = None

    def items(self) -> list[ImageItem]:
        """The candidates, one item per image. ValueError if the inputs do not fit together."""
        if self.image is None:
            raise ValueError("image is missing: connect the images of the round.")
        latents = None if self.latent is None else [self.latent]
        masks = None if self.mask is None else [self.mask]
        return collect([self.image], [self.critiques or ()], latents, masks)


@dataclass(frozen=True)
class LoopContext:
    """What one round hands to the next.

    `folder` is where the rounds are saved, if they are, and `save_error` why something is missing there. The
    loop `started` at this time.monotonic() in the run of the graph that `dynprompt` refers to. `shown` is
    what Refine End shows: one list for all rounds, because core keeps what the first round showed, and later
    rounds update it.
    """

    state: loop_state.State
    folder: Path | None = None
    save_error: str = ""
    started: float = 0.0
    dynprompt: Callable[[], DynamicPrompt | None] = lambda: None
    shown: list[dict] = field(default_factory=list)

    def observe(
        self, dynprompt: DynamicPrompt, result: RoundResult, payloads: Sequence[object] | None = None
    ) -> LoopContext:
        """The context after a round. Its state keeps the images themselves, or what `payloads` has in their
        place. The clock is set again if Refine Start did not run but came from core's cache."""
        context = self if self.state.history else replace(self, shown=[])
        if self.dynprompt() is not dynprompt:
            context = replace(context, started=time.monotonic(), dynprompt=weakref.ref(dynprompt))
        items = result.items()
        state = loop_state.observe(
            self.state,
            result.critiques or (),
            items if payloads is None else payloads,
            result.next_prompt,
            time.monotonic() - context.started,
            [thumbnail(item.image[0]) for item in items],
        )
        return replace(context, state=state)

    def report(self) -> str:
        return "\n".join(filter(None, [self.state.report(), self.save_error]))

    def __repr__(self) -> str:
        return repr(self.state)


class ImageStore:
    """The images of one loop that are still needed, for all its rounds.

    Core keeps what every round was given until the whole prompt is done. So a running loop's state holds keys
    of this store, not images.
    """

    def __init__(self) -> None:
        self.images: dict[object, ImageItem] = {}
        self.latest: ImageItem | None = None
        """The best image of the latest round."""

    def observe(self, loop: LoopContext, dynprompt: DynamicPrompt, result: RoundResult) -> LoopContext:
        """The context after a round; keeps the images that it needs."""
        items = {(loop.state.number, index): item for index, item in enumerate(result.items())}
        loop = loop.observe(dynprompt, result, list(items))
        self.latest = list(items.values())[loop.state.history[-1].chosen]
        needed = {loop.state.best_payload, *(image.payload for image in loop.state.accepted)}
        self.images = {key: item for key, item in (self.images | items).items() if key in needed}
        return loop

    def with_images(self, state: loop_state.State) -> loop_state.State:
        """The state with the images in place of their keys."""
        return replace(
            state,
            best_payload=self.images[state.best_payload],
            accepted=tuple(replace(image, payload=self.images[image.payload]) for image in state.accepted),
        )


@dataclass(frozen=True)
class LoopRun:
    """One run of a loop: the ids of its two ends, the prefix of its copies' ids, its title in error messages,
    its images."""

    start: str
    end: str
    prefix: str
    title: str
    images: ImageStore

    def observe(self, loop: LoopContext, dynprompt: DynamicPrompt, result: RoundResult) -> LoopContext:
        """The context after a round."""
        with round_in_errors(self.title, loop):
            return self.images.observe(loop, dynprompt, result)


@contextmanager
def round_in_errors(title: str, loop: LoopContext) -> Iterator[None]:
    """Puts the node's title and the round in front of the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{title}, round {loop.state.number}: {error}") from error


def accepted_results(state: loop_state.State, node: str) -> dict[str, Any]:
    """The outputs accepted, accepted_latent, accepted_mask and accepted_critiques: each one batch of all
    accepted images."""
    items = [image.payload for image in state.accepted]
    critiques = tuple(image.critique for image in state.accepted)
    if len({item.image.shape for item in items}) > 1:
        reason = f"{node}: the accepted images differ in size and cannot be one batch; use save_rounds."
        names = ("accepted", "accepted_latent", "accepted_mask")
        return dict.fromkeys(names, ExecutionBlocker(reason)) | {"accepted_critiques": critiques}
    results = joined(in_groups(items, singly=False), node)
    return {
        "accepted": results["image"][0],
        "accepted_latent": results["latent"][0],
        "accepted_mask": results["mask"][0],
        "accepted_critiques": critiques or ExecutionBlocker(None),
    }


def reject_unknown_inputs(
    node: str, unknown: Collection[str], hidden: str, value: object, type_: type
) -> None:
    """ValueError if a prompt names inputs that the `node` does not have, or sets the `hidden` one, through
    which only nodes hand a `type_` to each other."""
    if unknown or not isinstance(value, type_ | None):
        raise ValueError(f"{node} has no input {', '.join(unknown) or hidden}: remove it from the prompt.")


def best_results(state: loop_state.State, node: str) -> dict[str, Any]:
    """The outputs image, latent, mask and critiques for the best image so far; blocked before round 1."""
    if state.best is None:
        return dict.fromkeys(("image", "latent", "mask", "critiques"), ExecutionBlocker(None))
    results = joined([[state.best_payload]], node)
    values = {name: results[name][0] for name in ("image", "latent", "mask")}
    return values | {"critiques": (state.best.critique,)}
