"""Rank Folder: a folder of pictures, streamed past the critic; the best, a table, and nothing judged
twice."""

from __future__ import annotations

import re
from pathlib import Path

import comfy.model_management as management
import folder_paths
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models import images, rank_folder
from ..rr_models.critics.base import Critic
from ..rr_models.critics.cached import CachedCritic
from ..rr_models.judgement import aspect_numbers
from ..rr_models.judgement.answer_format import DETAILS, SCORES
from ..rr_models.judgement.aspects import RATIONAL_REWARDS
from ..rr_models.judgement.critique import COMPLETE
from ..rr_models.judgement.ranking import OVERALL, RankBy
from .common.display import tell
from .common.model_memory import node_progress
from .common.socket_types import CATEGORY, CriticSocket


class RationalRewardsRankFolder(io.ComfyNode):
    """Rank a folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRankFolder",
            display_name="Rank Folder",
            category=CATEGORY,
            description="Judges all pictures of a folder, best first, and writes ranking.csv and "
            "ranking.jsonl. However many there are, only a few are in memory at a time. Stop loses nothing: "
            "the next run judges only what is new or changed.",
            search_aliases=["reward", "rank", "folder", "directory", "batch", "sort", "CSV", "best of n"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                CriticSocket.Input("critic", tooltip="From Load Critic."),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="Folder of the pictures; in ComfyUI's output folder, or a whole path.",
                ),
                io.String.Input(
                    "request",
                    default="",
                    multiline=True,
                    tooltip="What was asked for, for all pictures. Empty: each picture's own request, from a "
                    ".txt file of the same name, or out of its metadata (a saved critique, ComfyUI, "
                    "Automatic1111).",
                ),
                io.Combo.Input(
                    "rank_by",
                    options=[OVERALL, *(aspect.key for aspect in RATIONAL_REWARDS.t2i)],
                    default=OVERALL,
                    tooltip="What ranks: the overall score (mean of all aspects that apply), or one aspect.",
                ),
                io.Int.Input("count", default=4, min=1, max=1000, tooltip="How many are the best."),
                io.Combo.Input(
                    "best_files",
                    options=list(rank_folder.BEST_FILES),
                    default=rank_folder.NONE,
                    tooltip="The best in a folder of their own, numbered. link: without taking up disk "
                    "space.",
                ),
                io.String.Input(
                    "results",
                    default="",
                    optional=True,
                    tooltip="Folder of the results. Empty: RationalRewards/ranking_<folder> in ComfyUI's "
                    "output folder.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "recursive", default=False, optional=True, tooltip="The folders in it too.", advanced=True
                ),
                io.String.Input(
                    "weights",
                    default="",
                    optional=True,
                    tooltip="How much aspects count in the overall score, such as text_rendering=0.5, "
                    "physical_quality=2. Ranking again with others costs no inference.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "detail",
                    options=list(DETAILS),
                    default=SCORES,
                    optional=True,
                    tooltip="How much is written of each. scores: up to the last score, the fastest. "
                    "critique: with the summary. full: a better request too.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best",
                    is_output_list=True,
                    tooltip="The best pictures, as a list, best first. Nothing runs after it if none could "
                    "be judged.",
                ),
                io.String.Output(
                    display_name="files", is_output_list=True, tooltip="Their files, as a list, best first."
                ),
                io.Float.Output(
                    display_name="scores", is_output_list=True, tooltip="Their scores, as a list, best first."
                ),
                io.String.Output(display_name="csv", tooltip="The file of the table, ranking.csv."),
                io.String.Output(
                    display_name="report",
                    tooltip="The best twenty, how many were judged, and what was skipped.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> float:
        return float("nan")  # what lies in the folder may have changed; what has not costs no inference

    @classmethod
    def execute(
        cls,
        critic: Critic,
        folder: str,
        request: str,
        rank_by: str = OVERALL,
        count: int = 4,
        best_files: str = rank_folder.NONE,
        results: str = "",
        recursive: bool = False,
        weights: str = "",
        detail: str = SCORES,
    ) -> io.NodeOutput:
        if not folder.strip():
            raise ValueError("folder is empty: give the folder of the pictures.")
        home = Path(folder_paths.get_output_directory())
        place = home / Path(folder.strip()).expanduser()
        name = re.sub(r"[^\w.-]+", "_", place.name) or "folder"
        out = home / (results.strip() or f"RationalRewards/ranking_{name}")
        move = node_progress()

        def on_progress(done: int, total: int, left: float | None) -> None:
            move(done, total)
            tell(f"{done} of {total}{rank_folder.time_left(left)}", cls.hidden.unique_id)

        def stop_if_interrupted(*_: object) -> None:
            management.throw_exception_if_processing_interrupted()

        judge = CachedCritic(critic, rank_folder.cache_in(out))
        ranking = rank_folder.rank_folder(
            place,
            judge,
            out,
            request,
            RankBy(rank_by, aspect_numbers.weights(weights)),
            recursive=recursive,
            best_files=best_files,
            count=count,
            on_image=on_progress,
            on_progress=stop_if_interrupted,
            detail=detail,
            max_new_tokens=2048,
        )
        best = [image for image in ranking.images if image.status == COMPLETE][:count]
        files = [place / image.file for image in best]
        report = ranking.report()
        nothing = [ExecutionBlocker(None)]
        return io.NodeOutput(
            [images.load_image(file)[None] for file in files] or nothing,
            [str(file) for file in files] or nothing,
            [float("nan") if image.score is None else image.score for image in best] or nothing,
            str(out / "ranking.csv"),
            report,
            ui={"text": [report]},
        )
