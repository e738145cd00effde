"""rational-rewards critique and compare."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..judgement.critique import COMPLETE, report
from ..judgement.ranking import rank
from . import common
from .common import OK, UNJUDGED

if TYPE_CHECKING:
    from ..critics.base import Critic


def add(commands) -> None:
    critique = common.add_command(
        commands, "critique", lambda o: run_critique(o, common.load(o)), "critique images of one request"
    )
    critique.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    common.add_critic_options(critique, ("scores", "critique", "full", "best"))
    common.add_weight_option(critique)

    compare = common.add_command(
        commands, "compare", lambda o: run_compare(o, common.load(o)), "compare two images of one request"
    )
    compare.add_argument("images", nargs=2, type=Path, metavar=("A", "B"))
    common.add_critic_options(compare, ("scores", "critique", "full"))
    compare.add_argument(
        "--tie-margin", type=float, default=0.0, help="margin up to which it is a tie (default 0)"
    )
    compare.add_argument(
        "--comparison",
        choices=("auto", "both-orders", "single-order", "independent"),
        default="auto",
        help="both-orders: shown as A, B and as B, A; single-order: half the time, but blind to position "
        "bias; independent: each judged alone; auto (default): both-orders, or independent for the built-in "
        "critic, which cannot compare",
    )


def run_critique(options: Namespace, critic: Critic) -> int:
    """Prints all critiques, best first; 1 if one is not complete."""
    from ..critics.judging import critique

    images, sources = common.read_images(options.images), common.read_images(options.source)
    critiques = critique(
        critic,
        images,
        options.request,
        sources=sources,
        weights=common.weights(options),
        on_progress=common.progress_bar(),
        **common.judge_options(options),
    )
    order = rank(critiques)
    if options.json:
        judged = zip(options.images, critiques, strict=True)
        data = [{"image": str(path), **judgement.to_dict()} for path, judgement in judged]
        common.print_json({"images": data, "ranking": [str(options.images[index]) for index in order]})
    else:
        print("\n\n".join(f"{options.images[index]}: {report(critiques[index])}" for index in order))
    return OK if all(judgement.status == COMPLETE for judgement in critiques) else UNJUDGED


def run_compare(options: Namespace, critic: Critic) -> int:
    """Prints the verdict; 1 if it is undecided."""
    from ..critics.judging import compare

    a, b = common.read_images(options.images)
    verdict = compare(
        critic,
        a,
        b,
        options.request,
        common.read_images(options.source),
        comparison=options.comparison.replace("-", " "),
        tie_margin=options.tie_margin,
        on_progress=common.progress_bar(),
        **common.judge_options(options),
    )
    if options.json:
        common.print_json({"a": str(options.images[0]), "b": str(options.images[1]), **verdict.to_dict()})
    else:
        print(report(verdict))
    return OK if verdict.winner is not None else UNJUDGED
