"""Rank Folder: judge all images of a folder, none of them twice, and write a ranking."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from .common.display import show_text
from .common.inputs import count_input, critic_input, detail_input, rank_by_input, weights_input
from .common.model_memory import node_progress
from .common.results import node_output
from .common.socket_types import CATEGORY, number


class RationalRewardsRankFolder(io.ComfyNode):
    """Rank a folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRankFolder",
            display_name="Rank Folder",
            category=CATEGORY,
            description="Judges all images of a folder, best first, and writes ranking.csv and "
            "ranking.jsonl. Only a few images are in memory at a time. Stop loses nothing: the next run "
            "judges only new or changed images.",
            search_aliases=["reward", "rank", "folder", "directory", "batch", "sort", "CSV", "best of n"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                critic_input(),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="Folder with the images, in ComfyUI's output folder or as a full path.",
                ),
                io.String.Input(
                    "request",
                    default="",
                    multiline=True,
                    tooltip="What was asked for, for all images. Empty: each image's own request, from a "
                    ".txt file with the same name, or from its metadata (a saved critique, ComfyUI, "
                    "Automatic1111).",
                ),
                rank_by_input(RATIONAL_REWARDS.t2i),
                count_input("Number of best images to output.", default=4, max=1000),
                io.Combo.Input(
                    "best_files",
                    options=list(rank_folder.BEST_FILES),
                    default=rank_folder.NONE,
                    tooltip="Put the best images into a folder of their own, numbered. copy: as copies. "
                    "link: as links, which take no disk space.",
                ),
                io.String.Input(
                    "results",
                    default="",
                    optional=True,
                    tooltip="Folder for the results. Empty: RationalRewards/ranking_<folder> in ComfyUI's "
                    "output folder.",
                    advanced=True,
                ),
                io.Boolean.Input(
                    "recursive",
                    default=False,
                    optional=True,
                    tooltip="Include subfolders.",
                    advanced=True,
                ),
                weights_input("Ranking again with other weights needs no inference."),
                detail_input(
                    DETAILS,
                    "How much the critic writes per image. scores: up to the last score, the fastest. "
                    "critique: up to the summary. full: a refined request, too.",
                    default=SCORES,
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="best",
                    is_output_list=True,
                    tooltip="The best images as a list, best first. Blocks downstream nodes if none could be "
                    "judged.",
                ),
                io.String.Output(
                    display_name="files",
                    is_output_list=True,
                    tooltip="Files of the best images as a list, best first.",
                ),
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="Scores of the best images as a list, best first.",
                ),
                io.String.Output(display_name="csv", tooltip="The file of the table, ranking.csv."),
                io.String.Output(
                    display_name="report",
                    tooltip="The best twenty, how many images were judged, and which were skipped.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> float:
        return float("nan")  # files may have changed; unchanged ones cost no inference

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
        weights: str = "",
        **options: Any,
    ) -> io.NodeOutput:
        source, out = _folders(folder, results)
        judge = CachedCritic(critic, rank_folder.cache_in(out))
        order = RankBy(rank_by, aspect_numbers.weights(weights))
        options = {"detail": SCORES, "best_files": best_files, "count": count} | options
        progress = {"on_image": cls._show_progress(), "on_progress": _stop_if_interrupted}
        ranked = rank_folder.rank_folder(source, judge, out, request, order, **options, **progress)
        best = [row for row in ranked.images if row.status == COMPLETE][:count]
        report = {"csv": str(out / "ranking.csv"), "report": ranked.report()}
        return node_output(cls, _best_values(best, source) | report, ui={"text": [report["report"]]})

    @classmethod
    def _show_progress(cls) -> Callable[[int, int, float | None], None]:
        """Shows on the node how many images are done and how many seconds are left."""
        on_progress = node_progress()

        def show(done: int, total: int, seconds_left: float | None) -> None:
            on_progress(done, total)
            show_text(f"{done} of {total}{rank_folder.time_left(seconds_left)}", cls.hidden.unique_id)

        return show


def _stop_if_interrupted(done: int, total: int) -> None:
    management.throw_exception_if_processing_interrupted()


def _folders(folder: str, results: str) -> tuple[Path, Path]:
    """The folder of the images and that of the results."""
    if not folder.strip():
        raise ValueError("folder is empty: name the folder with the images.")
    home = Path(folder_paths.get_output_directory())
    source = home / Path(folder.strip()).expanduser()
    name = re.sub(r"[^\w.-]+", "_", source.name) or "folder"
    return source, home / (results.strip() or f"RationalRewards/ranking_{name}")


def _best_values(rows: list[rank_folder.RankedImage], folder: Path) -> dict[str, list]:
    files = [folder / row.file for row in rows]
    values = {
        "best": [images.load_image(file)[None] for file in files],
        "files": [str(file) for file in files],
        "scores": [number(row.score) for row in rows],
    }
    return {name: column or [ExecutionBlocker(None)] for name, column in values.items()}
