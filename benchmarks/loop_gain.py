"""Does the critique help? Strategies that spend at most four images on a request, on unseen requests.

    python benchmarks/loop_gain.py [--quick] [--n 120] [--seed 1] [--images 4] [--critic DIR]

All strategies use the shapes generator that makes mistakes and the Shapes critic, and start from the same
first image. What counts is the truth, known from the generator: whether a strategy's final image has no fault
at all.

first              the first image
refine_fixed_seed  critique, refine, generate again with the same seed (as in the paper) until the critic
                   accepts
refine_new_seed    the same with a new seed each round
best_of_4          the same prompt with other seeds until the critic accepts; keeps the image it ranks first
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from _common import close, progress

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.critics.base import Question
from rr_models.critics.local import load
from rr_models.critics.options import JudgeOptions
from rr_models.images import from_pil
from rr_models.loop import settings as loop_settings
from rr_models.loop import state as loop_state
from rr_models.shapes import cases
from rr_models.shapes.draw import draw
from rr_models.shapes.generator import sample_rendering
from rr_models.shapes.phrasing import phrase
from rr_models.shapes.scene import differences, flaws, word_faults


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="12 requests instead of 120")
    options.add_argument("--n", type=int, default=120, help="requests (default: 120)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--images", type=int, default=4, help="most images of a strategy per request")
    options.add_argument("--critic", type=Path, default=SHAPES_CRITIC)
    options.add_argument("--batch", type=int, default=24)
    args = options.parse_args()
    n = 12 if args.quick else args.n

    rng = random.Random(f"loop gain {args.seed}")
    scenes = [cases.random_scene(rng, test=True) for _ in range(n)]
    requests = [phrase(scene, rng) for scene in scenes]
    judge = Judge(load(args.critic), args.batch)

    first = [sample_rendering(request, 1000 * i) for i, request in enumerate(requests)]
    strategies = {"first": (first, n)}
    for name, policy, use_refined in (
        ("refine_fixed_seed", "fixed", True),
        ("refine_new_seed", "new", True),
        ("best_of_4", "new", False),
    ):
        strategies[name] = run(requests, judge, args.images, policy, use_refined)

    figures = {"n": n, "images": args.images}
    print(f"{'strategy':18} perfect      faults left  images made")
    for name, (images, drawn) in strategies.items():
        left = [faults(scene, image) for scene, image in zip(scenes, images, strict=True)]
        perfect = sum(not f for f in left)
        print(f"{name:18} {perfect:4}/{n:<4}    {sum(left):5}        {drawn:5}")
        figures |= {name: perfect / n, f"{name}_images": drawn}
    close(figures)


class Judge:
    """The critic with a cache of its answers: the strategies share their first image."""

    def __init__(self, critic, batch: int):
        self.critic, self.batch, self.known = critic, batch, {}

    def __call__(self, inputs: list[tuple[str, object, int]]) -> list:
        """A critique for each (request, image, seed it is drawn with)."""
        new = [ask for ask in dict.fromkeys(inputs) if ask not in self.known]
        questions = [
            Question("t2i", request, (from_pil(draw(image, 256, seed)),)) for request, image, seed in new
        ]
        answers = self.critic.judge(
            questions, JudgeOptions(batch_size=self.batch), on_progress=progress("critiques", len(new))
        )
        self.known |= zip(new, answers, strict=True)
        return [self.known[ask] for ask in inputs]


def run(requests: list[str], judge: Judge, images: int, policy: str, use_refined: bool) -> tuple[list, int]:
    """Run the loops of all requests in step. Returns each loop's best image and the number of images made."""
    # patience 0: every strategy may use its whole budget
    settings = loop_settings.LoopSettings(rounds=images, seed_policy=policy, patience=0)
    states = [loop_state.start(request, 1000 * i, settings) for i, request in enumerate(requests)]
    drawn = 0
    while running := [i for i, state in enumerate(states) if not state.done]:
        made = [sample_rendering(states[i].prompt, states[i].seed) for i in running]
        drawn += len(made)
        critiques = judge([(requests[i], p, states[i].seed) for i, p in zip(running, made, strict=True)])
        for i, image, critique in zip(running, made, critiques, strict=True):
            following = None if use_refined else requests[i]
            states[i] = loop_state.observe(states[i], [critique], [image], following)
    print(file=sys.stderr)
    return [state.best_payload for state in states], drawn


def faults(scene, image) -> int:
    return len(differences(scene, image.scene)) + len(flaws(image)) + len(word_faults(scene.word, image))


if __name__ == "__main__":
    main()
