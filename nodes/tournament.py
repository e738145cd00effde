"""Tournament: rank images of one request by pairwise comparison and select the best."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..rr_models.critics.base import Critic
from ..rr_models.critics.judging import AUTO, COMPARISONS
from ..rr_models.critics.pairwise import PairwiseJudge
from ..rr_models.judgement.tournament import FORMATS, KNOCKOUT
from .common import display
from .common.batches import split
from .common.candidates import (
    Candidates,
    as_candidates,
    image_or_candidates_input,
    index_output,
    scalar_inputs,
    selected_outputs,
    selection_results,
)
from .common.critique_cache import cached
from .common.inputs import comparison_input, count_input, critic_input, request_input, tie_margin_input
from .common.model_memory import node_progress
from .common.results import node_output
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY

NAME = "Tournament"


class RationalRewardsTournament(io.ComfyNode):
    """Select the best images by comparing them in pairs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsTournament",
            display_name=NAME,
            category=CATEGORY,
            description="Finds the best of many images by showing the critic two at a time, which separates "
            "images that would get the same score alone. The node shows the cost before it starts.",
            search_aliases=[
                "reward",
                "tournament",
                "knockout",
                "comparison",
                "pairwise",
                "best of n",
                "rank",
            ],
            # All images of a list compete with each other, and may differ in size.
            is_input_list=True,
            is_output_node=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                critic_input(),
                image_or_candidates_input("The images: a batch, or a list of any sizes."),
                request_input(" It is the same for all images."),
                count_input("Maximum number of images to select."),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default=KNOCKOUT,
                    tooltip="knockout: the winner advances; one comparison fewer than images, and a few for "
                    "every further place. round robin: every image meets every other; more reliable, but 28 "
                    "comparisons for 8 images.",
                ),
                comparison_input([AUTO, *COMPARISONS], AUTO, optional=True),
                tie_margin_input(
                    "Difference of the overall scores up to which a comparison is a tie. Of two tied images "
                    "the earlier one advances.",
                    optional=True,
                ),
                io.Image.Input(
                    "source_image", optional=True, tooltip="For edits: the image before the edit."
                ),
            ],
            outputs=[
                *selected_outputs("best", "The selected images, best first."),
                *selected_outputs("rest", "All other images."),
                index_output(),
                io.String.Output(
                    display_name="report",
                    is_output_list=True,
                    tooltip="The cost, every comparison with its scores, and the order.",
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    @scalar_inputs("critic", "request", "count", "format", "comparison", "tie_margin")
    def execute(
        cls,
        critic: Critic,
        image: list[torch.Tensor | Candidates],
        request: str,
        count: int,
        format: str,
        comparison: str = AUTO,
        tie_margin: float = 0.0,
        source_image: list[torch.Tensor] | None = None,
    ) -> io.NodeOutput:
        items = [one for batch in image for one in as_candidates(batch)]
        sources = [source for batch in source_image or () for source in split(batch, "source_image")]
        sources = sources or items[0].sources
        judge = PairwiseJudge(cached(critic), request, sources, comparison, tie_margin)
        places = min(count, len(items))
        ranking, lines = cls._rank(judge, [item.pixels[0] for item in items], places, format)
        selected = ranking[:places]
        cost = judge.cost(len(items), places, format)
        order = ", ".join(str(index + 1) for index in selected)
        results = {
            **selection_results(items, selected, ranking[places:], singly=len(image) > 1),
            "report": ["\n".join([f"{cost}.", *lines, f"Selected, best first: {order}."])],
        }
        return node_output(cls, results)

    @classmethod
    def _rank(
        cls, judge: PairwiseJudge, images: list[torch.Tensor], places: int, format: str
    ) -> tuple[tuple[int, ...], list[str]]:
        """Rank the images; progress and the cost show on the node."""
        return judge.rank(
            images,
            places,
            format,
            announce=lambda text: display.show_text(text, cls.hidden.unique_id),
            on_progress=node_progress(),
        )
