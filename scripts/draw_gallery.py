"""Draw the gallery of scorecards in docs/gallery: ten cases, judged by the built-in Shapes critic.

    python scripts/draw_gallery.py [NAME ...]

Takes two minutes on a CPU; with names, only these are drawn. Two cases are not complete answers of the Shapes
critic, which writes no Chinese and omits nothing: `incomplete` is one of its answers cut off, `chinese` is
written by hand; both are parsed like any answer.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
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
from rr_models.loop.settings import LoopSettings  # noqa: E402
from rr_models.loop.state import State  # noqa: E402
from rr_models.parsing.parse import parse  # noqa: E402
from rr_models.shapes import cases  # noqa: E402
from rr_models.shapes.draw import draw  # noqa: E402
from rr_models.shapes.generator import generate, sample_rendering  # noqa: E402

MAX_BYTES = 100_000
"""A larger file is saved with 256 colours instead."""
GALLERY = ROOT / "docs" / "gallery"
REQUEST = 'a small yellow star on the left and a large purple triangle on the right with the word "SUN" below'
CHINESE = (ROOT / "tests" / "data" / "chinese_answer.txt", ROOT / "tests" / "data" / "chinese_request.txt")


@lru_cache(maxsize=1)
def critic():
    return load(SHAPES_CRITIC, name="Shapes critic")


def judge(images: list[Image.Image], request: str, **options) -> list:
    return critique(critic(), [from_pil(image) for image in images], request, **options)


def single() -> Image.Image:
    image = generate(REQUEST, 129, 512)
    return scorecard.draw(judge([image], REQUEST)[0], [image], seeds=["seed 129"])


def candidates(count: int, theme: str = "light") -> Image.Image:
    # noise makes large files
    seeds = [seed for seed in range(300, 400) if not sample_rendering(REQUEST, seed).noisy][:count]
    images = [generate(REQUEST, seed, 320) for seed in seeds]
    labels = [f"seed {seed}" for seed in seeds]
    return scorecard.draw(judge(images, REQUEST), images, seeds=labels, theme=theme)


def loop(theme: str = "light", request: str = REQUEST, seed: int = 129, **settings) -> Image.Image:
    drawn: dict[tuple[str, int], Image.Image] = {}

    def make(prompt: str, seed: int) -> Image.Image:
        return drawn.setdefault((prompt, seed), generate(prompt, seed, 320))

    def on_round(state: State) -> None:
        print(f"  round {len(state.history)}", end="\r", flush=True)

    state = refine(make, critic(), request, seed=seed, settings=LoopSettings(**settings), progress=on_round)
    images = {past.number: drawn[past.prompt, past.seed] for past in state.history}
    return scorecard.draw(state, images, theme=theme)


def incomplete() -> Image.Image:
    image = generate(REQUEST, 129, 512)
    text = judge([image], REQUEST)[0].text
    cut = text[: text.rindex("## Score")]
    critique = parse(cut, "t2i", REQUEST, truncated=True)
    return scorecard.draw(critique, [image], theme="dark", seeds=["seed 129"])


def pair() -> Image.Image:
    images = [generate(REQUEST, seed, 320) for seed in (305, 301)]
    a, b = (from_pil(image) for image in images)
    return scorecard.draw(compare(critic(), a, b, REQUEST, comparison=INDEPENDENT), images)


def edit() -> Image.Image:
    case = cases.random_case(random.Random(8), "edit", test=True)
    assert case.source is not None
    source, image = draw(case.source, 320, 1), draw(case.rendering, 320, 2)
    critique = judge([image], case.request, task="edit", sources=[from_pil(source)])[0]
    return scorecard.draw(critique, [image], sources=[source])


def chinese() -> Image.Image:
    answer, request = (file.read_text("utf-8").strip() for file in CHINESE)
    image = generate("a large red circle on the left and a small blue star on the right", 10, 512)
    return scorecard.draw(parse(answer, "t2i", request), [image])


CASES: dict[str, Callable[[], Image.Image]] = {
    "one": single,
    "candidates_3": lambda: candidates(3, "dark"),
    "candidates_12": lambda: candidates(12),
    "rounds_1": lambda: loop(rounds=1),
    "rounds_4": lambda: loop(
        request="a large green square on the left, a small red circle in the middle and a large blue star "
        'on the right with the word "SUN" below',
        seed=8,
        rounds=4,
        seed_policy="new on stall",
    ),
    "rounds_100": lambda: loop(
        "dark", rounds=100, target_count=100, patience=0, seed_policy="new", prompt_policy="as written"
    ),
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
        sheet = CASES[name]()
        file = args.folder / f"{name}.png"
        sheet.save(file, optimize=True)
        if file.stat().st_size > MAX_BYTES:
            reduced = sheet.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
            reduced.save(file, optimize=True)
        print(f"{file}: {sheet.width} x {sheet.height}, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
