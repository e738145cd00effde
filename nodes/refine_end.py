"""Refine End: closes a loop around any generator, decided by `rr_models.loop_state`.

Whatever lies between Refine Start and Refine End is run again for every round. The loop's state travels as a
value to the copy of Refine Start, so it needs no browser, no global and no file.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from comfy_api.latest import io
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import GraphBuilder

from ..rr_models.judgement.critique import Critique
from .common import display, graph_copy, loop_files
from .common.loop_context import (
    END,
    START,
    STEP,
    ImageStore,
    LoopContext,
    LoopRun,
    Picture,
    accepted,
    or_blocker,
    reject_unknown_inputs,
)
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, LoopSocket

log = logging.getLogger(__name__)

TAKEN = ("loop", "image", "critiques", "next_prompt", "latent", "mask")
"""What Refine End and Refine Step take in of a round."""


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
            # The next round comes as an input that no one should have to see.
            accept_all_inputs=True,
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
        loop: LoopContext,
        image: torch.Tensor | None = None,
        critiques: tuple[Critique, ...] = (),
        next_prompt: str | None = None,
        latent: dict | None = None,
        mask: torch.Tensor | None = None,
        save_rounds: bool = False,
        filename_prefix: str = "refine",
        run: LoopRun | None = None,
        **others: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs("Refine End", others, "run", run, LoopRun)
        dynprompt, unique_id = cls.hidden.dynprompt, cls.hidden.unique_id
        if run is None:
            start = _start_of_loop(dynprompt, unique_id)
            run = LoopRun(
                start,
                unique_id,
                GraphBuilder.alloc_prefix(),
                graph_copy.title(dynprompt, unique_id, "Refine End"),
                ImageStore(),
            )
            loop = run.take(loop, dynprompt, image, critiques, next_prompt, latent, mask)
        state = loop.state
        log.info("Refine loop: %s", state.history[-1].line())
        if save_rounds:
            loop = cls._save_round(loop, run.shelf, filename_prefix)
        loop.shown[:] = [display.loop(state)]
        # the same keys always: core wants them so where a list makes several loops of one
        shown = {"text": [], "images": [], display.KEY: [loop.shown]}
        if not state.done:
            return cls._next_round(loop, run, shown)

        log.info("Refine loop: best is round %d. %s", state.best.number, state.stop_text)
        shown["text"].append(loop.report())
        if loop.folder and (best := loop.folder / "best.png").is_file():
            shown["images"].append(loop_files.as_ui(best))
        state = run.shelf.filled(state)
        return io.NodeOutput(
            state.best_payload.image,
            or_blocker(state.best_payload.latent, "latent"),
            or_blocker(state.best_payload.mask, "mask"),
            state.best.prompt,
            state.best.seed,
            (state.best.critique,),
            state,
            loop.report(),
            *accepted(state),
            ui=shown,
        )

    @classmethod
    def _next_round(cls, loop: LoopContext, run: LoopRun, shown: dict) -> io.NodeOutput:
        """A copy of the body, a Refine Step that takes in what it made, and a Refine End that goes on.

        That End waits until all rounds after its own are done, and core holds on to all inputs of a node that
        waits: so its inputs are small, and the pictures go through the Step, which is done at once.
        """
        dynprompt, state = cls.hidden.dynprompt, loop.state
        log.info("Refine loop: round %d begins: %s", state.number, state.prompt)
        start_inputs = {"request": state.request, "seed": state.seed, "carried": loop}
        copies, end_inputs = graph_copy.copy_body(
            dynprompt, run.start, run.end, start_inputs, f"{run.prefix}{state.number}."
        )
        taken = {name: value for name, value in end_inputs.items() if name in TAKEN}
        step = copies.node(STEP, f"{run.end}.step", **taken, run=run)
        saving = {name: end_inputs[name] for name in ("save_rounds", "filename_prefix") if name in end_inputs}
        end = copies.node(END, run.end, loop=step.out(0), **saving, run=run)
        for node in (step, end):
            node.set_override_display_id(dynprompt.get_display_node_id(run.end))
        outputs = (end.out(index) for index in range(len(cls.RETURN_TYPES)))
        return io.NodeOutput(*outputs, expand=copies.finalize(), ui=shown)

    @classmethod
    def _save_round(cls, loop: LoopContext, shelf: ImageStore, prefix: str) -> LoopContext:
        """Write the round down. A full disk costs the files, not the loop and its best picture."""
        state = loop.state
        try:
            folder = loop.folder or loop_files.new_folder(prefix)
            loop = replace(loop, folder=folder)
            cls._save(shelf.latest, folder / f"round_{state.history[-1].number:02}.png")
            # at once, so that it is there should the run be stopped
            if state.best is state.history[-1]:
                cls._save(shelf.latest, folder / "best.png")
            loop_files.save_history(state, folder)
        except OSError as error:
            loop = replace(loop, unsaved=f"Not everything could be saved: {error}.")
            log.error("Refine loop: %s", loop.unsaved)
        return loop

    @classmethod
    def _save(cls, picture: Picture, file: Path) -> None:
        loop_files.save_picture(picture.image[0], file, cls.hidden.prompt, cls.hidden.extra_pnginfo)


def _start_of_loop(dynprompt: DynamicPrompt, end: str) -> str:
    """The id of the Refine Start that belongs to this end; an error where the loop is not wired as one."""
    links = graph_copy.inputs_of(dynprompt, end)
    start = links["loop"][0]
    between = dynprompt.get_node(start)["class_type"]
    if between != START:
        raise ValueError(
            f"loop: it comes from {between}, not from Refine Start; connect the two without a node in "
            "between."
        )
    body = graph_copy.body(dynprompt, start, end)
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
