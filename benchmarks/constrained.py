"""Do constraints leave good answers alone, and do answers without scores stay without?

    python benchmarks/constrained.py [--quick] [--n 200] [--shapes 200]

random_scored     share of constrained answers of a random-weight model that get any score (right: none)
random_mass       the most probability that it gave to scores where it was asked for one
shapes_equal      share of the Shapes critic's constrained answers whose text equals the free one, of those
                  that were complete without constraints (shapes_complete, of all)
shapes_mass       the least probability that it gave to scores where it wrote one
forwards_share_*  forward passes of the Shapes critic's constrained answers, divided by their tokens without
                  constraints
text_share_*      tokens of its free texts, divided by the same: the minimum with one forward pass for each
damaged           the same critic with noise of so many standard deviations in each weight matrix: shares
                  of answers that are complete freely and constrained, of those that constraints completed how
                  many have the true scores, and the mass where scores were asked for (least, median, most)
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from _common import close, progress
from _random_model import tiny
from shapes_critic import question, same_scores

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.critics.base import Question
from rr_models.critics.generation import Generation
from rr_models.critics.local import LocalCritic, load
from rr_models.critics.options import JudgeOptions
from rr_models.judgement.answer_format import FULL, SCORES
from rr_models.judgement.critique import COMPLETE
from rr_models.shapes import cases

LIMIT = 500
NOISE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="20 answers of each")
    options.add_argument("--n", type=int, default=200, help="answers of a random model (default: 200)")
    options.add_argument(
        "--shapes", type=int, default=200, help="answers of the Shapes critic (default: 200)"
    )
    args = options.parse_args()
    n, shapes = (20, 20) if args.quick else (args.n, args.shapes)
    with tempfile.TemporaryDirectory() as folder:
        figures = senseless(load(tiny.make_random(Path(folder) / "random")), n)
    figures |= equal(load(SHAPES_CRITIC), shapes)
    figures["damaged"] = {str(noise): damaged(noise, shapes // 2) for noise in NOISE}
    close(figures | {"n": n, "shapes": shapes})


def generate(critic: LocalCritic, questions: list[Question], options: JudgeOptions) -> list[Generation]:
    """All answers, with their traces."""
    watch = progress("answers", len(questions))
    several = critic.generator.generate(questions, critic.generator.prompt_builder(), options, watch)
    print(file=sys.stderr)
    return [one for [one] in several]


def senseless(critic: LocalCritic, n: int) -> dict:
    generator = torch.Generator().manual_seed(1)
    image = lambda: torch.rand(64, 64, 3, generator=generator)  # noqa: E731
    source, scored, asked = image(), 0, []
    for temperature in (0.0, 1.0):
        questions = [
            Question("edit", "Make it red.", (image(),), (source,))
            if number % 2
            else Question("t2i", "A red fox.", (image(),))
            for number in range(n // 2)
        ]
        options = JudgeOptions(temperature=temperature, max_new_tokens=LIMIT, batch_size=32)
        for generation in generate(critic, questions, options):
            judged = critic.generator.judgement(generation, options)
            scored += any(aspect.score is not None for aspect in judged.aspects)
            asked += generation.trace.asked
    return {"random_scored": scored / n, "random_mass": max(asked)}


def equal(critic: LocalCritic, n: int) -> dict:
    figures, own, constrained = {}, [], []
    rng = random.Random("constrained")
    for task in cases.TASKS:
        questions = [question(cases.random_case(rng, task, test=True), rng) for _ in range(n // 2)]
        free = critic.judge(questions, JudgeOptions(constrained=False))
        own, constrained = own + free, constrained + critic.judge(questions)
        tokens = sum(critique.source["tokens"] + 1 for critique in free)  # the end token too
        for detail in (FULL, SCORES):
            options = JudgeOptions(detail=detail)
            answers = generate(critic, questions, options)
            forwards = sum(answer.request.completion.forwards for answer in answers)
            judged = [critic.generator.judgement(answer, options) for answer in answers]
            texts = [text for critique in judged for text in texts_of(critique)]
            words = sum(len(critic.generator.tokens.encode(text)) for text in texts)
            figures[f"forwards_share_{task}_{detail}"] = forwards / tokens
            figures[f"text_share_{task}_{detail}"] = words / tokens
    good = [(a.text, b.text) for a, b in zip(own, constrained, strict=True) if a.status == COMPLETE]
    return figures | {
        "shapes_complete": len(good) / len(own),
        "shapes_equal": sum(a == b for a, b in good) / len(good),
        "shapes_mass": min(a.form_mass for c in constrained for a in c.aspects if a.form_mass is not None),
    }


def texts_of(critique) -> list[str]:
    texts = [critique.analysis, critique.summary, critique.refinement_comments, critique.refined_request]
    return [*texts, *(aspect.justification for aspect in critique.aspects)]


def damaged(noise: float, n: int) -> dict:
    """The figures of a critic whose weights got noise, on new cases."""
    critic, generator = load(SHAPES_CRITIC), torch.Generator().manual_seed(1)
    for parameter in critic.model.parameters():
        if parameter.dim() > 1:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data += (noise * parameter.data.std() * drawn).to(parameter)
    rng = random.Random("damaged")
    drawn = [cases.random_case(rng, cases.TASKS[number % 2], test=True) for number in range(n)]
    questions = [question(case, rng) for case in drawn]
    free = critic.judge(questions, JudgeOptions(constrained=False, max_new_tokens=LIMIT))
    options = JudgeOptions(max_new_tokens=LIMIT)
    answers = generate(critic, questions, options)
    judged = [critic.generator.judgement(answer, options) for answer in answers]
    asked = sorted(mass for answer in answers for mass in answer.trace.asked)
    completed = [
        same_scores(case, b)
        for case, a, b in zip(drawn, free, judged, strict=True)
        if a.status != COMPLETE and b.status == COMPLETE
    ]
    return {
        "complete_freely": sum(critique.status == COMPLETE for critique in free) / n,
        "complete": sum(critique.status == COMPLETE for critique in judged) / n,
        "completed_right": sum(completed) / len(completed) if completed else None,
        "exact": sum(map(same_scores, drawn, judged)) / n,
        "asked_mass": [asked[0], statistics.median(asked), asked[-1]] if asked else [],
    }


if __name__ == "__main__":
    main()
