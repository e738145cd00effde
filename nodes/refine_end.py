"""Refine End: closes a loop around any generator; rr_models.loop.state makes the decisions.

All nodes between Refine Start and Refine End run again for every round. The loop's state travels as a value
to the copy of Refine Start, so it needs no browser, no global variable and no file.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import GraphBuilder

from ..rr_models.critics.base import Critic
from .common import display, graph_copy, loop_files
from .common.candidates import Candidate, Candidates
from .common.loop_context import (
    END,
    STEP,
    ImageStore,
    LoopContext,
    LoopRun,
    accepted_results,
    reject_unknown_inputs,
)
from .common.loop_round import round_inputs, round_result
from .common.loop_wiring import start_of_loop
from .common.results import node_output
from .common.socket_types import CATEGORY, CandidatesSocket, HistorySocket, LoopSocket

log = logging.getLogger(__name__)

NAME = "Refine End"
ROUND_INPUTS = ("loop", "image", "critic", "source_image", "next_prompt")
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
                *round_inputs(),
                io.Boolean.Input(
                    "save_rounds",
                    default=False,
                    optional=True,
                    tooltip="Save each round's image, the best image and history.json (prompts, scores, "
                    "critiques) in a new folder output/RationalRewards/<filename_prefix>_<number>.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="refine",
                    optional=True,
                    tooltip="Name of that folder. A number is added, so nothing is ever overwritten.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The best image of all rounds."),
                CandidatesSocket.Output(
                    display_name="candidates",
                    tooltip="The best image with its critique, prompt and seed, for Unpack Images, Unpack "
                    "Scores, Scorecard and Save Image with Critique.",
                ),
                io.Image.Output(
                    display_name="first", tooltip="The best image of round 1, to compare before and after."
                ),
                io.Image.Output(
                    display_name="accepted",
                    tooltip="The images that reached the thresholds, at most target_count, in the order in "
                    "which they were made. Blocks downstream nodes if empty.",
                ),
                CandidatesSocket.Output(
                    display_name="accepted_candidates",
                    tooltip="The same with their critiques, prompts and seeds.",
                ),
                HistorySocket.Output(
                    display_name="history", tooltip="All rounds, with their prompts, seeds and critiques."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per round with its scores, and why the loop stopped.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        loop: LoopContext,
        image: torch.Tensor | Candidates | None = None,
        critic: Critic | None = None,
        source_image: torch.Tensor | None = None,
        next_prompt: str | None = None,
        save_rounds: bool = False,
        filename_prefix: str = "refine",
        run: LoopRun | None = None,
        **unknown: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs(NAME, unknown, "run", run, LoopRun)
        if run is None:
            run = cls._new_run()
            with run.errors(loop):
                candidates = round_result(loop, image, critic, source_image)
            loop = run.observe(loop, cls.hidden.dynprompt, candidates, next_prompt)
        log.info("Refine loop: %s", loop.state.history[-1].line())
        if save_rounds:
            loop = cls._save_round(loop, run.images, filename_prefix)
        loop.shown[:] = [display.loop(loop.state)]
        return cls._results(loop, run) if loop.state.done else cls._next_round(loop, run)

    @classmethod
    def _new_run(cls) -> LoopRun:
        dynprompt, end = cls.hidden.dynprompt, cls.hidden.unique_id
        start = start_of_loop(dynprompt, end)
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
        return io.NodeOutput(*outputs, expand=copies.finalize(), ui=cls._ui(loop, run))

    @classmethod
    def _results(cls, loop: LoopContext, run: LoopRun) -> io.NodeOutput:
        state = run.images.with_images(loop.state)
        best = state.best
        assert best is not None, "a loop ends after its first round at the earliest"
        log.info("Refine loop: best is round %d. %s", best.number, state.stop_text)
        results = {
            "image": state.best_payload.image,
            "candidates": (state.best_payload,),
            "first": run.images.first,
            "history": state,
            "report": loop.report(),
            **accepted_results(state, NAME),
        }
        return node_output(cls, results, ui=cls._ui(loop, run))

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
    def _save(cls, item: Candidate, file: Path) -> None:
        loop_files.save_image(item.pixels[0], file, cls.hidden.prompt, cls.hidden.extra_pnginfo)

    @classmethod
    def _ui(cls, loop: LoopContext, run: LoopRun) -> dict:
        """What the node shows. The keys are always the same, because core needs that if a list makes several
        loops of one."""
        shown = {"text": [], "images": [], display.KEY: [loop.shown]}
        if not loop.state.done:
            return shown
        shown["text"].append(loop.report())
        if loop.folder and (best := loop.folder / loop_files.BEST).is_file():
            shown["images"].append(loop_files.as_ui(best))
        else:
            best = run.images.with_images(loop.state).best_payload
            shown["images"] += ui.PreviewImage(best.image, cls=cls).as_dict()["images"]
        return shown
