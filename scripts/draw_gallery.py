"""Draw the gallery of scorecards in docs/gallery: ten cases, judged by the built-in Shapes critic.

    python scripts/draw_gallery.py [NAME ...]

Takes three to seven minutes on a CPU; with names, only these are drawn. What is shown is chosen, by this
script: the first seeds whose images tell the story and of which the critic says exactly what is true (the
generator knows what it drew). How often the critic is right is measured elsewhere: docs/shapes_critic.md.

Two cases are not complete answers of the Shapes critic, which writes no Chinese and omits nothing:
`incomplete` is one of its answers cut off, `chinese` is written by hand; both are parsed like any answer.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rr_models import refine, scorecard  # noqa: E402
from rr_models.checkpoints.model_folder import SHAPES_CRITIC  # noqa: E402
from rr_models.critics.judging import INDEPENDENT, compare, critique  # noqa: E402
from rr_models.critics.local import load  # noqa: E402
from rr_models.images import from_pil  # noqa: E402
from rr_models.judgement.critique import Critique  # noqa: E402
from rr_models.loop.settings import LoopSettings  # noqa: E402
from rr_models.loop.state import SEED_STEP, State, observe, start  # noqa: E402
from rr_models.loop.stop_reason import StopReason  # noqa: E402
from rr_models.parsing.parse import parse  # noqa: E402
from rr_models.prompt_revision.revise import APPEND, revise  # noqa: E402
from rr_models.shapes import cases  # noqa: E402
from rr_models.shapes.draw import draw  # noqa: E402
from rr_models.shapes.generator import generate, sample_rendering  # noqa: E402
from rr_models.shapes.ground_truth import critique_t2i  # noqa: E402
from rr_models.shapes.phrasing import parse_prompt  # noqa: E402

MAX_BYTES = 100_000
"""A larger file is saved with 256 colours instead."""
GALLERY = ROOT / "docs" / "gallery"
HELP = ROOT / "web" / "docs" / "RationalRewardsScorecard"
IN_HELP = "rounds_3"
"""The case that the help page of the Scorecard node shows, too."""
REQUEST = 'a small yellow star on the left and a large purple triangle on the right with the word "SUN" below'
LOOP_REQUEST = (
    "a large green square on the left, a small red circle in the middle and a large blue star on the right "
    'with the word "SUN" below'
)
PASSED = 3.0
CHINESE = (ROOT / "tests" / "data" / "chinese_answer.txt", ROOT / "tests" / "data" / "chinese_request.txt")
MANY = 24
"""Rounds of the long loop: every one of them must be judged right."""


@lru_cache(maxsize=1)
def critic():
    return load(SHAPES_CRITIC, name="Shapes critic")


def judge(images: list[Image.Image], request: str, **options) -> list[Critique]:
    return critique(critic(), [from_pil(image) for image in images], request, **options)


def truth(request: str, seed: int, prompt: str = "") -> Critique:
    """The true critique of what the generator makes of the prompt (by default the request)."""
    return critique_t2i(request, parse_prompt(request).scene, sample_rendering(prompt or request, seed))


def is_right(judged: Critique, true: Critique) -> bool:
    """Whether the critic wrote what is true, word by word."""
    return judged.values() == true.values()


def right_seeds(
    request: str, first: int, wanted: Callable[[Critique], bool], size: int = 320
) -> Iterator[int]:
    """Seeds from `first` on whose true critique is wanted and is what the critic says. Noise makes large
    files, so no image is noisy."""
    for seed in itertools.count(first):
        true = truth(request, seed)
        if not wanted(true) or sample_rendering(request, seed).noisy:
            continue
        if is_right(judge([generate(request, seed, size)], request)[0], true):
            yield seed


def fails_twice(true: Critique) -> bool:
    """Two aspects are below the threshold, and nothing is missing: there is something to see."""
    low = [aspect for aspect in true.aspects if aspect.score is not None and aspect.score < PASSED]
    return len(low) == 2 and "missing" not in true.to_text()


def single() -> Image.Image:
    seed = next(right_seeds(REQUEST, 1, fails_twice, 512))
    image = generate(REQUEST, seed, 512)
    return scorecard.draw(judge([image], REQUEST)[0], [image], seeds=[seed])


def candidates(count: int, theme: str = "light") -> Image.Image:
    """One candidate passes; of the others, some tie."""
    seeds = list(
        itertools.islice(right_seeds(REQUEST, 300, lambda true: not true.reaches(PASSED)), count - 1)
    )
    seeds.append(next(right_seeds(REQUEST, 300, lambda true: true.reaches(PASSED))))
    seeds.sort()
    images = [generate(REQUEST, seed, 320) for seed in seeds]
    return scorecard.draw(judge(images, REQUEST), images, seeds=seeds, theme=theme)


def loop(request: str, seed: int, settings: LoopSettings, append: bool = False) -> tuple[State, dict]:
    """A loop with the critic, and its images by prompt and seed. `append`: the critic's demands are added to
    the last prompt, as Revise Prompt does, and do not replace those of the rounds before."""
    drawn: dict[tuple[str, int], Image.Image] = {}
    prompts = [request]

    def make(prompt: str, seed: int) -> Image.Image:
        prompts.append(prompt)
        return drawn.setdefault((prompt, seed), generate(prompt, seed, 320))

    def next_prompt(judged: Critique) -> str:
        return appended(judged, prompts[-1]) if append else judged.refined_request

    def on_round(state: State) -> None:
        print(f"  round {len(state.history)}", end="\r", flush=True)

    return refine(
        make, critic(), request, seed=seed, settings=settings, next_prompt=next_prompt, progress=on_round
    ), drawn


def appended(judged: Critique, last_prompt: str) -> str:
    return revise(judged, mode=APPEND, last_prompt=last_prompt).prompt


def true_loop(request: str, seed: int, settings: LoopSettings) -> State:
    """The same with a critic that knows the truth: thousands of these take seconds."""
    state = start(request, seed, settings)
    while not state.done:
        true = truth(request, state.seed, state.prompt)
        state = observe(state, [true], next_prompt=appended(true, state.prompt))
    return state


def rises(state: State) -> bool:
    """Whether three rounds with one seed rise clearly until one passes: better by words alone."""
    scores = [past.critique.overall or 0.0 for past in state.history]
    steps = [after - before for before, after in itertools.pairwise(scores)]
    return (
        len(steps) == 2
        and min(steps) >= 0.4
        and len({past.seed for past in state.history}) == 1
        and state.stop is not None
        and state.stop.reason is StopReason.THRESHOLDS_REACHED
    )


def rounds_right(state: State) -> bool:
    return all(
        is_right(past.critique, truth(state.request, past.seed, past.prompt)) for past in state.history
    )


def three_rounds() -> Image.Image:
    settings = LoopSettings(rounds=4)
    for seed in itertools.count():
        if rises(true_loop(LOOP_REQUEST, seed, settings)):
            state, drawn = loop(LOOP_REQUEST, seed, settings, append=True)
            if rises(state) and rounds_right(state):
                return story(state, drawn)
    raise AssertionError("there is no end of seeds")


def one_round() -> Image.Image:
    state, drawn = loop(REQUEST, next(right_seeds(REQUEST, 1, fails_twice)), LoopSettings(rounds=1))
    return story(state, drawn)


def many_rounds() -> Image.Image:
    settings = LoopSettings(
        rounds=MANY, target_count=MANY, patience=0, seed_policy="new", prompt_policy="as written"
    )
    for first in itertools.count(1):
        seeds = range(first, first + MANY * SEED_STEP, SEED_STEP)
        judged = (judge([generate(REQUEST, seed, 320)], REQUEST)[0] for seed in seeds)
        if all(is_right(own, truth(REQUEST, seed)) for own, seed in zip(judged, seeds, strict=True)):
            state, drawn = loop(REQUEST, first, settings)
            assert rounds_right(state), "the same prompts and seeds as before"
            return story(state, drawn, "dark")
    raise AssertionError("there is no end of seeds")


def story(state: State, drawn: dict[tuple[str, int], Image.Image], theme: str = "light") -> Image.Image:
    images = {past.number: drawn[past.prompt, past.seed] for past in state.history}
    return scorecard.draw(state, images, theme=theme)


def incomplete() -> Image.Image:
    seed = next(right_seeds(REQUEST, 1, fails_twice, 512))
    image = generate(REQUEST, seed, 512)
    whole = judge([image], REQUEST)[0]
    cut = whole.text[: whole.text.rindex("## Score")]
    critique = replace(parse(cut, "t2i", REQUEST, truncated=True), source=whole.source)
    return scorecard.draw(critique, [image], theme="dark", seeds=[seed])


def pair() -> Image.Image:
    good = next(right_seeds(REQUEST, 300, lambda true: true.reaches(PASSED)))
    bad = next(right_seeds(REQUEST, 300, fails_twice))
    images = [generate(REQUEST, seed, 320) for seed in (bad, good)]
    a, b = (from_pil(image) for image in images)
    return scorecard.draw(compare(critic(), a, b, REQUEST, comparison=INDEPENDENT), images)


def edit() -> Image.Image:
    """The edit was made, and something else was changed with it."""
    for number in itertools.count():
        case = cases.random_case(random.Random(number), "edit", test=True)
        assert case.source is not None
        low = [aspect.key for aspect in case.truth.aspects if aspect.score and aspect.score < PASSED]
        if low != ["image_faithfulness"] or not all(case.rendering.scene.figures):
            continue
        source, image = draw(case.source, 320, 1), draw(case.rendering, 320, 2)
        judged = judge([image], case.request, task="edit", sources=[from_pil(source)])[0]
        if is_right(judged, case.truth):
            return scorecard.draw(judged, [image], sources=[source])
    raise AssertionError("there is no end of cases")


def chinese() -> Image.Image:
    answer, request = (file.read_text("utf-8").strip() for file in CHINESE)
    image = generate("a large red circle on the left and a small blue star on the right", 10, 724)
    return scorecard.draw(parse(answer, "t2i", request), [image])


CASES: dict[str, Callable[[], Image.Image]] = {
    "one": single,
    "candidates_3": lambda: candidates(3, "dark"),
    "candidates_12": lambda: candidates(12),
    "rounds_1": one_round,
    "rounds_3": three_rounds,
    f"rounds_{MANY}": many_rounds,
    "incomplete": incomplete,
    "pair": pair,
    "edit": edit,
    "chinese": chinese,
}


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    options.add_argument("names", nargs="*", choices=[*CASES, []])
    options.add_argument("--folder", type=Path, default=GALLERY)
    args = options.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names or CASES:
        card = CASES[name]()
        file = args.folder / f"{name}.png"
        card.save(file, optimize=True)
        if file.stat().st_size > MAX_BYTES:
            reduced = card.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
            reduced.save(file, optimize=True)
        if name == IN_HELP and args.folder == GALLERY:
            shutil.copyfile(file, HELP / file.name)
        print(f"{file}: {card.width} x {card.height}, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
