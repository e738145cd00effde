"""Does the critique itself help? Four ways to spend at most four pictures on a request, on held-out requests.

    python benchmarks/loop_gain.py [--quick] [--n 120] [--seed 1] [--pictures 4] [--critic DIR]

All ways use the shapes generator that errs, the Shapes critic, and start from the same first picture. What
counts is the truth: whether the picture that a way hands over has no fault at all, which the generator's own
records tell.

first              the first picture, whatever it is
refine_fixed_seed  critique, refine, draw again with the same seed (the paper's way); stops once the critic is
                   content
refine_new_seed    the same with a new seed each round
best_of_4          the same prompt with other seeds; stops once the critic is content; the critic's favourite
                   is kept
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
    options.add_argument(
        "--pictures", type=int, default=4, help="pictures that each way may draw for a request"
    )
    options.add_argument("--critic", type=Path, default=SHAPES_CRITIC)
    options.add_argument("--batch", type=int, default=24)
    args = options.parse_args()
    n = 12 if args.quick else args.n

    rng = random.Random(f"loop gain {args.seed}")
    scenes = [cases.random_scene(rng, test=True) for _ in range(n)]
    requests = [phrase(scene, rng) for scene in scenes]
    judge = Judge(load(args.critic), args.batch)

    first = [sample_rendering(request, 1000 * i) for i, request in enumerate(requests)]
    ways = {"first": (first, n)}
    for name, policy, use_refined in (
        ("refine_fixed_seed", "fixed", True),
        ("refine_new_seed", "new", True),
        ("best_of_4", "new", False),
    ):
        ways[name] = run(requests, judge, args.pictures, policy, use_refined)

    figures = {"n": n, "pictures": args.pictures}
    print(f"{'way':18} perfect      faults left  pictures drawn")
    for name, (pictures, drawn) in ways.items():
        left = [faults(scene, picture) for scene, picture in zip(scenes, pictures, strict=True)]
        perfect = sum(not f for f in left)
        print(f"{name:18} {perfect:4}/{n:<4}    {sum(left):5}        {drawn:5}")
        figures |= {name: perfect / n, f"{name}_pictures": drawn}
    close(figures)


class Judge:
    """The critic, with its answers remembered: the ways share their first picture."""

    def __init__(self, critic, batch: int):
        self.critic, self.batch, self.known = critic, batch, {}

    def __call__(self, asked: list[tuple[str, object, int]]) -> list:
        """A critique for each (request, picture, seed of its drawing)."""
        new = [ask for ask in dict.fromkeys(asked) if ask not in self.known]
        questions = [
            Question("t2i", request, (from_pil(draw(picture, 256, seed)),)) for request, picture, seed in new
        ]
        answers = self.critic.judge(questions, batch_size=self.batch, watch=progress("critiques", len(new)))
        self.known |= zip(new, answers, strict=True)
        return [self.known[ask] for ask in asked]


def run(requests: list[str], judge: Judge, pictures: int, policy: str, use_refined: bool) -> tuple[list, int]:
    """All requests' loops in step. Returns each loop's best picture and how many pictures were drawn in
    all."""
    # patience 0: every way may use its whole budget
    settings = loop_settings.LoopSettings(rounds=pictures, seed_policy=policy, patience=0)
    states = [loop_state.start(request, 1000 * i, settings) for i, request in enumerate(requests)]
    drawn = 0
    while running := [i for i, state in enumerate(states) if not state.done]:
        made = [sample_rendering(states[i].prompt, states[i].seed) for i in running]
        drawn += len(made)
        critiques = judge([(requests[i], p, states[i].seed) for i, p in zip(running, made, strict=True)])
        for i, picture, critique in zip(running, made, critiques, strict=True):
            following = None if use_refined else requests[i]
            states[i] = loop_state.observe(states[i], [critique], [picture], following)
    print(file=sys.stderr)
    return [state.best_payload for state in states], drawn


def faults(scene, picture) -> int:
    return (
        len(differences(scene, picture.scene)) + len(flaws(picture)) + len(word_faults(scene.word, picture))
    )


if __name__ == "__main__":
    main()
