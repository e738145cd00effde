"""Judge A vs B: which of two images fits a request better, and why."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models.critics.base import Critic
from ..rr_models.critics.cached import CACHED
from ..rr_models.critics.judging import AUTO, COMPARISONS
from ..rr_models.judgement.answer_format import DETAILS
from ..rr_models.judgement.critique import report as report_of
from ..rr_models.judgement.verdict import B, Verdict
from .common import display
from .common.batches import batch_size, split
from .common.inputs import (
    comparison_input,
    constrained_input,
    critic_input,
    detail_input,
    max_new_tokens_input,
    request_input,
    sampling_inputs,
    score_mode_input,
    tie_margin_input,
    use_cache_input,
)
from .common.judging import ComparedImages, compare
from .common.results import node_output
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, VerdictSocket, number

log = logging.getLogger(__name__)


class RationalRewardsCompare(io.ComfyNode):
    """Compare two images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsCompare",
            display_name="Judge A vs B",
            category=CATEGORY,
            description="Compares two images of one request, aspect by aspect, and passes on the better one. "
            "Critics tend to favour one position, so the pair is shown in both orders and the scores are "
            "averaged.",
            is_output_node=True,
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
                critic_input(),
                io.Image.Input("image_a", tooltip="Image A."),
                io.Image.Input("image_b", tooltip="Image B, of any size."),
                request_input(),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For edits: the image before the edit. Adds the aspect Image Faithfulness.",
                ),
                comparison_input([AUTO, *COMPARISONS], AUTO),
                tie_margin_input("Difference of the overall scores up to which the result is a tie."),
                *sampling_inputs(),
                max_new_tokens_input("has no winner"),
                constrained_input(),
                detail_input(
                    DETAILS,
                    "How much the critic writes. scores: up to the last score or winner, the fastest. "
                    "critique: up to the summary. full: everything; with independent, a refined request, "
                    "too.",
                    advanced=True,
                ),
                use_cache_input("Reuse comparisons already made with the same model and settings."),
                score_mode_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best",
                    tooltip="The better image; A if it is a tie. If the critic could not decide, downstream "
                    "nodes do not run, and a message says why.",
                ),
                io.String.Output(
                    display_name="winner", tooltip="A, B, tie, or none if the critic could not decide."
                ),
                io.Float.Output(
                    display_name="score_a",
                    tooltip="Overall score of A, 1 (worst) to 4 (best). NaN if there is none.",
                ),
                io.Float.Output(
                    display_name="score_b",
                    tooltip="Overall score of B, 1 (worst) to 4 (best). NaN if there is none.",
                ),
                io.Float.Output(
                    display_name="position_bias",
                    tooltip="Points an image gained by being shown first; 0 is best. NaN unless both orders "
                    "were judged.",
                ),
                io.String.Output(display_name="report", tooltip="All scores and justifications as text."),
                VerdictSocket.Output(display_name="verdict", tooltip="The comparison, for Scorecard."),
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
        use_cache: bool = True,
        **options: Any,
    ) -> io.NodeOutput:
        images = (_single_image(image_a, "image_a"), _single_image(image_b, "image_b"))
        sources = split(source_image, "source_image")
        compared = compare(critic, images, request, sources, use_cache, **options)
        report = _report(compared.verdict)
        results = _values(compared) | {"best": _best(compared, report), "report": report}
        return node_output(cls, results, ui=display.ui([display.verdict(compared.verdict)]))


def _single_image(image: torch.Tensor, name: str) -> torch.Tensor:
    if batch_size(image, name) > 1:
        raise ValueError(
            f"{name} holds {len(image)} images, but one can be compared: choose one with Image From Batch."
        )
    return image


def _best(compared: ComparedImages, report: str) -> torch.Tensor | ExecutionBlocker:
    if compared.verdict.winner is None:
        log.warning("Judge A vs B: the critic could not decide: %s", compared.verdict.scores_line())
        return ExecutionBlocker(f"Judge A vs B: the critic could not decide. {report[:600]}")
    return compared.images[compared.verdict.winner == B]


def _values(compared: ComparedImages) -> dict[str, Any]:
    verdict = compared.verdict
    return {
        "winner": verdict.winner or "none",
        "score_a": number(verdict.overall_a),
        "score_b": number(verdict.overall_b),
        "position_bias": number(verdict.position_bias),
        "verdict": compared,
    }


def _report(verdict: Verdict) -> str:
    text = report_of(verdict)
    return f"{text}\n\n---\n\nFrom the cache." if CACHED in verdict.source else text
