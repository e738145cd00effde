"""Refine Step: one round of a refine loop by hand, or inside the loop nodes of core or another pack."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models.judgement.critique import Critique
from .common import graph_copy
from .common.loop_context import (
    LoopContext,
    LoopRun,
    RoundResult,
    best_results,
    reject_unknown_inputs,
    round_in_errors,
)
from .common.results import node_output
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, LoopSocket

NAME = "Refine Step"


class RationalRewardsRefineStep(io.ComfyNode):
    """Observe a round, or read the state of a loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStep",
            display_name=NAME,
            category=CATEGORY,
            description="One round of a refine loop, for loops made with other nodes. With image and "
            "critiques connected, it takes in the round and decides what comes next; with loop alone, it "
            "reads the state of the loop. Once the loop is done, image and critiques are not even computed.",
            search_aliases=["loop", "refine", "while", "iterate", "reward", "best so far"],
            # Refine End hands over a running loop through an input that is not shown.
            accept_all_inputs=True,
            # The clock of a time limit counts within one run of the graph.
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                LoopSocket.Input(
                    "loop",
                    tooltip="From Refine Start, an earlier Refine Step, or the loop node that carries it.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    lazy=True,
                    tooltip="This round's images. Not connected: the loop is only read.",
                ),
                CritiqueSocket.Input(
                    "critiques",
                    optional=True,
                    lazy=True,
                    tooltip="From Critique Image, for this round's images.",
                ),
                io.String.Input(
                    "next_prompt",
                    optional=True,
                    lazy=True,
                    force_input=True,
                    tooltip="The next round's prompt, such as from Revise Prompt. Not connected: the "
                    "critic's refined request.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    lazy=True,
                    tooltip="This round's latents; that of the best image comes out.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    lazy=True,
                    tooltip="This round's masks; that of the best image comes out.",
                ),
            ],
            outputs=[
                LoopSocket.Output(
                    display_name="loop", tooltip="The loop after this round, for the next one."
                ),
                io.String.Output(
                    display_name="prompt",
                    tooltip="The next round's prompt; once the loop is done, the prompt of the best image.",
                ),
                io.Int.Output(
                    display_name="seed",
                    tooltip="The next round's seed; once the loop is done, the seed of the best image.",
                ),
                io.Int.Output(
                    display_name="round",
                    tooltip="Number of the next round; once the loop is done, of the last one.",
                ),
                io.String.Output(
                    display_name="request",
                    tooltip="The request as you wrote it, for Critique Image; it never changes.",
                ),
                io.Boolean.Output(display_name="done", tooltip="True once the loop is done."),
                io.Boolean.Output(
                    display_name="go_on",
                    tooltip="True while another round is due: the condition of most while loops.",
                ),
                io.Image.Output(
                    display_name="image",
                    tooltip="The best image so far. Blocks downstream nodes before the first round.",
                ),
                io.Latent.Output(display_name="latent", tooltip="Its latent, if latent is connected."),
                io.Mask.Output(display_name="mask", tooltip="Its mask, if mask is connected."),
                CritiqueSocket.Output(display_name="critiques", tooltip="Its critique."),
                HistorySocket.Output(
                    display_name="history",
                    tooltip="All rounds so far, with their prompts, seeds and critiques.",
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per round with its scores, and why the loop stopped.",
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, loop: LoopContext, run: LoopRun | None = None, **waiting: object) -> list[str]:
        # inputs that are not connected are not among them
        return [] if loop.state.done else [name for name, value in waiting.items() if value is None]

    @classmethod
    def execute(
        cls,
        loop: LoopContext,
        image: torch.Tensor | None = None,
        critiques: tuple[Critique, ...] | None = None,
        next_prompt: str | None = None,
        latent: dict | None = None,
        mask: torch.Tensor | None = None,
        run: LoopRun | None = None,
        **unknown: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs(NAME, unknown, "run", run, LoopRun)
        dynprompt, result = cls.hidden.dynprompt, RoundResult(image, critiques, next_prompt, latent, mask)
        if run is not None:
            loop = run.observe(loop, dynprompt, result)
            # Refine End waits for all later rounds, and core keeps what a waiting node was given.
            return node_output(cls, dict.fromkeys(cls.RETURN_NAMES, ExecutionBlocker(None)) | {"loop": loop})
        title = graph_copy.title(dynprompt, cls.hidden.unique_id, NAME)
        if (image is None) != (critiques is None):
            raise ValueError(f"{title}: connect both image and critiques, or neither to only read the loop.")
        if image is not None and not loop.state.done:
            with round_in_errors(title, loop):
                loop = loop.observe(dynprompt, result)
        return node_output(cls, _results(loop))


def _results(loop: LoopContext) -> dict[str, Any]:
    state = loop.state
    source = state.best if state.done and state.best else state
    return {
        "loop": loop,
        "prompt": source.prompt,
        "seed": source.seed,
        "round": state.number,
        "request": state.request,
        "done": state.done,
        "go_on": not state.done,
        "history": state,
        "report": loop.report(),
        **best_results(state, NAME),
    }
