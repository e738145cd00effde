"""Critique Image: judge images against a request: scores, justifications and a refined request."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..rr_models.critics.base import Critic
from ..rr_models.critics.cached import CACHED
from ..rr_models.critics.options import CRITIQUE_DETAILS
from ..rr_models.judgement import aspect_numbers
from ..rr_models.judgement import critique as data
from ..rr_models.judgement.ranking import rank
from ..rr_models.judgement.task import Task
from .common import display
from .common.batches import split
from .common.candidates import Candidates, image_or_candidates_input
from .common.inputs import (
    constrained_input,
    critic_input,
    detail_input,
    max_new_tokens_input,
    request_input,
    sampling_inputs,
    score_mode_input,
    use_cache_input,
    weights_input,
)
from .common.judging import judge
from .common.results import node_output
from .common.round_errors import current_round, with_round_in_errors
from .common.socket_types import CATEGORY, CandidatesSocket, number

AUTO = "auto"
TASKS = {"text to image": Task.T2I, "edit": Task.EDIT}


class RationalRewardsCritique(io.ComfyNode):
    """Judge images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsCritique",
            display_name="Critique Image",
            category=CATEGORY,
            description="Judges every image of a batch against the request: a score from 1 (worst) to 4 "
            "(best) with a justification for each aspect, and a refined request for the next try. The number "
            "outputs describe the best image of the batch; the report covers all.",
            is_output_node=True,
            hidden=[io.Hidden.dynprompt],
            search_aliases=["reward", "critique", "judge", "score", "aesthetic", "rate image", "VLM"],
            inputs=[
                critic_input(),
                image_or_candidates_input("The images to judge; each one gets its own critique."),
                request_input(
                    " In a refine loop, connect the request of Refine Start here, not the refined prompt."
                ),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For edits: the image before the edit, or a batch of all images that went into "
                    "it. Adds the aspect Image Faithfulness.",
                ),
                io.Combo.Input(
                    "task",
                    options=[AUTO, *TASKS],
                    default=AUTO,
                    tooltip="What to judge. auto: an edit if source_image is connected, otherwise text to "
                    "image.",
                    advanced=True,
                ),
                *sampling_inputs(),
                max_new_tokens_input("has no overall score"),
                weights_input("Aspects not named count 1; 0 excludes an aspect."),
                constrained_input(" If a score is missing, it is asked for again, constrained."),
                detail_input(
                    CRITIQUE_DETAILS,
                    "How much the critic writes. scores: up to the last score, the fastest. critique: up to "
                    "the summary. full: a refined request for every image, too. best: scores of all images, "
                    "the full critique of the best one.",
                ),
                score_mode_input(),
                use_cache_input("Reuse critiques of images already judged with the same model and settings."),
                io.Int.Input(
                    "samples",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Number of sampled critiques per image; scores are averaged, and their standard "
                    "deviation is shown. Takes this many times as long, and needs a temperature above 0.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                CandidatesSocket.Output(
                    display_name="candidates",
                    tooltip="The images with their critiques, for Pick Best, Reward Gate, Revise Prompt, "
                    "Refine End, Scorecard, Save Image with Critique and Unpack Scores.",
                ),
                io.Float.Output(
                    display_name="overall",
                    tooltip="Overall score of the best image: mean of all aspects that apply, 1 (worst) to 4 "
                    "(best). NaN if the critique is incomplete.",
                ),
                io.String.Output(
                    display_name="refined_prompt",
                    tooltip="The critic's refined request for the best image. Empty if there is none.",
                ),
                io.String.Output(
                    display_name="report", tooltip="All scores and justifications as text, best image first."
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        critic: Critic,
        image: torch.Tensor | Candidates,
        request: str,
        source_image: torch.Tensor | None = None,
        task: str = AUTO,
        weights: str = "",
        use_cache: bool = True,
        **options: Any,
    ) -> io.NodeOutput:
        sources = _sources(task, source_image)
        options |= {
            "task": TASKS.get(task) or Task.of(sources=bool(sources)),
            "weights": aspect_numbers.weights(weights),
        }
        candidates = judge(critic, image, request, sources, use_cache, **options)
        critiques = [candidate.judged for candidate in candidates]
        order = rank(critiques)
        results = {
            "candidates": candidates,
            "overall": number(critiques[order[0]].overall),
            "refined_prompt": critiques[order[0]].refined_request,
            "report": report(critiques, order),
        }
        return node_output(cls, results, ui=display.critiques(critiques, order, current_round(cls)))


def _sources(task: str, source_image: torch.Tensor | None) -> list[torch.Tensor]:
    """The images before the edit; none for other tasks."""
    is_edit = TASKS.get(task) == Task.EDIT
    if is_edit and source_image is None:
        raise ValueError("source_image is missing: to judge an edit, connect the image before the edit.")
    return split(source_image, "source_image") if is_edit or task == AUTO else []


def report(critiques: list[data.Critique], order: tuple[int, ...]) -> str:
    """All critiques as text, best first, and how many came from the cache."""
    parts = []
    for index in order:
        title = f"Image {index + 1}: " if len(critiques) > 1 else ""
        parts.append(title + data.report(critiques[index]))
    if cache_hits := sum(CACHED in critique.source for critique in critiques):
        parts.append(f"{cache_hits} of {len(critiques)} critique(s) from the cache.")
    return "\n\n---\n\n".join(parts)
