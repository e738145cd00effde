"""Pick Best: keep the best pictures of a batch, with the latents, masks and critiques that belong to them."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models.aspects import RATIONAL_REWARDS
from ..rr_models.critique import COMPLETE, Critique
from ..rr_models.select import OVERALL, top_k
from .sockets import CATEGORY, CritiqueSocket, batch_size, check_pairs, take_latents, take_masks


class RationalRewardsPickBest(io.ComfyNode):
    """Keep the best pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsPickBest",
            display_name="Pick Best",
            category=CATEGORY,
            description="Keeps the best pictures of a batch by their critiques, best first, and hands on "
            "the rest apart. Pictures whose critique is not complete come last; of equals the earlier one "
            "is kept.",
            search_aliases=["best of n", "select", "filter", "top k", "rank", "reward"],
            inputs=[
                io.Image.Input("image", tooltip="The batch that was judged."),
                CritiqueSocket.Input("critiques", tooltip="From Critique Image, for this very batch."),
                io.Int.Input("count", default=1, min=1, max=4096, tooltip="How many pictures to keep."),
                io.Combo.Input(
                    "by",
                    options=[OVERALL, *(aspect.key for aspect in RATIONAL_REWARDS.edit)],
                    default=OVERALL,
                    tooltip="What decides: the overall score (mean of all aspects that apply), or one "
                    "aspect.",
                ),
                io.Latent.Input(
                    "latent", optional=True, tooltip="The latents of the batch, to be picked along."
                ),
                io.Mask.Input("mask", optional=True, tooltip="The masks of the batch, to be picked along."),
            ],
            outputs=[
                io.Image.Output(display_name="best", tooltip="The pictures kept, best first."),
                io.Image.Output(
                    display_name="rest",
                    tooltip="All others, best first. Nothing runs after it if all are kept.",
                ),
                io.Latent.Output(display_name="latent", tooltip="The latents of the pictures kept."),
                io.Mask.Output(display_name="mask", tooltip="The masks of the pictures kept."),
                CritiqueSocket.Output(
                    display_name="critiques", tooltip="The critiques of the pictures kept."
                ),
                io.String.Output(
                    display_name="indices",
                    tooltip="Places of the pictures kept in the batch, from 0, with commas.",
                ),
                io.String.Output(
                    display_name="report", tooltip="All pictures, best first, one line each, with scores."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        critiques: tuple[Critique, ...],
        count: int = 1,
        by: str = OVERALL,
        latent: dict | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        total = batch_size(image)
        check_pairs(total, critiques)
        if all(critique.status != COMPLETE for critique in critiques):
            note = next((note for critique in critiques for note in critique.notes), critiques[0].status)
            raise ValueError(
                f"critiques: none of the {total} picture(s) could be judged, so there is no best one. The "
                f"critic says: {note}"
            )
        best, rest = top_k(critiques, count, by)
        return io.NodeOutput(
            image[list(best)],
            image[list(rest)] if rest else ExecutionBlocker(None),
            take_latents(latent, best, total)
            if latent is not None
            else ExecutionBlocker("Pick Best: connect its latent input."),
            take_masks(mask, best, total)
            if mask is not None
            else ExecutionBlocker("Pick Best: connect its mask input."),
            tuple(critiques[i] for i in best),
            ", ".join(map(str, best)),
            "\n".join(
                f"{place}. Image {index + 1} ({'kept' if index in best else 'rest'}): "
                f"{critiques[index].scores_line()}"
                for place, index in enumerate((*best, *rest), 1)
            ),
        )
