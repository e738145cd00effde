"""Refine End: closes a loop around any generator; rr_models.loop.state makes the decisions.

All nodes between Refine Start and Refine End run again for every round. The loop's state travels as a value
to the copy of Refine Start, so it needs no browser, no global variable and no file.
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
from .common.image_items import ImageItem
from .common.loop_context import (
    END,
    START,
    STEP,
    ImageStore,
    LoopContext,
    LoopRun,
    RoundResult,
    accepted_results,
    best_results,
    reject_unknown_inputs,
)
from .common.results import node_output
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, LoopSocket

log = logging.getLogger(__name__)

NAME = "Refine End"
ROUND_INPUTS = ("loop", "image", "critiques", "next_prompt", "latent", "mask")
"""The inputs about a round, which Refine Step has too."""


class RationalRewardsRefineEnd(io.ComfyNode):
    """Close a refine loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineEnd",
            display_name=NAME,
            category=CATEGORY,
            description="Closes a refine loop: runs all nodes since Refine Start again with a better prompt "
            "until the image is good enough or scores stop improving, and returns the best image of all "
            "rounds.",
            search_aliases=["loop", "refine", "iterate", "reward", "prompt enhance", "best of n"],
            enable_expand=True,
            # Later rounds arrive through an input that is not shown.
            accept_all_inputs=True,
            is_output_node=True,
            # Two equal loops in one graph are still two loops.
            not_idempotent=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                LoopSocket.Input("loop", tooltip="From Refine Start, with no node in between."),
                io.Image.Input(
                    "image", tooltip="This round's images. Of a batch, the best image is the round's result."
                ),
                CritiqueSocket.Input("critiques", tooltip="From Critique Image, for this round's images."),
                io.String.Input(
                    "next_prompt",
                    optional=True,
                    force_input=True,
                    tooltip="The next round's prompt, such as from Revise Prompt. Not connected: the "
                    "critic's refined request.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="This round's latents; that of the best image comes out.",
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="This round's masks; that of the best image comes out."
                ),
                io.Boolean.Input(
                    "save_rounds",
                    default=False,
                    tooltip="Save each round's image, the best image and history.json (prompts, scores, "
                    "critiques) in a new folder output/RationalRewards/<filename_prefix>_<number>.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="refine",
                    tooltip="Name of that folder. A number is added, so nothing is ever overwritten.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The best image of all rounds."),
                io.Latent.Output(display_name="latent", tooltip="Its latent, if latent is connected."),
                io.Mask.Output(display_name="mask", tooltip="Its mask, if mask is connected."),
                io.String.Output(display_name="prompt", tooltip="The prompt it was made from."),
                io.Int.Output(display_name="seed", tooltip="The seed it was made from."),
                CritiqueSocket.Output(display_name="critiques", tooltip="Its critique."),
                HistorySocket.Output(
                    display_name="history", tooltip="All rounds, with their prompts, seeds and critiques."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per round with its scores, and why the loop stopped.",
                ),
                io.Image.Output(
                    display_name="accepted",
                    tooltip="The images that reached the thresholds, at most target_count, in the order in "
                    "which they were made. Blocks downstream nodes if empty.",
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
        **unknown: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs(NAME, unknown, "run", run, LoopRun)
        if run is None:
            run = cls._new_run()
            result = RoundResult(image, critiques, next_prompt, latent, mask)
            loop = run.observe(loop, cls.hidden.dynprompt, result)
        log.info("Refine loop: %s", loop.state.history[-1].line())
        if save_rounds:
            loop = cls._save_round(loop, run.images, filename_prefix)
        loop.shown[:] = [display.loop(loop.state)]
        return cls._results(loop, run) if loop.state.done else cls._next_round(loop, run)

    @classmethod
    def _new_run(cls) -> LoopRun:
        dynprompt, end = cls.hidden.dynprompt, cls.hidden.unique_id
        start = _start_of_loop(dynprompt, end)
        title = graph_copy.title(dynprompt, end, NAME)
        return LoopRun(start, end, GraphBuilder.alloc_prefix(), title, ImageStore())

    @classmethod
    def _next_round(cls, loop: LoopContext, run: LoopRun) -> io.NodeOutput:
        """A copy of the body, a Refine Step that takes in its result, and a Refine End that goes on.

        That End waits until all later rounds are done, and core keeps all inputs of a node that waits. So its
        inputs are small, and the images go through the Step, which is done at once.
        """
        dynprompt, state = cls.hidden.dynprompt, loop.state
        log.info("Refine loop: round %d begins: %s", state.number, state.prompt)
        start_inputs = {"request": state.request, "seed": state.seed, "carried": loop}
        copies, end_inputs = graph_copy.copy_body(
            dynprompt, run.start, run.end, start_inputs, f"{run.prefix}{state.number}."
        )
        round_inputs = {name: value for name, value in end_inputs.items() if name in ROUND_INPUTS}
        step = copies.node(STEP, f"{run.end}.step", **round_inputs, run=run)
        saving = {name: end_inputs[name] for name in ("save_rounds", "filename_prefix") if name in end_inputs}
        end = copies.node(END, run.end, loop=step.out(0), **saving, run=run)
        for node in (step, end):
            node.set_override_display_id(dynprompt.get_display_node_id(run.end))
        outputs = (end.out(slot) for slot in range(len(cls.RETURN_TYPES)))
        return io.NodeOutput(*outputs, expand=copies.finalize(), ui=_ui(loop))

    @classmethod
    def _results(cls, loop: LoopContext, run: LoopRun) -> io.NodeOutput:
        state = run.images.with_images(loop.state)
        best = state.best
        assert best is not None, "a loop ends after its first round at the earliest"
        log.info("Refine loop: best is round %d. %s", best.number, state.stop_text)
        results = {
            "prompt": best.prompt,
            "seed": best.seed,
            "history": state,
            "report": loop.report(),
            **best_results(state, NAME),
            **accepted_results(state, NAME),
        }
        return node_output(cls, results, ui=_ui(loop))

    @classmethod
    def _save_round(cls, loop: LoopContext, images: ImageStore, prefix: str) -> LoopContext:
        """Save the round. If the disk is full, files are missing, but the loop goes on and returns its best
        image."""
        state = loop.state
        try:
            folder = loop.folder or loop_files.new_folder(prefix)
            loop = replace(loop, folder=folder)
            latest = images.latest
            assert latest is not None, "a round has just been observed"
            cls._save(latest, folder / f"round_{state.history[-1].number:02}.png")
            # now and not at the end, so that it exists even if the run is stopped
            if state.best is state.history[-1]:
                cls._save(latest, folder / loop_files.BEST)
            loop_files.save_history(state, folder)
        except OSError as error:
            loop = replace(loop, save_error=f"Not everything could be saved: {error}.")
            log.error("Refine loop: %s", loop.save_error)
        return loop

    @classmethod
    def _save(cls, item: ImageItem, file: Path) -> None:
        loop_files.save_image(item.image[0], file, cls.hidden.prompt, cls.hidden.extra_pnginfo)


def _ui(loop: LoopContext) -> dict:
    """What the node shows. The keys are always the same, because core needs that if a list makes several
    loops of one."""
    ui = {"text": [], "images": [], display.KEY: [loop.shown]}
    if loop.state.done:
        ui["text"].append(loop.report())
        if loop.folder and (best := loop.folder / loop_files.BEST).is_file():
            ui["images"].append(loop_files.as_ui(best))
    return ui


def _start_of_loop(dynprompt: DynamicPrompt, end: str) -> str:
    """The id of the Refine Start that belongs to this end. ValueError if the two do not form a loop."""
    links = graph_copy.inputs_of(dynprompt, end)
    start = links["loop"][0]
    source_type = dynprompt.get_node(start)["class_type"]
    if source_type != START:
        raise ValueError(
            f"loop: it comes from {source_type}, not from Refine Start; connect the two without a node in "
            "between."
        )
    body = graph_copy.body(dynprompt, start, end)
    if links["image"][0] not in body:
        raise ValueError(
            "image does not depend on Refine Start, so every round would make the same image: connect Refine "
            "Start's prompt or seed to your generator."
        )
    if links["critiques"][0] not in body:
        raise ValueError(
            "critiques does not depend on Refine Start, so every round would get the same scores: connect "
            "this round's images to Critique Image."
        )
    return start
