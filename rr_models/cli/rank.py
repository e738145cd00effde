"""rational-rewards rank: rank a folder of images, resumable, as a table."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..judgement.ranking import OVERALL, RankBy
from . import common
from .common import OK, UNJUDGED

if TYPE_CHECKING:
    from ..critics.base import Critic


def add(commands) -> None:
    rank = commands.add_parser(
        "rank",
        help="rank a folder of images",
        description="Rank a folder of images. A second run judges only what is new or changed.",
    )
    rank.add_argument("folder", type=Path, metavar="FOLDER")
    rank.add_argument("--out", type=Path, help="results folder (default: FOLDER/ranking)")
    rank.add_argument("--recursive", action="store_true", help="include subfolders")
    rank.add_argument("--rank-by", default=OVERALL, help="overall (default) or the key of one aspect")
    common.add_weight_option(rank)
    rank.add_argument(
        "--best-files",
        choices=("none", "copy", "link"),
        default="none",
        help="copy or link the best images",
    )
    rank.add_argument("--count", type=int, default=10, help="how many are the best (default 10)")
    common.add_critic_options(rank, ("scores", "critique", "full"), request_required=False)
    rank.set_defaults(run=run, detail="scores")


def run(options: Namespace, critic: Critic | None = None) -> int:
    """Prints the best and what was skipped; 1 if an image could not be judged."""
    from .. import rank_folder  # torch takes seconds to import
    from ..critics.cached import CachedCritic
    from ..judgement.critique import COMPLETE

    rank_by = RankBy(options.rank_by, common.weights(options))
    if options.source:
        raise ValueError("--source: rank judges images of a request, not edits.")
    if not options.folder.is_dir():
        raise ValueError(f"{options.folder} is not a folder.")
    out = options.out or options.folder / "ranking"

    def on_progress(done: int, total: int, seconds_left: float | None) -> None:
        if sys.stderr.isatty():
            rest, end = rank_folder.time_left(seconds_left), "" if done < total else "\n"
            print(f"\r{done}/{total}{rest}    ", end=end, file=sys.stderr, flush=True)

    result = rank_folder.rank_folder(
        options.folder,
        CachedCritic(critic or common.load(options), rank_folder.cache_in(out)),
        out,
        options.request or "",
        rank_by,
        recursive=options.recursive,
        best_files=options.best_files,
        count=options.count,
        chunk_size=options.batch_size,
        on_image=on_progress,
        **common.judge_options(options),
    )
    print(f"{result.report()}\n{out / 'ranking.csv'}")
    judged = all(image.status == COMPLETE for image in result.images)
    return OK if judged and not result.skipped else UNJUDGED
