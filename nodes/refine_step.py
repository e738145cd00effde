"""Refine Step: one round of a refine loop by hand, or inside another pack's or core's own loop nodes."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models.judgement.critique import Critique
from .common import graph_copy
from .common.loop_context import LoopContext, LoopRun, candidates, named, or_blocker, reject_unknown_inputs
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, LoopSocket


class RationalRewardsRefineStep(io.ComfyNode):
    """Take in a round, or read where a loop stands."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStep",
            display_name="Refine Step",
            category=CATEGORY,
            description="One round of a refine loop, for loops made by other nodes. With image and critiques "
            "connected it takes the round in and decides what comes next; with loop alone it reads where the "
            "loop stands. Once the loop is done, image and critiques are not even made.",
            search_aliases=["loop", "refine", "while", "iterate", "reward", "best so far"],
            # Refine End hands it a running loop in an input that no one should have to see.
            accept_all_inputs=True,
            # The clock of a time budget counts in this run of the graph only.
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
                    tooltip="This round's pictures. Left open: the loop is only read.",
                ),
                CritiqueSocket.Input(
                    "critiques",
                    optional=True,
                    lazy=True,
                    tooltip="From Critique Image, for this round's pictures.",
                ),
                io.String.Input(
                    "next_prompt",
                    optional=True,
                    lazy=True,
                    force_input=True,
                    tooltip="The next round's prompt, such as from Revise Prompt. Left open: the critic's "
                    "refined request.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    lazy=True,
                    tooltip="This round's latents; the best one comes out.",
                ),
                io.Mask.Input(
                    "mask", optional=True, lazy=True, tooltip="This round's masks; the best one comes out."
                ),
            ],
            outputs=[
                LoopSocket.Output(
                    display_name="loop", tooltip="Where the loop stands now, for the next round."
                ),
                io.String.Output(
                    display_name="prompt",
                    tooltip="The next round's prompt; once done, the prompt of the best picture.",
                ),
                io.Int.Output(
                    display_name="seed", tooltip="The next round's seed; once done, that of the best picture."
                ),
                io.Int.Output(display_name="round", tooltip="Number of the next round, or of the last one."),
                io.String.Output(
                    display_name="request",
                    tooltip="The request as you wrote it, for Critique Image: it never changes.",
                ),
                io.Boolean.Output(display_name="done", tooltip="True once no further round is due."),
                io.Boolean.Output(
                    display_name="go_on",
                    tooltip="True while another round is due: the condition of most while loops.",
                ),
                io.Image.Output(
                    display_name="image",
                    tooltip="The best picture so far. Nothing runs after it before the first round.",
                ),
                io.Latent.Output(display_name="latent", tooltip="Its latent, if latent is connected."),
                io.Mask.Output(display_name="mask", tooltip="Its mask, if mask is connected."),
                CritiqueSocket.Output(display_name="critiques", tooltip="Its critique."),
                HistorySocket.Output(
                    display_name="history", tooltip="All rounds so far with prompts, seeds and critiques."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per round with its scores, and why the loop stopped, if it did.",
                ),
            ],
        )

    @classmethod
    def check_lazy_status(cls, loop: LoopContext, run: LoopRun | None = None, **waiting: object) -> list[str]:
        # what is not connected is not among them
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
        **others: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs("Refine Step", others, "run", run, LoopRun)
        dynprompt = cls.hidden.dynprompt
        if run is not None:
            loop = run.take(loop, dynprompt, image, critiques, next_prompt, latent, mask)
            # Refine End waits for all later rounds, and core holds on to what a waiting node is given
            return io.NodeOutput(loop, *(ExecutionBlocker(None),) * (len(cls.RETURN_TYPES) - 1))
        name = graph_copy.title(dynprompt, cls.hidden.unique_id, "Refine Step")
        if (image is None) != (critiques is None):
            raise ValueError(
                f"{name}: connect image and critiques, or neither of them to read the loop only."
            )
        if image is not None and not loop.state.done:
            with named(name, loop):
                pictures = candidates(image, critiques, latent, mask)
                loop = loop.observe(dynprompt, pictures, critiques, next_prompt)
        return cls._outputs(loop)

    @classmethod
    def _outputs(cls, loop: LoopContext) -> io.NodeOutput:
        state, best = loop.state, loop.state.best
        now, so_far = state, (ExecutionBlocker(None),) * 4
        if best is not None:
            now = best if state.done else state
            latent, mask = (
                or_blocker(getattr(state.best_payload, name), name, "Refine Step")
                for name in ("latent", "mask")
            )
            so_far = state.best_payload.image, latent, mask, (best.critique,)
        status = state.number, state.request, state.done, not state.done
        return io.NodeOutput(loop, now.prompt, now.seed, *status, *so_far, state, loop.report())
