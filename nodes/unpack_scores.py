"""Unpack Scores: what the critic says about each candidate, as numbers and texts."""

from __future__ import annotations

from comfy_api.latest import io

from ..rr_models.judgement.aspects import RATIONAL_REWARDS
from ..rr_models.judgement.critique import report
from .common.candidates import Candidates, candidates_input
from .common.results import node_output
from .common.socket_types import CATEGORY, number

ASPECTS = RATIONAL_REWARDS.edit
"""The aspects that have an output for their score."""


class RationalRewardsUnpackScores(io.ComfyNode):
    """Take scores and texts out of critiques."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsUnpackScores",
            display_name="Unpack Scores",
            category=CATEGORY,
            description="The critiques of candidates as lists of numbers and texts, one per image, in the "
            "order of the candidates. NaN stands for a score that does not exist.",
            search_aliases=["score", "rating", "numbers", "reward", "critique", "评分", "打分"],
            inputs=[candidates_input("Judged images, from Critique Image and other nodes.")],
            outputs=[
                io.Float.Output(
                    display_name="overall",
                    is_output_list=True,
                    tooltip="Overall scores: mean of all aspects that apply, 1 (worst) to 4 (best). NaN if "
                    "the critique is incomplete.",
                ),
                *(
                    io.Float.Output(
                        display_name=aspect.key,
                        is_output_list=True,
                        tooltip=f"{aspect.name}, 1 (worst) to 4 (best): {aspect.question} NaN if not judged.",
                    )
                    for aspect in ASPECTS
                ),
                io.String.Output(
                    display_name="refined_prompt",
                    is_output_list=True,
                    tooltip="The critic's refined requests. Empty if there is none.",
                ),
                io.String.Output(
                    display_name="report",
                    is_output_list=True,
                    tooltip="All scores and justifications as text.",
                ),
            ],
        )

    @classmethod
    def execute(cls, candidates: Candidates) -> io.NodeOutput:
        critiques = [candidate.judged for candidate in candidates]
        scores = [{aspect.key: aspect.score for aspect in critique.aspects} for critique in critiques]
        results = {
            "overall": [number(critique.overall) for critique in critiques],
            **{aspect.key: [number(by_key.get(aspect.key)) for by_key in scores] for aspect in ASPECTS},
            "refined_prompt": [critique.refined_request for critique in critiques],
            "report": [report(critique) for critique in critiques],
        }
        return node_output(cls, results)
