"""Tournament: pictures of one request meet two at a time before the critic; the best come out."""

from __future__ import annotations

from functools import partial

import torch
from comfy_api.latest import io

from ..rr_models.critics.base import Critic
from ..rr_models.critics.judging import AUTO
from ..rr_models.critics.pairwise import PairwiseJudge
from ..rr_models.judgement.tournament import FORMATS, KNOCKOUT
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
from .common.pairwise import comparison_input, tie_margin_input
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, CriticSocket

NAME = "Tournament"
ALONG = ("latent", "mask", "prompts", "seeds")


class RationalRewardsTournament(io.ComfyNode):
    """Let pictures meet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        kept = aligned_outputs("the pictures kept", "each picture kept")
        rest = aligned_outputs("the rest", "each of the rest", "rest_")
        return io.Schema(
            node_id="RationalRewardsTournament",
            display_name=NAME,
            category=CATEGORY,
            description="Finds the best of many pictures by showing the critic two at a time, which tells "
            "apart what would get the same score alone. What it will cost shows on the node before it "
            "begins. Each picture keeps its latent, mask, prompt and seed.",
            search_aliases=["reward", "tournament", "knockout", "duel", "pairwise", "best of n", "rank"],
            # All pictures of a list meet each other, and may be of different sizes.
            is_input_list=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                CriticSocket.Input("critic", tooltip="From Load Critic."),
                io.Image.Input("image", tooltip="The pictures: a batch, or a list of any sizes."),
                io.String.Input(
                    "request",
                    multiline=True,
                    tooltip="What was asked for: the prompt, or for an edit the instruction; the same for "
                    "all.",
                ),
                io.Int.Input(
                    "count", default=1, min=1, max=4096, tooltip="How many pictures to keep at most."
                ),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default=KNOCKOUT,
                    tooltip="knockout: the winner goes on; one duel less than pictures, and a few for every "
                    "further place. round robin: everyone meets everyone; surer, and 28 duels for 8 "
                    "pictures.",
                ),
                comparison_input(optional=True),
                tie_margin_input(
                    "Margin, in points of the overall score, up to which a duel is a tie. Of two that tie "
                    "the one that came first goes on.",
                    optional=True,
                ),
                io.Latent.Input("latent", optional=True, tooltip="Their latents, to be picked along."),
                io.Mask.Input("mask", optional=True, tooltip="Their masks, to be picked along."),
                *provenance_inputs(),
                io.Image.Input(
                    "source_image", optional=True, tooltip="For edits: the picture before the edit."
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best", is_output_list=True, tooltip="The pictures kept, best first."
                ),
                io.Image.Output(
                    display_name="rest",
                    is_output_list=True,
                    tooltip="All others. Nothing runs after it if all are kept.",
                ),
                *kept,
                index_output(),
                io.String.Output(
                    display_name="report",
                    is_output_list=True,
                    tooltip="The cost, every duel with its scores, and the order.",
                ),
                *rest,
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        critic: list[Critic],
        image: list[torch.Tensor],
        request: list[str],
        count: list[int],
        format: list[str],
        comparison: list[str] = (AUTO,),
        tie_margin: list[float] = (0.0,),
        latent: list[dict] | None = None,
        mask: list[torch.Tensor] | None = None,
        prompts: list[str] | None = None,
        seeds: list[int] | None = None,
        source_image: list[torch.Tensor] | None = None,
    ) -> io.NodeOutput:
        asked, form = single_value(request, "request"), single_value(format, "format")
        if not asked.strip():
            raise ValueError("request is empty: write what the pictures should show.")
        every = collect(image, None, latent, mask, prompts, seeds)
        sources = [picture for batch in source_image or () for picture in batch]
        judge = PairwiseJudge(
            cached(critic[0]),
            asked,
            sources,
            single_value(comparison, "comparison"),
            single_value(tie_margin, "tie_margin"),
        )
        places = min(single_value(count, "count"), len(every))
        ranking, told = judge.rank(
            [entry.image[0] for entry in every],
            places,
            form,
            announce=partial(tell, node=cls.hidden.unique_id),
            on_progress=node_progress(),
        )
        kept, rest = ranking[:places], ranking[places:]
        single = len(image) > 1  # what came as a list goes out as one
        best, others = (
            outputs(group_items([every[index] for index in part], single), NAME, None)
            for part in (kept, rest)
        )
        order = ", ".join(str(index + 1) for index in kept)
        report = "\n".join([f"{judge.cost(len(every), places, form)}.", *told, f"Kept, best first: {order}."])
        return io.NodeOutput(
            best["image"],
            others["image"],
            *(best[name] for name in ALONG),
            list(kept),
            [report],
            *(others[name] for name in ALONG),
        )
