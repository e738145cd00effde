"""Pick Best: select the best of many images, with their latents, masks, prompts and seeds."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from comfy_api.latest import io

from ..rr_models.critics.base import Critic
from ..rr_models.critics.judging import held
from ..rr_models.critics.pairwise import break_ties
from ..rr_models.judgement import aspect_numbers
from ..rr_models.judgement.aspects import RATIONAL_REWARDS
from ..rr_models.judgement.ranking import COMPARISON, EARLIER, TIE_BREAKS, Picked, RankBy, pick, rank
from .common import display
from .common.candidates import (
    Candidates,
    candidates_input,
    index_output,
    scalar_inputs,
    selected_outputs,
    selection_results,
)
from .common.critique_cache import cached
from .common.inputs import count_input, critic_input, rank_by_input, threshold_input, weights_input
from .common.model_memory import node_progress
from .common.results import node_output
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY

NAME = "Pick Best"
ALL_IMAGES, EACH_BATCH = SCOPES = "all images", "each batch"


class RationalRewardsPickBest(io.ComfyNode):
    """Select the best images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsPickBest",
            display_name=NAME,
            category=CATEGORY,
            description="Selects the best images of a batch or a list by their critiques, best first. The "
            "rest comes out separately. Images that could not be judged are never selected.",
            search_aliases=["best of n", "select", "filter", "top k", "rank", "reward", "threshold"],
            # The images of a list are ranked together, and may differ in size.
            is_input_list=True,
            is_output_node=True,
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            inputs=[
                candidates_input("The judged images, from Critique Image: a batch, or a list of batches."),
                count_input("Maximum number of images to select."),
                rank_by_input(RATIONAL_REWARDS.edit),
                threshold_input(
                    "Minimum score for an image to be selected, 1 (worst) to 4 (best); 0: none. If no image "
                    "reaches it, none is selected.",
                    default=0.0,
                    optional=True,
                ),
                weights_input("Empty: the weights of the critiques."),
                io.Combo.Input(
                    "tie_break",
                    options=list(TIE_BREAKS),
                    default=EARLIER,
                    optional=True,
                    tooltip="How to break ties. earlier first: the earlier image wins. expected score: the "
                    "mean of all possible scores, weighted by the critic's probabilities, decides. "
                    "comparison: the critic compares the images; connect critic.",
                ),
                io.Combo.Input(
                    "scope",
                    options=list(SCOPES),
                    default=ALL_IMAGES,
                    optional=True,
                    tooltip="For a list of batches. all images: select from all images together. each batch: "
                    "select from each batch separately.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "as_list",
                    default=False,
                    optional=True,
                    tooltip="Output the images of a batch as a list, so that each goes on with its own "
                    "prompt, seed and score. A list always comes out as a list.",
                    advanced=True,
                ),
                critic_input("For tie_break comparison: from Load Critic.", optional=True),
            ],
            outputs=[
                *selected_outputs(
                    "best",
                    "The selected images, best first.",
                    "If there are none, downstream nodes do not run, and this node says why.",
                ),
                *selected_outputs("rest", "All other images, best first."),
                index_output(),
                io.String.Output(
                    display_name="report",
                    is_output_list=True,
                    tooltip="One line per image with its scores, best first.",
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    @scalar_inputs("count", "rank_by", "threshold", "weights", "tie_break", "scope", "as_list", "critic")
    def execute(
        cls,
        candidates: list[Candidates],
        count: int,
        rank_by: str,
        threshold: float = 0.0,
        weights: str = "",
        tie_break: str = EARLIER,
        scope: str = ALL_IMAGES,
        as_list: bool = False,
        critic: Critic | None = None,
    ) -> io.NodeOutput:
        if tie_break == COMPARISON and critic is None:
            raise ValueError("tie_break: a comparison needs a critic; connect critic.")
        ranking = RankBy(rank_by, aspect_numbers.weights(weights), tie_break)
        singly = as_list or (scope == ALL_IMAGES and len(candidates) > 1)
        referee = _Referee(critic, cls.hidden.unique_id)
        pools = [sum(candidates, ())] if scope == ALL_IMAGES else candidates
        with held(critic) if critic is not None else nullcontext():
            rows = [
                _select(pool, count, ranking, threshold or None, referee).results(singly) for pool in pools
            ]
        results = {name: [value for row in rows for value in row[name]] for name in rows[0]}
        return node_output(cls, results, ui=_shown(results, sum(map(len, pools))))


def _shown(results: dict[str, list], total: int) -> dict:
    selected = sum(isinstance(index, int) for index in results["index"])
    return display.selection(selected, total, "\n".join(results["report"]))


@dataclass(frozen=True)
class _Referee:
    """Breaks ties by comparison: the critic, and the node that shows progress."""

    critic: Critic | None
    node_id: str

    def break_ties(
        self, items: Candidates, ranked: tuple[int, ...], count: int, order: RankBy
    ) -> tuple[tuple[int, ...], list[str]]:
        """The indices in order, and notes about the comparisons."""
        assert self.critic is not None, "execute refuses to break ties without a critic"
        return break_ties(
            cached(self.critic),
            [item.pixels[0] for item in items],
            [item.judged for item in items],
            ranked,
            count,
            order,
            items[0].sources,
            announce=lambda text: display.show_text(text, self.node_id),
            on_progress=node_progress(),
        )


def _select(
    items: Candidates, count: int, order: RankBy, threshold: float | None, referee: _Referee
) -> _Selection:
    critiques = [item.judged for item in items]
    ranked, notes = rank(critiques, order), []
    if order.tie_break == COMPARISON:
        ranked, notes = referee.break_ties(items, ranked, count, order)
    return _Selection(items, pick(critiques, count, order, threshold, ranked), order, threshold, notes)


@dataclass(frozen=True)
class _Selection:
    """The selected images of one pool, and why."""

    items: Candidates
    picked: Picked
    order: RankBy
    threshold: float | None
    notes: list[str]

    def results(self, singly: bool) -> dict[str, list]:
        """The node's outputs for this pool, by name."""
        selected = selection_results(self.items, self.picked.kept, self.picked.rest, singly=singly)
        return {**selected, "report": [self.report()]}

    def report(self) -> str:
        """All images, best first, one line each; then the notes."""
        order = (*self.picked.kept, *self.picked.rest)
        lines = [
            f"{rank}. Image {index + 1} ({'selected' if index in self.picked.kept else 'rest'}): "
            f"{self.items[index].judged.scores_line()}"
            for rank, index in enumerate(order, 1)
        ]
        return "\n".join(filter(None, [self._reason_for_none(), *lines, *self.notes]))

    def _reason_for_none(self) -> str | None:
        """Why no image was selected; None if one was."""
        if self.picked.kept:
            return None
        critiques, none = [item.judged for item in self.items], f"{NAME} selects none of {len(self.items)}"
        if any(critique.overall is not None for critique in critiques):
            return f"{none} image(s): none scores {self.threshold:g} or more."
        notes = [note for critique in critiques for note in critique.notes]
        return f"{none} image(s): none could be judged. The critic says: {[*notes, critiques[0].status][0]}"
