"""Refine Start and Refine End: a loop around any generator, decided by `rr_models.loop_state`.

Whatever lies between the two is run again for every round. The loop's state travels as a value from Refine
End to the copy of Refine Start, so it needs no browser, no global and no file.
"""

from __future__ import annotations

import logging
import time
import weakref
from dataclasses import replace
from pathlib import Path

import torch
from comfy_api.latest import io
from comfy_execution.graph import DynamicPrompt

from ..rr_models import loop_settings, loop_state
from ..rr_models.aspects import BEST, WORST
from ..rr_models.bars import read as read_bars
from ..rr_models.critique import Critique
from ..rr_models.images import thumbnail
from . import face, graph, rounds
from .loop_parts import Carried, Picture, accepted, candidates, or_block
from .sockets import CATEGORY, MAX_SEED, CritiqueSocket, HistorySocket, LoopSocket

log = logging.getLogger(__name__)

START = "RationalRewardsRefineStart"


class RationalRewardsRefineStart(io.ComfyNode):
    """Open a refine loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStart",
            display_name="Refine Start",
            category=CATEGORY,
            description="Opens a refine loop: generate, judge, improve the prompt, again. Connect prompt "
            "and seed to your generator, request to Critique Image, loop to Refine End. All nodes in "
            "between run once per round.",
            search_aliases=["loop", "refine", "iterate", "reward", "prompt enhance", "best of n"],
            # The next round's state comes as an input that no one should have to see.
            accept_all_inputs=True,
            inputs=[
                io.String.Input(
                    "request",
                    multiline=True,
                    tooltip="What the picture should show. The first round's prompt, and what every round "
                    "is judged by.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="Seed of the first round.",
                ),
                io.Int.Input(
                    "rounds", default=4, min=1, max=100, tooltip="Most rounds to run, the first one counted."
                ),
                io.Float.Input(
                    "bar",
                    default=3.0,
                    min=WORST,
                    max=BEST,
                    step=0.1,
                    tooltip="Stop once every aspect that applies reaches this score, 1 (worst) to 4 "
                    "(best). 3 is what the RationalRewards paper uses.",
                ),
                io.Combo.Input(
                    "seed_policy",
                    options=list(loop_settings.SEED_POLICIES),
                    default="fixed",
                    tooltip="fixed: every round has the same seed, only the prompt changes. new: the "
                    f"seed rises by {loop_state.SEED_STEP} each round, so that batches never overlap. new on "
                    "stall: it rises after a round without gain.",
                ),
                io.Int.Input(
                    "patience",
                    default=2,
                    min=0,
                    max=100,
                    tooltip="Stop after this many rounds in a row without gain; 0: never.",
                    advanced=True,
                ),
                io.Float.Input(
                    "min_gain",
                    default=0.05,
                    min=0.0,
                    max=3.0,
                    step=0.01,
                    tooltip="How much the best overall score (1 to 4) must rise for a round to count as a "
                    "gain.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "next_from",
                    options=list(loop_settings.NEXT_FROM),
                    default="best",
                    tooltip="Whose refined request is tried next: that of the best round so far or of the "
                    "latest. If it was tried before with the same seed, that of the other.",
                    advanced=True,
                ),
                io.Int.Input(
                    "want",
                    default=1,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="How many pictures must reach the bar before the loop stops; they come out of "
                    "Refine End's accepted.",
                ),
                io.Combo.Input(
                    "prompt_policy",
                    options=list(loop_settings.PROMPT_POLICIES),
                    default="refined",
                    optional=True,
                    tooltip="refined: each round has a better prompt. as written: the request is the prompt "
                    "of every round and only the seed changes; needs the seed policy new or new on stall.",
                ),
                io.String.Input(
                    "bars",
                    default="",
                    optional=True,
                    tooltip="Bars of single aspects in place of bar, such as text_faithfulness=3.5, "
                    "physical_quality=2.5.",
                    advanced=True,
                ),
                io.Float.Input(
                    "overall_bar",
                    default=0.0,
                    min=0.0,
                    max=BEST,
                    step=0.1,
                    optional=True,
                    tooltip="The overall score must reach this too, 1 (worst) to 4 (best); 0: no bar.",
                    advanced=True,
                ),
                io.Float.Input(
                    "max_minutes",
                    default=0.0,
                    min=0.0,
                    max=10000.0,
                    step=0.5,
                    optional=True,
                    tooltip="Start no round that would end later, even if as quick as the quickest so "
                    "far; 0: no limit. A round that has begun is finished.",
                    advanced=True,
                ),
                io.Int.Input(
                    "failures",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    tooltip="How many rounds that could not be judged are passed over; 0: the first ends the "
                    "loop with the best picture so far.",
                    advanced=True,
                ),
            ],
            # When the loop began counts in this run of the graph only.
            hidden=[io.Hidden.dynprompt],
            outputs=[
                LoopSocket.Output(display_name="loop", tooltip="Connect straight to Refine End."),
                io.String.Output(display_name="prompt", tooltip="This round's prompt, for the generator."),
                io.Int.Output(display_name="seed", tooltip="This round's seed, for the generator."),
                io.Int.Output(display_name="round", tooltip="Number of this round, from 1."),
                io.String.Output(
                    display_name="request",
                    tooltip="The request as you wrote it, for Critique Image: it never changes.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        request: str,
        seed: int,
        rounds: int = 4,
        bar: float = 3.0,
        seed_policy: str = "fixed",
        patience: int = 2,
        min_gain: float = 0.05,
        next_from: str = "best",
        want: int = 1,
        prompt_policy: str = "refined",
        bars: str = "",
        overall_bar: float = 0.0,
        max_minutes: float = 0.0,
        failures: int = 0,
        carried: Carried | None = None,
        **others: object,
    ) -> io.NodeOutput:
        if others or not isinstance(carried, Carried | None):
            raise ValueError(
                f"Refine Start has no input {', '.join(others) or 'carried'}: take it out of the prompt."
            )
        if carried is None:
            settings = loop_settings.Settings(
                rounds,
                bar,
                seed_policy,
                patience,
                min_gain,
                next_from,
                read_bars(bars),
                overall_bar,
                want,
                prompt_policy,
                60 * max_minutes,
                failures,
            )
            run = weakref.ref(cls.hidden.dynprompt)
            carried = Carried(loop_state.start(request, seed, settings), began=time.monotonic(), run=run)
        state = carried.state
        face.tell_round(state)
        return io.NodeOutput(carried, state.prompt, state.seed, state.number, state.request)


class RationalRewardsRefineEnd(io.ComfyNode):
    """Close a refine loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineEnd",
            display_name="Refine End",
            category=CATEGORY,
            description="Closes a refine loop: runs all nodes since Refine Start again with a better "
            "prompt until the picture is good enough or nothing is gained, and puts out the best picture "
            "of all rounds.",
            search_aliases=["loop", "refine", "iterate", "reward", "prompt enhance", "best of n"],
            enable_expand=True,
            is_output_node=True,
            # Two equal loops in one graph are still two loops.
            not_idempotent=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                LoopSocket.Input("loop", tooltip="From Refine Start, with no node in between."),
                io.Image.Input(
                    "image", tooltip="This round's pictures. Of a batch the best one is the round's result."
                ),
                CritiqueSocket.Input("critiques", tooltip="From Critique Image, for this round's pictures."),
                io.String.Input(
                    "next_prompt",
                    optional=True,
                    force_input=True,
                    tooltip="The next round's prompt, such as from Revise Prompt. Left open: the critic's "
                    "refined request.",
                ),
                io.Latent.Input(
                    "latent", optional=True, tooltip="This round's latents; the best picture's comes out."
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="This round's masks; the best picture's comes out."
                ),
                io.Boolean.Input(
                    "save_rounds",
                    default=False,
                    tooltip="Save each round's picture, the best one and history.json (prompts, scores, "
                    "critiques) in a new folder output/RationalRewards/<filename_prefix>_<number>.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="refine",
                    tooltip="Name of that folder; a number is added, so nothing is ever overwritten.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The best picture of all rounds."),
                io.Latent.Output(display_name="latent", tooltip="Its latent, if latent is connected."),
                io.Mask.Output(display_name="mask", tooltip="Its mask, if mask is connected."),
                io.String.Output(display_name="prompt", tooltip="The prompt it was made from."),
                io.Int.Output(display_name="seed", tooltip="The seed it was made from."),
                CritiqueSocket.Output(display_name="critiques", tooltip="Its critique."),
                HistorySocket.Output(
                    display_name="history", tooltip="All rounds with their prompts, seeds and critiques."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per round with its scores, and why the loop stopped.",
                ),
                io.Image.Output(
                    display_name="accepted",
                    tooltip="All pictures that reached the bar, at most as many as wanted, in the order in "
                    "which they came. Nothing runs after it if there is none.",
                ),
                io.Latent.Output(
                    display_name="accepted_latent", tooltip="Their latents, if latent is connected."
                ),
                io.Mask.Output(display_name="accepted_mask", tooltip="Their masks, if mask is connected."),
                CritiqueSocket.Output(display_name="accepted_critiques", tooltip="Their critiques."),
            ],
        )

    @classmethod
    def execute(
        cls,
        loop: Carried,
        image: torch.Tensor,
        critiques: tuple[Critique, ...],
        next_prompt: str | None = None,
        latent: dict | None = None,
        mask: torch.Tensor | None = None,
        save_rounds: bool = False,
        filename_prefix: str = "refine",
    ) -> io.NodeOutput:
        start = _start_of_loop(cls.hidden.dynprompt, cls.hidden.unique_id)
        try:
            pictures = candidates(image, critiques, latent, mask)
        except ValueError as error:
            raise ValueError(f"Refine End, round {loop.state.number}: {error}") from error
        loop = loop.in_run(cls.hidden.dynprompt)
        seconds = time.monotonic() - loop.began
        small = [thumbnail(one.image[0]) for one in pictures]
        state = loop_state.observe(loop.state, critiques, pictures, next_prompt, seconds, small)
        latest = state.history[-1]
        log.info("Refine loop: %s", latest.line())
        carried = replace(loop, state=state, shown=loop.shown if loop.state.history else [])
        if save_rounds:
            carried = cls._save_round(carried, pictures[latest.chosen], filename_prefix)
        carried.shown[:] = [face.loop(state)]
        # the same keys always: core wants them so where a list makes several loops of one
        shown = {"text": [], "images": [], face.KEY: [carried.shown]}
        if not state.done:
            return cls._next_round(carried, start, shown)

        log.info("Refine loop: best is round %d. %s", state.best.number, state.reason)
        shown["text"].append(carried.report())
        if carried.folder and (best := carried.folder / "best.png").is_file():
            shown["images"].append(rounds.as_ui(best))
        return io.NodeOutput(
            state.kept.image,
            or_block(state.kept.latent, "latent"),
            or_block(state.kept.mask, "mask"),
            state.best.prompt,
            state.best.seed,
            (state.best.critique,),
            state,
            carried.report(),
            *accepted(state),
            ui=shown,
        )

    @classmethod
    def _next_round(cls, carried: Carried, start: str, shown: dict) -> io.NodeOutput:
        state = carried.state
        inputs = {"request": state.request, "seed": state.seed, "carried": carried}
        copies, name = graph.copy_round(cls.hidden.dynprompt, start, cls.hidden.unique_id, inputs)
        last = copies.lookup_node(name)
        outputs = (last.out(index) for index in range(len(cls.RETURN_TYPES)))
        return io.NodeOutput(*outputs, expand=copies.finalize(), ui=shown)

    @classmethod
    def _save_round(cls, carried: Carried, picture: Picture, prefix: str) -> Carried:
        """Write the round down. A full disk costs the files, not the loop and its best picture."""
        state = carried.state
        try:
            folder = carried.folder or rounds.new_folder(prefix)
            carried = replace(carried, folder=folder)
            cls._save(picture, folder / f"round_{state.history[-1].number:02}.png")
            # at once, so that it is there should the run be stopped
            if state.best is state.history[-1]:
                cls._save(state.kept, folder / "best.png")
            rounds.save_history(state, folder)
        except OSError as error:
            carried = replace(carried, unsaved=f"Not everything could be saved: {error}.")
            log.error("Refine loop: %s", carried.unsaved)
        return carried

    @classmethod
    def _save(cls, picture: Picture, file: Path) -> None:
        rounds.save_picture(picture.image[0], file, cls.hidden.prompt, cls.hidden.extra_pnginfo)


def _start_of_loop(dynprompt: DynamicPrompt, end: str) -> str:
    """The id of the Refine Start that belongs to this end; an error where the loop is not wired as one."""
    links = graph.inputs_of(dynprompt, end)
    start = links["loop"][0]
    between = dynprompt.get_node(start)["class_type"]
    if between != START:
        raise ValueError(
            f"loop: it comes from {between}, not from Refine Start; connect the two without a node in "
            "between."
        )
    body = graph.body(dynprompt, start, end)
    if links["image"][0] not in body:
        raise ValueError(
            "image does not depend on Refine Start, so every round would show the same picture: "
            "connect Refine Start's prompt or seed to your generator."
        )
    if links["critiques"][0] not in body:
        raise ValueError(
            "critiques does not depend on Refine Start, so every round would get the same scores: connect "
            "this round's pictures to Critique Image."
        )
    return start
