"""What it saves to keep the KV cache and the CUDA graphs between calls: a loop of calls with and without it.

    python benchmarks/engine_reuse.py [--quick] [--rounds 4] [--repeats 3] [--candidates 1 4]

Every round judges new images of one request, as a refine loop does. Both ways run in turn in one process, on
the Shapes critic and on random weights (scores only). Figures, for each critic and number of candidates:

CRITIC_N_ratio               time of a round without reuse by that of one with it (medians over all loops)
CRITIC_N_ms_per_round        milliseconds of a round with reuse; _fresh: without
CRITIC_N_allocations, CRITIC_N_captures  caches and CUDA graphs made in a loop with reuse; _fresh: without
CRITIC_N_idle_mb             what stays in memory between the calls, in MB (1e6 bytes)
CRITIC_N_allocate_ms         a cache of that size allocated and filled with zeros once
CRITIC_N_equal               whether both ways give the same answers
"""

from __future__ import annotations

import argparse
import random
import sys
from functools import partial
from statistics import median

import torch
from _common import close
from _random_model import SHAPES, make
from engine import smooth, timed

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.critics.base import Question
from rr_models.critics.local import LocalCritic, load
from rr_models.engine.kv_cache import KVCache
from rr_models.images import from_pil
from rr_models.shapes import cases
from rr_models.shapes.draw import draw

NO_LIMIT = 2**62
REQUEST = "A red fox in the snow, beside an old wooden fence."


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="the smallest random shape, one repeat")
    options.add_argument("--shape", choices=SHAPES, default="0.1b", help="random weights (default: 0.1b)")
    options.add_argument("--rounds", type=int, default=4, help="calls in a loop (default: 4)")
    options.add_argument("--repeats", type=int, default=3, help="loops each way (default: 3)")
    options.add_argument("--candidates", type=int, nargs="+", default=[1, 4], help="images in a round")
    options.add_argument("--side", type=int, default=512, help="pixels of the random critic's images")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = options.parse_args()
    if args.quick:
        args.shape, args.repeats, args.side = "tiny", 1, 256
    figures = {
        "rounds": args.rounds,
        "shape": args.shape,
        "device": args.device,
        "threads": torch.get_num_threads(),
    }
    critics = {
        "shapes": (load(SHAPES_CRITIC, args.device), shapes_rounds, {}),
        args.shape: (
            make(args.shape, args.device),
            random_rounds,
            {"detail": "scores", "max_new_tokens": 300},
        ),
    }
    for name, (critic, questions, judge_options) in critics.items():
        for candidates in args.candidates:
            rounds = questions(args.rounds, candidates, args.side)
            found = compare(critic, rounds, args.repeats, judge_options)
            print(f"{name}, {candidates} image(s) a round: {found}", file=sys.stderr)
            figures |= {f"{name}_{candidates}_{key}": value for key, value in found.items()}
    close(figures)


def compare(critic: LocalCritic, rounds: list[list[Question]], repeats: int, judge_options: dict) -> dict:
    engine, counts, answers = critic.engine, {}, {}
    seconds: dict[int, list[float]] = {NO_LIMIT: [], 0: []}
    critic.judge(rounds[0], **judge_options)  # what libraries set up in their first calls
    for repeat in range(repeats):
        for limit in (NO_LIMIT, 0) if repeat % 2 else (0, NO_LIMIT):
            engine.release()
            engine.max_idle_bytes = limit
            before, answers[limit] = (engine.allocations, engine.captures), []
            for questions in rounds:
                judge = partial(critic.judge, questions, **judge_options)
                duration, _ = timed(critic, lambda into=answers[limit], judge=judge: into.append(judge()))
                seconds[limit].append(duration)
            counts[limit] = engine.allocations - before[0], engine.captures - before[1]
            if limit:
                idle, cache = engine.nbytes, engine._kept.cache
                size = cache.rows, cache.width
    engine.max_idle_bytes = None
    engine.release()
    return {
        "ratio": median(seconds[0]) / median(seconds[NO_LIMIT]),
        "ms_per_round": 1000 * median(seconds[NO_LIMIT]),
        "ms_per_round_fresh": 1000 * median(seconds[0]),
        "allocations": counts[NO_LIMIT][0],
        "allocations_fresh": counts[0][0],
        "captures": counts[NO_LIMIT][1],
        "captures_fresh": counts[0][1],
        "idle_mb": idle / 1e6,
        "allocate_ms": 1000 * timed(critic, lambda: filled(critic, *size), times=3)[0],
        "equal": answers[0] == answers[NO_LIMIT],
    }


def filled(critic: LocalCritic, rows: int, width: int) -> None:
    """A new cache, every byte of it written: a system may give out memory only then."""
    cache = KVCache(critic.model, rows, width)
    for tensor in (*cache.keys, *cache.values):
        tensor.zero_()


def shapes_rounds(rounds: int, candidates: int, _side: int) -> list[list[Question]]:
    rng = random.Random("engine reuse")
    made = []
    for _ in range(rounds):
        case = cases.random_case(rng, "t2i", test=True)
        images = [from_pil(draw(case.rendering, 96, seed)) for seed in range(candidates)]
        made.append([Question("t2i", case.request, (image,)) for image in images])
    return made


def random_rounds(rounds: int, candidates: int, side: int) -> list[list[Question]]:
    generator = torch.Generator().manual_seed(1)
    return [
        [Question("t2i", REQUEST, (smooth(side, generator),)) for _ in range(candidates)]
        for _ in range(rounds)
    ]


if __name__ == "__main__":
    main()
