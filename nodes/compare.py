"""Compare Images: two pictures of one request in, the better one and the reasons out."""

from __future__ import annotations

import logging

import torch
from comfy_api.latest import io
from comfy_execution.graph import ExecutionBlocker

from ..rr_models.critics import judging
from ..rr_models.critics.base import Critic
from ..rr_models.critics.cached import CACHED
from ..rr_models.critics.from_trace import WRITTEN
from ..rr_models.critics.judging import AUTO
from ..rr_models.judgement.answer_format import DETAILS, FULL
from ..rr_models.judgement.critique import report
from ..rr_models.judgement.verdict import B
from .common import display
from .common.batches import batch_size
from .common.critique_cache import cached
from .common.inputs import chance_inputs, max_new_tokens_input, score_mode_input
from .common.pairwise import comparison_input, tie_margin_input
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, CriticSocket, VerdictSocket, number

log = logging.getLogger(__name__)


class RationalRewardsCompare(io.ComfyNode):
    """Compare two pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsCompare",
            display_name="Compare Images",
            category=CATEGORY,
            description="Compares two pictures of one request, aspect by aspect, and passes on the better "
            "one. Critics tend to favour a place, so the pair is shown in both orders and the scores are "
            "averaged.",
            **display.SHOWN_FROM_CACHE,
            hidden=[io.Hidden.dynprompt],
            search_aliases=[
                "reward",
                "compare",
                "A/B",
                "versus",
                "preference",
                "better",
                "winner",
                "pairwise",
            ],
            inputs=[
                CriticSocket.Input("critic", tooltip="From Load Critic."),
                io.Image.Input("image_a", tooltip="One picture."),
                io.Image.Input("image_b", tooltip="The other picture, of any size."),
                io.String.Input(
                    "request",
                    multiline=True,
                    tooltip="What was asked for: the prompt, or for an edit the instruction.",
                ),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For edits: the picture before the edit. With it, Image Faithfulness is compared "
                    "as well.",
                ),
                comparison_input(),
                tie_margin_input("Margin, in points of the overall score, up to which it is a tie."),
                *chance_inputs(),
                max_new_tokens_input("decides nothing"),
                io.Boolean.Input(
                    "constrained",
                    default=True,
                    tooltip="Keep the critic to the form, so that every comparison ends and is whole. Off: "
                    "the critic's own words alone.",
                    optional=True,
                    advanced=True,
                ),
                io.Combo.Input(
                    "detail",
                    options=list(DETAILS),
                    default=FULL,
                    tooltip="How much is written. full: the summary, and one by one a better request too. "
                    "critique: up to the summary. scores: up to the last score or winner, the fastest.",
                    optional=True,
                    advanced=True,
                ),
                io.Boolean.Input(
                    "use_cache",
                    default=True,
                    tooltip="A pair that was compared before, in the same way by the same model, is not "
                    "compared again, not even after a restart. Off: always anew.",
                    optional=True,
                    advanced=True,
                ),
                score_mode_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best",
                    tooltip="The better picture; of a tie, A. Where it could not be told, whatever is "
                    "connected here stops with the reason.",
                ),
                io.String.Output(
                    display_name="winner", tooltip="A, B, tie, or none where it could not be told."
                ),
                io.Float.Output(
                    display_name="score_a",
                    tooltip="Overall score of A, 1 (worst) to 4 (best). NaN if it could not be told.",
                ),
                io.Float.Output(
                    display_name="score_b",
                    tooltip="Overall score of B, 1 (worst) to 4 (best). NaN if it could not be told.",
                ),
                io.Float.Output(
                    display_name="position_bias",
                    tooltip="How many points a picture gained by standing first; 0 is best. NaN unless both "
                    "orders were judged.",
                ),
                io.String.Output(display_name="report", tooltip="All scores and reasons as text."),
                VerdictSocket.Output(display_name="verdict", tooltip="The whole comparison, for Scorecard."),
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        critic: Critic,
        image_a: torch.Tensor,
        image_b: torch.Tensor,
        request: str,
        source_image: torch.Tensor | None = None,
        comparison: str = AUTO,
        tie_margin: float = 0.0,
        temperature: float = 0.0,
        seed: int = 0,
        max_new_tokens: int = 2048,
        constrained: bool = True,
        detail: str = FULL,
        use_cache: bool = True,
        score_mode: str = WRITTEN,
    ) -> io.NodeOutput:
        for name, image in (("image_a", image_a), ("image_b", image_b)):
            if batch_size(image, name) > 1:
                raise ValueError(
                    f"{name} holds {len(image)} pictures: compare one. Pick it with Image From Batch."
                )
        sources = []
        if source_image is not None:
            batch_size(source_image, "source_image")
            sources = list(source_image)
        verdict = judging.compare(
            cached(critic, use_cache),
            image_a[0],
            image_b[0],
            request,
            sources,
            comparison=comparison,
            tie_margin=tie_margin,
            on_progress=display.live_progress(critic),
            temperature=temperature,
            seed=seed,
            max_new_tokens=max_new_tokens,
            constrained=constrained,
            detail=detail,
            score_mode=score_mode,
        )
        told = report(verdict)
        if CACHED in verdict.source:
            told += "\n\n---\n\nFrom the cache."
        best = image_b if verdict.winner == B else image_a
        if verdict.winner is None:
            log.warning("%s could not tell which is better: %s", critic.name, verdict.scores_line())
            best = ExecutionBlocker(f"Compare Images could not tell which is better. {told[:600]}")
        return io.NodeOutput(
            best,
            verdict.winner or "none",
            number(verdict.overall_a),
            number(verdict.overall_b),
            number(verdict.position_bias),
            told,
            verdict,
            ui=display.ui([display.verdict(verdict)]),
        )
