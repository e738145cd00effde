"""rational-rewards rank: rank a folder of images, as a table; a run that was stopped can be continued."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from ..judgement import aspect_numbers
from ..judgement.ranking import OVERALL, RankBy

OK, UNJUDGED = 0, 1


def add(commands, asking: Callable, load: Callable, asked: Callable) -> None:
    """`asking` gives a command the options of those that ask a critic, `load` loads it, `asked` says what it
    is told."""
    rank = commands.add_parser(
        "rank",
        help="rank a folder of images",
        description="Rank a folder of images. A second run judges only what is new or changed.",
    )
    rank.add_argument("folder", type=Path, metavar="FOLDER")
    rank.add_argument("--out", type=Path, help="folder of the results (default: FOLDER/ranking)")
    rank.add_argument("--recursive", action="store_true", help="the folders in it too")
    rank.add_argument("--rank-by", default=OVERALL, help="overall (default) or the key of one aspect")
    rank.add_argument("--weight", action="append", default=[], metavar="ASPECT=NUMBER")
    rank.add_argument(
        "--best-files", choices=("none", "copy", "link"), default="none", help="copy or link the best images"
    )
    rank.add_argument("--count", type=int, default=10, help="how many are the best (default 10)")
    asking(rank, ("scores", "critique", "full"), request=False)
    rank.set_defaults(run=lambda options: run(options, load, asked), detail="scores")


def run(options: Namespace, load: Callable, asked: Callable) -> int:
    """Prints the best and what was skipped; 1 if an image could not be judged."""
    from .. import rank_folder  # torch takes seconds to import
    from ..critics.cached import CachedCritic
    from ..judgement.critique import COMPLETE

    order = RankBy(options.rank_by, aspect_numbers.weights(",".join(options.weight)))
    if options.source:
        raise ValueError("--source: rank judges images of a request, not edits.")
    if not options.folder.is_dir():
        raise ValueError(f"{options.folder} is no folder.")
    out = options.out or options.folder / "ranking"
    said = {name: value for name, value in asked(options).items() if name != "watch"}

    def on_progress(done: int, total: int, left: float | None) -> None:
        if sys.stderr.isatty():
            rest, end = rank_folder.time_left(left), "" if done < total else "\n"
            print(f"\r{done}/{total}{rest}    ", end=end, file=sys.stderr, flush=True)

    ranking = rank_folder.rank_folder(
        options.folder,
        CachedCritic(load(options), rank_folder.cache_in(out)),
        out,
        options.request or "",
        order,
        recursive=options.recursive,
        best_files=options.best_files,
        count=options.count,
        chunk_size=options.batch_size,
        on_progress=on_progress,
        **said,
    )
    print(f"{ranking.report()}\n{out / 'ranking.csv'}")
    judged = all(image.status == COMPLETE for image in ranking.images)
    return OK if judged and not ranking.skipped else UNJUDGED
