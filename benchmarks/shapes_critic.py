"""How well does the built-in Shapes critic judge? Measured on held-out scenes that it was not trained on.

    python benchmarks/shapes_critic.py [--quick] [--n 600] [--seed 1] [--critic DIR]

Half of the cases are text-to-image, half are edits; every request is judged with two different images.

complete_rate         share of answers in which every score can be read
spearman              rank correlation of the overall score with the true number of faults (of the true
                      critiques: spearman_truth)
pair_accuracy         of two images of one request with different numbers of faults: share in which the better
                      one got the higher score (of the true critiques: pair_accuracy_truth)
refined_names_faults  share of faulty images whose refined request demands every single correction
exact_scores          share of answers in which all scores equal the true ones
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from _common import close, progress, spearman

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.critics.base import Question
from rr_models.critics.local import load
from rr_models.critics.options import JudgeOptions
from rr_models.images import from_pil
from rr_models.shapes import cases
from rr_models.shapes.draw import draw
from rr_models.shapes.phrasing import demand


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="60 answers instead of 600")
    options.add_argument("--n", type=int, default=600, help="answers (default: 600)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--critic", type=Path, default=SHAPES_CRITIC)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument(
        "--show", type=int, default=0, help="print this many answers that differ from the truth"
    )
    args = options.parse_args()
    n = 60 if args.quick else args.n

    rng = random.Random(f"benchmark {args.seed}")
    drawn: list[cases.Case] = []
    for i in range(n // 2):
        first = cases.random_case(rng, cases.TASKS[i % 2], test=True)
        drawn += [first, cases.redrawn(first, rng, test=True)]
    critic = load(args.critic)
    began = time.perf_counter()
    critiques = critic.judge(
        [question(case, rng) for case in drawn],
        JudgeOptions(batch_size=args.batch, constrained=False),
        on_progress=progress("critiques", len(drawn)),
    )
    seconds = time.perf_counter() - began
    print(file=sys.stderr)
    for case, critique in [(c, k) for c, k in zip(drawn, critiques, strict=True) if not same_scores(c, k)][
        : args.show
    ]:
        print(f"--- {case.request}\n{critique.text}\n--- truth\n{case.truth.to_text()}\n")
    for task in cases.TASKS:
        some = [(c, k) for c, k in zip(drawn, critiques, strict=True) if c.task == task]
        print(f"{task:5}", measure(*map(list, zip(*some, strict=True))))
    figures = measure(drawn, critiques)
    print("all  ", figures)
    close(figures | {"n": len(drawn), "seconds": seconds})


def question(case: cases.Case, rng: random.Random) -> Question:
    """The case as a question, drawn at a size that the critic has to resize."""
    sources = (from_pil(draw(case.source, 256, rng.getrandbits(32))),) if case.source else ()
    image = from_pil(draw(case.rendering, 256, rng.getrandbits(32)))
    return Question(case.task, case.request, (image,), sources)


def measure(drawn: list[cases.Case], critiques: list) -> dict:
    """All figures for these cases; the two images of a request are neighbours."""
    complete = [(c, k) for c, k in zip(drawn, critiques, strict=True) if k.overall is not None]
    pairs = [i for i in range(0, len(drawn), 2) if len(drawn[i].faults) != len(drawn[i + 1].faults)]
    right = sum(prefers_better(drawn[i : i + 2], critiques[i : i + 2]) for i in pairs)
    right_truth = sum(prefers_better(drawn[i : i + 2], [c.truth for c in drawn[i : i + 2]]) for i in pairs)
    faulty = [(c, k) for c, k in zip(drawn, critiques, strict=True) if c.faults]
    named = sum(all(demand(f, c.wanted) in k.refined_request for f in c.faults) for c, k in faulty)
    true_faults = [-len(c.faults) for c, _ in complete]
    return {
        "complete_rate": len(complete) / len(drawn),
        "spearman": spearman([k.overall for _, k in complete], true_faults),
        "spearman_truth": spearman([c.truth.overall for c, _ in complete], true_faults),
        "pair_accuracy": right / len(pairs),
        "pair_accuracy_truth": right_truth / len(pairs),
        "pairs": len(pairs),
        "refined_names_faults": named / len(faulty),
        "exact_scores": sum(same_scores(c, k) for c, k in complete) / len(drawn),
    }


def prefers_better(pair: list[cases.Case], critiques: list) -> bool:
    """Whether the image with fewer faults got the higher overall score; False if one has no score."""
    first, second = (k.overall if k.overall is not None else float("nan") for k in critiques)
    return first > second if len(pair[0].faults) < len(pair[1].faults) else second > first


def same_scores(case: cases.Case, critique) -> bool:
    return [a.score for a in case.truth.aspects] == [a.score for a in critique.aspects]


if __name__ == "__main__":
    main()
