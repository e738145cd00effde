"""A generator that errs, as real ones do: it draws what the prompt says but misreads a part of it now and
then.

The chance falls where the prompt states a thing firmly, so a better prompt really helps; which parts go wrong
depends on the seed, so a new seed may help too. Same prompt and same seed: the same picture.
"""

from __future__ import annotations

import random

from PIL import Image

from .draw import draw
from .language import read
from .world import COLORS, PLACES, SHAPES, SIZES, WORDS, Picture, Thing

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
STRESSED = 0.15
"""What remains of a chance when the prompt states the thing firmly."""


def imagine(prompt: str, seed: int) -> Picture:
    """What the generator makes of the prompt. Every decision has its own dice, thrown from the seed alone, so
    stressing one thing changes nothing else in the picture."""
    reading = read(prompt)
    scene = reading.scene

    def goes_wrong(kind: str, place: str | None = None) -> random.Random | None:
        dice = random.Random(f"{seed} {kind} {place}")
        chance = CHANCES[kind] * (STRESSED if (kind, place) in reading.stressed else 1)
        return dice if dice.random() < chance else None

    cut = None
    for place in PLACES:
        thing = scene.at(place)
        if thing is None:
            if dice := goes_wrong("extra", place):
                scene = scene.put(place, _any_thing(dice))
        elif goes_wrong("missing", place):
            scene = scene.put(place, None)
        else:
            wrong = {
                kind: dice.choice([v for v in values if v != getattr(thing, kind)])
                for kind, values in (("color", tuple(COLORS)), ("shape", SHAPES), ("size", SIZES))
                if (dice := goes_wrong(kind, place))
            }
            scene = scene.put(place, Thing(**{**vars(thing), **wrong}))
            cut = cut or (place if goes_wrong("cut", place) else None)
    broken = False
    if scene.word and (dice := goes_wrong("word")):
        slip = dice.choice(("letters", "other", "none"))
        broken = slip == "letters"
        other = dice.choice([w for w in WORDS if w != scene.word])
        scene = type(scene)(scene.things, {"letters": scene.word, "other": other, "none": None}[slip])
    return Picture(scene, bool(goes_wrong("noise")), bool(goes_wrong("blur")), cut, broken)


def generate(prompt: str, seed: int, size: int = 256) -> Image.Image:
    """Draw the prompt as an RGB image of `size` x `size` pixels. Raises UnreadableRequest."""
    return draw(imagine(prompt, seed), size, seed)


def _any_thing(dice: random.Random) -> Thing:
    return Thing(dice.choice(tuple(COLORS)), dice.choice(SHAPES), dice.choice(SIZES))
