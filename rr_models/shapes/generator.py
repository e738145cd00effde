"""A generator that makes mistakes, as real ones do: it draws the prompt but now and then gets a part wrong.

A part goes wrong less often if the prompt demands it, so a better prompt really helps; which parts go wrong
depends on the seed, so a new seed may help too. Equal prompt and seed give the same image.
"""

from __future__ import annotations

import random
from dataclasses import replace

from PIL import Image

from .draw import draw
from .phrasing import parse_prompt
from .scene import COLORS, POSITIONS, SHAPES, SIZES, WORDS, Figure, Rendering, Scene

CHANCES = {
    "missing": 0.06,
    "color": 0.16,
    "shape": 0.16,
    "size": 0.12,
    "extra": 0.06,
    "word": 0.35,
    "noise": 0.08,
    "blur": 0.08,
    "cut": 0.05,
}
"""The chance of each fault."""
DEMANDED = 0.15
"""Factor on the chance of a fault that the prompt demands to be right."""


def sample_rendering(prompt: str, seed: int) -> Rendering:
    """What the generator makes of the prompt. Raises UnreadableRequest.

    Every decision has a random generator of its own, seeded by the seed alone, so that a demand for one thing
    changes nothing else in the image.
    """
    parsed = parse_prompt(prompt)
    scene = parsed.scene

    def goes_wrong(fault: str, position: str | None = None) -> random.Random | None:
        rng = random.Random(f"{seed} {fault} {position}")
        chance = CHANCES[fault] * (DEMANDED if (fault, position) in parsed.demanded else 1)
        return rng if rng.random() < chance else None

    cut = None
    for position in POSITIONS:
        figure = scene.at(position)
        if figure is None:
            if rng := goes_wrong("extra", position):
                scene = scene.put(position, _random_figure(rng))
        elif goes_wrong("missing", position):
            scene = scene.put(position, None)
        else:
            wrong = {
                attribute: rng.choice([value for value in values if value != getattr(figure, attribute)])
                for attribute, values in (("color", tuple(COLORS)), ("shape", SHAPES), ("size", SIZES))
                if (rng := goes_wrong(attribute, position))
            }
            scene = scene.put(position, replace(figure, **wrong))
            cut = cut or (position if goes_wrong("cut", position) else None)
    broken = False
    if scene.word and (rng := goes_wrong("word")):
        mistake = rng.choice(("letters", "other", "none"))
        broken = mistake == "letters"
        other = rng.choice([word for word in WORDS if word != scene.word])
        word = {"letters": scene.word, "other": other, "none": None}[mistake]
        scene = Scene(scene.figures, word)
    return Rendering(scene, bool(goes_wrong("noise")), bool(goes_wrong("blur")), cut, broken)


def generate(prompt: str, seed: int, size: int = 256) -> Image.Image:
    """Draw the prompt as an RGB image of `size` x `size` pixels. Raises UnreadableRequest."""
    return draw(sample_rendering(prompt, seed), size, seed)


def _random_figure(rng: random.Random) -> Figure:
    return Figure(rng.choice(tuple(COLORS)), rng.choice(SHAPES), rng.choice(SIZES))
