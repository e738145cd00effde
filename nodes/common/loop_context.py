"""What a refine loop carries from round to round: its state, and the images that it still needs."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import ExecutionBlocker

from ...rr_models.images import thumbnail
from ...rr_models.loop import state as loop_state
from .candidates import Candidate, Candidates, joined_image

START, STEP, END = "RationalRewardsRefineStart", "RationalRewardsRefineStep", "RationalRewardsRefineEnd"


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
        self,
        dynprompt: DynamicPrompt,
        candidates: Candidates,
        next_prompt: str | None = None,
        payloads: Sequence[object] | None = None,
    ) -> LoopContext:
        """The context after a round. Its state keeps the candidates themselves, or what `payloads` has in
        their place. The clock is set again if Refine Start did not run but came from core's cache."""
        context = self if self.state.history else replace(self, shown=[])
        if self.dynprompt() is not dynprompt:
            context = replace(context, started=time.monotonic(), dynprompt=weakref.ref(dynprompt))
        state = loop_state.observe(
            self.state,
            tuple(candidate.judged for candidate in candidates),
            self.with_provenance(candidates) if payloads is None else payloads,
            next_prompt,
            time.monotonic() - context.started,
            [thumbnail(candidate.pixels[0]) for candidate in candidates],
        )
        return replace(context, state=state)

    def with_provenance(self, candidates: Candidates) -> Candidates:
        """The candidates with the prompt and the seed that this round was made from."""
        made_from = {"prompt": self.state.prompt, "seed": self.state.seed}
        return tuple(replace(candidate, **made_from) for candidate in candidates)

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
        self.images: dict[object, Candidate] = {}
        self.first: torch.Tensor | None = None
        """The best image of the first round."""
        self.latest: Candidate | None = None
        """The best image of the latest round."""

    def observe(
        self, loop: LoopContext, dynprompt: DynamicPrompt, candidates: Candidates, next_prompt: str | None
    ) -> LoopContext:
        """The context after a round; keeps the images that it needs."""
        number = loop.state.number
        made = {(number, index): one for index, one in enumerate(loop.with_provenance(candidates))}
        loop = loop.observe(dynprompt, candidates, next_prompt, list(made))
        self.latest = list(made.values())[loop.state.history[-1].chosen]
        if self.first is None:
            self.first = self.latest.pixels
        needed = {loop.state.best_payload, *(image.payload for image in loop.state.accepted)}
        self.images = {key: one for key, one in (self.images | made).items() if key in needed}
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

    def observe(
        self, loop: LoopContext, dynprompt: DynamicPrompt, candidates: Candidates, next_prompt: str | None
    ) -> LoopContext:
        """The context after a round."""
        with self.errors(loop):
            return self.images.observe(loop, dynprompt, candidates, next_prompt)

    def errors(self, loop: LoopContext) -> AbstractContextManager[None]:
        """Puts the title and the round in front of the message of a ValueError."""
        return round_in_errors(self.title, loop)


@contextmanager
def round_in_errors(title: str, loop: LoopContext) -> Iterator[None]:
    """Puts the node's title and the round in front of the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{title}, round {loop.state.number}: {error}") from error


def accepted_results(state: loop_state.State, node: str) -> dict[str, Any]:
    """The outputs accepted (one batch) and accepted_candidates; blocked if there are none."""
    candidates = tuple(image.payload for image in state.accepted)
    if not candidates:
        return dict.fromkeys(("accepted", "accepted_candidates"), ExecutionBlocker(None))
    try:
        image = joined_image(candidates)
    except ValueError as error:
        image = ExecutionBlocker(f"{node}: accepted: {error} Use accepted_candidates, or save_rounds.")
    return {"accepted": image, "accepted_candidates": candidates}


def reject_unknown_inputs(
    node: str, unknown: Collection[str], hidden: str, value: object, type_: type
) -> None:
    """ValueError if a prompt names inputs that the `node` does not have, or sets the `hidden` one, through
    which only nodes hand a `type_` to each other."""
    if unknown or not isinstance(value, type_ | None):
        raise ValueError(f"{node} has no input {', '.join(unknown) or hidden}: remove it from the prompt.")
