"""Refine Step: one round of a refine loop by hand, or inside the loop nodes of core or another pack."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models.critics.base import Critic
from .common import graph_copy
from .common.candidates import Candidates
from .common.loop_context import LoopContext, LoopRun, reject_unknown_inputs, round_in_errors
from .common.loop_round import round_inputs, round_result
from .common.results import node_output
from .common.socket_types import CATEGORY, CandidatesSocket, LoopSocket

NAME = "Refine Step"


class RationalRewardsRefineStep(io.ComfyNode):
    """Observe a round, or read the state of a loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStep",
            display_name=NAME,
            category=CATEGORY,
            description="One round of a refine loop, for loops made with other nodes. With image connected, "
            "it takes in the round and decides what comes next; with loop alone, it reads the state of the "
            "loop. Once the loop is done, image is not even computed.",
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
                *round_inputs(optional=True, lazy=True),
            ],
            outputs=[
                LoopSocket.Output(
                    display_name="loop",
                    tooltip="The loop after this round, for the next one; for Scorecard, all rounds so far.",
                ),
                io.String.Output(
                    display_name="prompt",
                    tooltip="The next round's prompt; once the loop is done, the prompt of the best image.",
                ),
                io.Int.Output(
                    display_name="seed",
                    tooltip="The next round's seed; once the loop is done, the seed of the best image.",
                ),
                io.Boolean.Output(
                    display_name="go_on",
                    tooltip="True while another round is due: the condition of most while loops.",
                ),
                io.Image.Output(
                    display_name="image",
                    tooltip="The best image so far. Blocks downstream nodes before the first round.",
                ),
                CandidatesSocket.Output(
                    display_name="candidates",
                    tooltip="The best image so far with its critique, prompt and seed.",
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
        image: torch.Tensor | Candidates | None = None,
        critic: Critic | None = None,
        source_image: torch.Tensor | None = None,
        next_prompt: str | None = None,
        run: LoopRun | None = None,
        **unknown: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs(NAME, unknown, "run", run, LoopRun)
        dynprompt = cls.hidden.dynprompt
        title = run.title if run else graph_copy.title(dynprompt, cls.hidden.unique_id, NAME)
        if run is None and (image is None or loop.state.done):
            return node_output(cls, _results(loop))
        with round_in_errors(title, loop):
            candidates = round_result(loop, image, critic, source_image)
            if run is None:
                return node_output(cls, _results(loop.observe(dynprompt, candidates, next_prompt)))
        loop = run.observe(loop, dynprompt, candidates, next_prompt)
        # Refine End waits for all later rounds, and core keeps what a waiting node was given.
        return node_output(cls, dict.fromkeys(cls.RETURN_NAMES, ExecutionBlocker(None)) | {"loop": loop})


def _results(loop: LoopContext) -> dict[str, Any]:
    state = loop.state
    source = state.best if state.done and state.best else state
    none_yet = ExecutionBlocker(None)
    return {
        "loop": loop,
        "prompt": source.prompt,
        "seed": source.seed,
        "go_on": not state.done,
        "image": state.best_payload.image if state.best else none_yet,
        "candidates": (state.best_payload,) if state.best else none_yet,
        "report": loop.report(),
    }
