"""refine() and best_of() in plain Python: any generator, any critic."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..critics.base import Critic
from ..critics.judging import try_critique
from ..judgement.critique import Critique
from ..judgement.ranking import rank
from ..judgement.task import Task
from .settings import LoopSettings
from .state import State, end, observe, start
from .stop_reason import StopReason

log = logging.getLogger(__name__)

Generate = Callable[[str, int], Any]
"""(prompt, seed) -> an image, or several candidates; see images.generated_images for the types."""


def refine(
    generate: Generate,
    critic: Critic,
    request: str,
    *,
    seed: int = 0,
    settings: LoopSettings | None = None,
    task: str = "",
    sources: Any = (),
    next_prompt: Callable[[Critique], str] | None = None,
    progress: Callable[[State], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **judging,
) -> State:
    """Generate, critique against the request, generate again with the proposed prompt; keep the best image.

    `critic` is any critic (see critics/base.py). `sources` are the images before an edit; with them `task` is
    "edit", else "t2i". `next_prompt` makes the next prompt from a critique, such as with `revise.revise`; by
    default it is the critique's refined request. `progress` is called after every round; an exception it
    raises reaches the caller. `stop` is called before and after every generation and at every step of the
    critic: True ends the loop. `judging` goes to `judging.critique`: temperature, detail ...

    Of the result, `best_payload` is the best image as `generate` returned it (None if `stop` came before one
    was judged), `best` its round with prompt, seed and critique, `stop` why the loop ended, and `report()`
    a text with one line per round.

    What fails in round 1 is raised. Later, any Exception ends the loop with the best so far; it is logged,
    and `stop` names it. An image that the critic could not judge (CriticError) counts as a failed round,
    see `LoopSettings.max_failed_rounds`.
    """
    state = start(request, seed, settings)
    task = task or Task.of(sources=len(_listed(sources)) > 0)
    on_progress = judging.get("on_progress")

    def heed(*steps: int) -> None:
        if stop is not None and stop():
            raise _Stopped
        if steps and on_progress is not None:
            on_progress(*steps)

    if stop is not None:
        judging["on_progress"] = heed
    began = time.monotonic()
    while not state.done:
        try:
            heed()
            drawn = generate(state.prompt, state.seed)
            heed()
            kept, critiques, small = _judged(critic, drawn, request, task, sources, judging)
            proposal = None
            if next_prompt is not None:
                proposal = next_prompt(critiques[rank(critiques, thresholds=state.settings.thresholds)[0]])
            state = observe(state, critiques, kept, proposal, time.monotonic() - began, small)
        except _Stopped:
            return end(state, StopReason.STOPPED)
        except Exception as error:
            if state.best is None:
                raise
            log.exception("Round %d failed; the best so far is kept", state.number)
            return end(state, StopReason.ROUND_FAILED, f"{type(error).__name__}: {error}")
        if progress is not None:
            progress(state)
    return state


def best_of(
    generate: Generate,
    critic: Critic,
    request: str,
    count: int = 4,
    *,
    threshold: float | None = None,
    **options,
) -> State:
    """The best of `count` images of the request as written, each with a new seed.

    Stops early once every aspect of an image reaches `threshold`; by default that is the best score there is,
    which no other image could beat. An image that could not be judged is skipped. Everything else is
    as for `refine`, whose other options it takes.
    """
    if threshold is None:
        threshold = critic.profile.scale[1]
    settings = LoopSettings(
        rounds=count,
        threshold=threshold,
        seed_policy="new",
        prompt_policy="as written",
        patience=0,
        max_failed_rounds=count,
    )
    return refine(generate, critic, request, settings=settings, **options)


class _Stopped(Exception):
    pass


def _judged(
    critic: Critic, drawn: Any, request: str, task: str, sources: Any, judging: dict
) -> tuple[list, list[Critique], list[bytes]]:
    """The candidates as generated, a critique of each, and a thumbnail of each."""
    # torch takes seconds to import, so it waits until there is an image
    from ..images import generated_images, thumbnail

    made = generated_images(drawn)
    if not made:
        raise ValueError("generate returned no image; it must return at least one.")
    shown, before = (
        [tensor for _, tensor in made],
        [tensor for _, tensor in generated_images(_listed(sources))],
    )
    critiques = try_critique(critic, shown, request, before, task, **judging)
    return [candidate for candidate, _ in made], critiques, [thumbnail(image) for image in shown]


def _listed(sources: Any) -> Sequence[Any]:
    return sources if isinstance(sources, list | tuple) else [sources]
