"""Pick Best: keep the best of many pictures, with the latents, masks, prompts and seeds that belong to
them."""

from __future__ import annotations

from functools import partial

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models.critics.base import Critic
from ..rr_models.critics.pairwise import break_ties
from ..rr_models.judgement import aspect_numbers
from ..rr_models.judgement.aspects import RATIONAL_REWARDS
from ..rr_models.judgement.critique import Critique
from ..rr_models.judgement.ranking import DUEL, EARLIER, OVERALL, TIE_BREAKS, RankBy, pick, rank
from .common.critique_cache import cached
from .common.display import tell
from .common.image_items import (
    aligned_outputs,
    collect,
    group_items,
    index_output,
    outputs,
    provenance_inputs,
    single_value,
)
from .common.model_memory import node_progress
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, CriticSocket, CritiqueSocket, number

ALL, EACH = "all images", "each batch"


class RationalRewardsPickBest(io.ComfyNode):
    """Keep the best pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        kept = aligned_outputs("the pictures kept", "each picture kept")
        rest = aligned_outputs("the rest", "each of the rest", "rest_")
        return io.Schema(
            node_id="RationalRewardsPickBest",
            display_name="Pick Best",
            category=CATEGORY,
            description="Keeps the best pictures of a batch or a list by their critiques, best first, and "
            "hands on the rest apart, each with its latent, mask, prompt and seed. What could not be judged "
            "is never kept.",
            search_aliases=["best of n", "select", "filter", "top k", "rank", "reward", "threshold"],
            # A list is chosen among as a whole, and may hold pictures of different sizes.
            is_input_list=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                io.Image.Input("image", tooltip="The pictures that were judged: a batch, or a list."),
                CritiqueSocket.Input("critiques", tooltip="From Critique Image, for these very pictures."),
                io.Int.Input(
                    "count", default=1, min=1, max=4096, tooltip="How many pictures to keep at most."
                ),
                io.Combo.Input(
                    "rank_by",
                    options=[OVERALL, *(aspect.key for aspect in RATIONAL_REWARDS.edit)],
                    default=OVERALL,
                    tooltip="What decides: the overall score (mean of all aspects that apply), or one "
                    "aspect.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="Their latents, to be picked along."),
                io.Mask.Input("mask", optional=True, tooltip="Their masks, to be picked along."),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    optional=True,
                    tooltip="Keep only what scores this or more, 1 (worst) to 4 (best); 0: no threshold. "
                    "Where nothing does, nothing is kept: no picture comes out of best.",
                ),
                io.String.Input(
                    "weights",
                    default="",
                    optional=True,
                    tooltip="How much aspects count in the overall score here, such as text_rendering=0.5, "
                    "physical_quality=2. Empty: as in the critiques.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "tie_break",
                    options=list(TIE_BREAKS),
                    default=EARLIER,
                    optional=True,
                    tooltip="Which of equals is better. earlier first: the one that came first. expected "
                    "score: the one the critic might sooner have given more, by its own probabilities. duel: "
                    "the critic sees both side by side; connect critic.",
                ),
                io.Combo.Input(
                    "scope",
                    options=[ALL, EACH],
                    default=ALL,
                    optional=True,
                    tooltip="Of a list of batches: pick among all their pictures, or from each batch for "
                    "itself.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "as_list",
                    default=False,
                    optional=True,
                    tooltip="Hand the pictures of a batch out one by one, so that each goes on with its own "
                    "prompt, seed and score. What came as a list goes out as a list anyway.",
                    advanced=True,
                ),
                *provenance_inputs(),
                CriticSocket.Input(
                    "critic", optional=True, tooltip="For the tie_break duel: from Load Critic."
                ),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For the tie_break duel of edits: the picture before the edit.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best",
                    is_output_list=True,
                    tooltip="The pictures kept, best first. Where none is, what follows does not run and "
                    "says why.",
                ),
                io.Image.Output(
                    display_name="rest",
                    is_output_list=True,
                    tooltip="All others, best first. Nothing runs after it if all are kept.",
                ),
                *kept[:2],
                CritiqueSocket.Output(
                    display_name="critiques",
                    is_output_list=True,
                    tooltip="The critiques of the pictures kept.",
                ),
                io.String.Output(
                    display_name="report",
                    is_output_list=True,
                    tooltip="All pictures, best first, one line each, with scores.",
                ),
                *kept[2:],
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="The score that ranked each picture kept, as a list. NaN where the aspect does "
                    "not apply.",
                ),
                index_output(),
                *rest[:2],
                CritiqueSocket.Output(
                    display_name="rest_critiques", is_output_list=True, tooltip="The critiques of the rest."
                ),
                *rest[2:],
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        image: list[torch.Tensor],
        critiques: list[tuple[Critique, ...]],
        count: list[int],
        rank_by: list[str],
        latent: list[dict] | None = None,
        mask: list[torch.Tensor] | None = None,
        threshold: list[float] = (0.0,),
        weights: list[str] = ("",),
        tie_break: list[str] = (EARLIER,),
        scope: list[str] = (ALL,),
        as_list: list[bool] = (False,),
        prompts: list[str] | None = None,
        seeds: list[int] | None = None,
        critic: list[Critic] | None = None,
        source_image: list[torch.Tensor] | None = None,
    ) -> io.NodeOutput:
        order = RankBy(
            single_value(rank_by, "rank_by"),
            aspect_numbers.weights(single_value(weights, "weights")),
            single_value(tie_break, "tie_break"),
        )
        if order.tie_break == DUEL and critic is None:
            raise ValueError("tie_break: for a duel the critic has to see the pictures; connect critic.")
        every = collect(image, critiques, latent, mask, prompts, seeds)
        pools = [every]
        single = single_value(as_list, "as_list") or len(image) > 1
        if single_value(scope, "scope") == EACH:
            pools = [[entry for entry in every if entry.batch == batch] for batch in range(len(image))]
            single = single_value(as_list, "as_list")
        sources = [picture for batch in source_image or () for picture in batch]
        columns: dict[str, list] = {output.display_name: [] for output in cls.define_schema().outputs}
        for pool in pools:
            judged = [entry.critique for entry in pool]
            ranked, notes = rank(judged, order), []
            if order.tie_break == DUEL:
                ranked, notes = break_ties(
                    cached(critic[0]),
                    [entry.image[0] for entry in pool],
                    judged,
                    ranked,
                    single_value(count, "count"),
                    order,
                    sources,
                    announce=partial(tell, node=cls.hidden.unique_id),
                    on_progress=node_progress(),
                )
            least = single_value(threshold, "threshold") or None
            picked = pick(judged, single_value(count, "count"), order, least, ranked)
            kept, rest = ([pool[index] for index in part] for part in (picked.kept, picked.rest))
            lines = [
                f"{place}. Image {index + 1} ({'kept' if index in picked.kept else 'rest'}): "
                f"{judged[index].scores_line()}"
                for place, index in enumerate((*picked.kept, *picked.rest), 1)
            ]
            why = "" if kept else _nothing(judged, least)
            report = "\n".join(filter(None, [why, *lines, *notes]))
            best, others = (
                outputs(group_items(part, single), "Pick Best", told)
                for part, told in ((kept, why or None), (rest, None))
            )
            row = {
                "best": best.pop("image"),
                "rest": others.pop("image"),
                **best,
                "report": [report],
                "scores": [number(order.score(entry.critique)) for entry in kept] or [ExecutionBlocker(why)],
                "index": list(picked.kept) or [ExecutionBlocker(why)],
                **{f"rest_{name}": items for name, items in others.items()},
            }
            for name, items in row.items():
                columns[name] += items
        return io.NodeOutput(*columns.values())


def _nothing(critiques: list[Critique], threshold: float | None) -> str:
    """Why no picture was kept."""
    notes = [note for critique in critiques for note in critique.notes]
    scored = [critique for critique in critiques if critique.overall is not None]
    if scored:
        return f"Pick Best keeps none of {len(critiques)} picture(s): none scores {threshold:g} or more."
    return (
        f"Pick Best keeps none of {len(critiques)} picture(s): none could be judged. The critic says: "
        f"{notes[0] if notes else critiques[0].status}"
    )
