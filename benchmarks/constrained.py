"""Is every constrained answer complete, and do constraints leave good answers alone?

    python benchmarks/constrained.py [--quick] [--n 1000] [--shapes 200]

complete          share of constrained answers of a random-weight model that are complete, each on its own
                  image, half of them at temperature 0 and half at 1, text-to-image and edits
within_budget     share of them within the token limit
shapes_equal      share of the Shapes critic's constrained answers whose text equals the free one, of those
                  that were complete without constraints (shapes_complete, of all)
forwards_share_*  forward passes of the Shapes critic's constrained answers, divided by their tokens without
                  constraints
text_share_*      tokens of its free texts, divided by the same: the minimum with one forward pass for each
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import torch
from _common import close, progress
from _random_model import tiny
from shapes_critic import question

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.critics.base import Question
from rr_models.critics.local import LocalCritic, load
from rr_models.critics.options import JudgeOptions
from rr_models.judgement.answer_format import FULL, SCORES
from rr_models.judgement.critique import COMPLETE
from rr_models.shapes import cases

LIMIT = 500


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="40 answers of each")
    options.add_argument("--n", type=int, default=1000, help="answers of a random model (default: 1000)")
    options.add_argument(
        "--shapes", type=int, default=200, help="answers of the Shapes critic (default: 200)"
    )
    args = options.parse_args()
    n, shapes = (40, 40) if args.quick else (args.n, args.shapes)
    with tempfile.TemporaryDirectory() as folder:
        figures = whole(load(tiny.make(Path(folder) / "random")), n)
    close(figures | equal(load(SHAPES_CRITIC), shapes) | {"n": n, "shapes": shapes})


def whole(critic: LocalCritic, n: int) -> dict:
    generator = torch.Generator().manual_seed(1)
    image = lambda: torch.rand(64, 64, 3, generator=generator)  # noqa: E731
    source, found = image(), []
    for temperature in (0.0, 1.0):
        questions = [
            Question("edit", "Make it red.", (image(),), (source,))
            if number % 2
            else Question("t2i", "A red fox.", (image(),))
            for number in range(n // 2)
        ]
        watch = progress("random critiques", len(questions))
        wishes = {"temperature": temperature, "max_new_tokens": LIMIT, "batch_size": 32}
        found += critic.judge(questions, JudgeOptions(**wishes), on_progress=watch)
        print(file=sys.stderr)
    return {
        "complete": sum(critique.status == COMPLETE for critique in found) / len(found),
        "within_budget": sum(critique.source["tokens"] <= LIMIT for critique in found) / len(found),
    }


def equal(critic: LocalCritic, n: int) -> dict:
    figures, own, constrained = {}, [], []
    rng = random.Random("constrained")
    for task in cases.TASKS:
        questions = [question(cases.random_case(rng, task, test=True), rng) for _ in range(n // 2)]
        free = critic.judge(questions, JudgeOptions(constrained=False))
        own, constrained = own + free, constrained + critic.judge(questions)
        tokens = sum(critique.source["tokens"] + 1 for critique in free)  # the end token too
        for detail in (FULL, SCORES):
            generator = critic.generator
            answers = generator.generate(
                questions, generator.prompt_builder(), JudgeOptions(detail=detail), None
            )
            forwards = sum(several[0].request.completion.forwards for several in answers)
            texts = [text for several in answers for text in several[0].trace.texts.values()]
            words = sum(len(generator.tokens.encode(text)) for text in texts)
            figures[f"forwards_share_{task}_{detail}"] = forwards / tokens
            figures[f"text_share_{task}_{detail}"] = words / tokens
    good = [(a.text, b.text) for a, b in zip(own, constrained, strict=True) if a.status == COMPLETE]
    return figures | {
        "shapes_complete": len(good) / len(own),
        "shapes_equal": sum(a == b for a, b in good) / len(good),
    }


if __name__ == "__main__":
    main()
