"""Critique Image: pictures and what was asked for in, scores, reasons and a better request out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..rr_models.critics import judging
from ..rr_models.critics.base import Critic
from ..rr_models.critics.cached import CACHED
from ..rr_models.critics.from_trace import WRITTEN
from ..rr_models.critics.options import CRITIQUE_DETAILS
from ..rr_models.judgement import aspect_numbers
from ..rr_models.judgement import critique as data
from ..rr_models.judgement.answer_format import FULL
from ..rr_models.judgement.aspects import RATIONAL_REWARDS
from ..rr_models.judgement.ranking import rank
from ..rr_models.judgement.task import Task
from .common import display
from .common.batches import batch_size
from .common.critique_cache import cached
from .common.inputs import chance_inputs, max_new_tokens_input, score_mode_input
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, CriticSocket, CritiqueSocket, number

TASKS = {"text to image": Task.T2I, "edit": Task.EDIT}
NUMBERS = RATIONAL_REWARDS.edit


class RationalRewardsCritique(io.ComfyNode):
    """Judge pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsCritique",
            display_name="Critique Image",
            category=CATEGORY,
            description="Judges every picture of a batch against the request: a score from 1 (worst) to 4 "
            "(best) per aspect with its reason, and a better request for the next try. The numbers are "
            "those of the batch's best picture; the report covers all.",
            **display.SHOWN_FROM_CACHE,
            hidden=[io.Hidden.dynprompt],
            search_aliases=["reward", "critique", "judge", "score", "aesthetic", "rate image", "VLM"],
            inputs=[
                CriticSocket.Input("critic", tooltip="From Load Critic."),
                io.Image.Input("image", tooltip="The pictures to judge; one critique is written for each."),
                io.String.Input(
                    "request",
                    multiline=True,
                    tooltip="What was asked for: the prompt, or for an edit the instruction. In a refine "
                    "loop connect the request of Refine Start here, not the refined prompt.",
                ),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For edits: the picture before the edit, or a batch of all that went into it. "
                    "With it, Image Faithfulness is judged as well.",
                ),
                io.Combo.Input(
                    "task",
                    options=["auto", *TASKS],
                    default="auto",
                    tooltip="What is judged. auto: an edit when a source_image is connected, else text to "
                    "image.",
                ),
                *chance_inputs(),
                max_new_tokens_input("has no overall score"),
                io.String.Input(
                    "weights",
                    default="",
                    tooltip="How much aspects count in the overall score, such as text_rendering=0.5, "
                    "physical_quality=2. What is not named counts 1; 0 leaves an aspect out of the mean.",
                    optional=True,
                    advanced=True,
                ),
                io.Boolean.Input(
                    "constrained",
                    default=True,
                    tooltip="Keep the critic to the form: headings are set, scores can only be scores, no "
                    "text runs away, so every critique ends and is whole. Off: the critic's own words "
                    "alone; where a score is missing in them, it is asked once more, guided.",
                    optional=True,
                    advanced=True,
                ),
                io.Combo.Input(
                    "detail",
                    options=list(CRITIQUE_DETAILS),
                    default=FULL,
                    tooltip="How much is written. best: scores of all, the whole critique of the best one "
                    "alone. scores: up to the last score, the fastest. critique: with the summary. "
                    "full: a better request for every picture too.",
                    optional=True,
                ),
                score_mode_input(),
                io.Boolean.Input(
                    "use_cache",
                    default=True,
                    tooltip="A picture that was judged before, in the same way by the same model, is not "
                    "judged again, not even after a restart. Off: always judge anew.",
                    optional=True,
                    advanced=True,
                ),
                io.Int.Input(
                    "samples",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="So many passes over each picture, with a chance of their own each: the scores "
                    "are their means, the spread is shown beside them. Takes so many times as long, and "
                    "needs a temperature above 0.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                CritiqueSocket.Output(
                    display_name="critiques", tooltip="One critique per picture, in the batch's order."
                ),
                io.Float.Output(
                    display_name="overall",
                    tooltip="Mean of all aspects that apply, 1 (worst) to 4 (best), of the best picture. "
                    "NaN if the critique is not complete.",
                ),
                *(
                    io.Float.Output(
                        display_name=aspect.key,
                        tooltip=f"{aspect.name}, 1 (worst) to 4 (best): {aspect.question} NaN if not judged.",
                    )
                    for aspect in NUMBERS
                ),
                io.String.Output(
                    display_name="refined_prompt",
                    tooltip="The critic's better request, after the best picture. Empty if it gave none.",
                ),
                io.String.Output(
                    display_name="report", tooltip="All scores and reasons as text, best picture first."
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        critic: Critic,
        image: torch.Tensor,
        request: str,
        source_image: torch.Tensor | None = None,
        task: str = "auto",
        temperature: float = 0.0,
        seed: int = 0,
        max_new_tokens: int = 2048,
        weights: str = "",
        constrained: bool = True,
        detail: str = FULL,
        score_mode: str = WRITTEN,
        use_cache: bool = True,
        samples: int = 1,
    ) -> io.NodeOutput:
        batch_size(image)
        if not request.strip():
            raise ValueError(
                "request is empty: write what the picture should show, so that it can be judged."
            )
        kind = TASKS.get(task) or Task.of(sources=source_image is not None)
        sources = _sources(kind, source_image)
        critiques = tuple(
            judging.try_critique(
                cached(critic, use_cache),
                image,
                request,
                sources,
                kind,
                weights=aspect_numbers.weights(weights),
                on_progress=display.live_progress(critic),
                temperature=temperature,
                seed=seed,
                max_new_tokens=max_new_tokens,
                constrained=constrained,
                detail=detail,
                score_mode=score_mode,
                samples=samples,
            )
        )
        order = rank(critiques)
        best = critiques[order[0]]
        return io.NodeOutput(
            critiques,
            number(best.overall),
            *(
                number(next((a.score for a in best.aspects if a.key == aspect.key), None))
                for aspect in NUMBERS
            ),
            best.refined_request,
            "\n\n---\n\n".join(filter(None, [report(critiques, order), _cached_note(critiques)])),
            ui=display.critiques(critiques, order),
        )


def report(critiques: tuple[data.Critique, ...], order: tuple[int, ...]) -> str:
    """All critiques as text, best first."""
    parts = []
    for index in order:
        head = f"Image {index + 1}: " if len(critiques) > 1 else ""
        parts.append(head + data.report(critiques[index]))
    return "\n\n---\n\n".join(parts)


def _cached_note(critiques: tuple[data.Critique, ...]) -> str:
    """How many were not judged now, if any."""
    known = sum(CACHED in critique.source for critique in critiques)
    return f"{known} of {len(critiques)} critique(s) from the cache." if known else ""


def _sources(kind: Task, source_image: torch.Tensor | None) -> list[torch.Tensor]:
    if not kind.has_source:
        return []
    if source_image is None:
        raise ValueError(
            "source_image is missing: to judge an edit, connect the picture from before the edit."
        )
    batch_size(source_image, "source_image")
    return list(source_image)
