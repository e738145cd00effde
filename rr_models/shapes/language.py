"""How scenes are asked for in words: phrasing a request in many ways, and reading a prompt back.

A prompt may end in a firm part, "Make sure that the left shape is red, the picture is sharp." Whatever stands
there counts as stressed, and the generator errs less in it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from .world import COLORS, PLACES, SHAPES, SIZES, WORDS, Fault, Scene, Thing, where


class UnreadableRequest(ValueError):
    """The request says nothing that the shapes generator can draw."""


@dataclass(frozen=True)
class Reading:
    """A prompt as the generator understands it; `stressed` holds pairs such as ("color", "left") or ("noise",
    None)."""

    scene: Scene
    stressed: frozenset[tuple[str, str | None]]


_FIRM = "Make sure that"
_PLACE = rf"(?:on|in|at|to)\s+the\s+({'|'.join(PLACES)}|center|centre)"
_THING = rf"\b(?:(large|big|small|little)\s+)?({'|'.join(COLORS)})\s+({'|'.join(SHAPES)})\s+{_PLACE}"
_PLACES = {"center": "middle", "centre": "middle"}
_SIZES = {None: "large", "big": "large", "little": "small"}


def phrase(scene: Scene, rng: random.Random) -> str:
    """One of many ways to ask for the scene."""
    parts = [f"{thing} {where(place)}" for place, thing in zip(PLACES, scene.things, strict=True) if thing]
    rng.shuffle(parts)
    last = rng.choice((" and ", ", "))
    text = ", ".join(parts[:-1]) + last + parts[-1] if len(parts) > 1 else parts[0]
    if scene.word:
        text += rng.choice(
            (' with the word "{}" below', ', the word "{}" below', ' and the word "{}" below')
        ).format(scene.word)
    text = rng.choice(("", "", "Draw ", "Please draw ", "A picture of ", "Paint ")) + text
    return text + rng.choice(("", "."))


def demand(fault: Fault, wanted: Scene) -> str:
    """The firm words that mend one fault."""
    thing = wanted.at(fault.place) if fault.place else None
    return {
        "color": lambda: f"the {fault.place} shape is {thing.color}",
        "shape": lambda: f"the {fault.place} shape is a {thing.shape}",
        "size": lambda: f"the {fault.place} shape is {thing.size}",
        "missing": lambda: f"there is {thing} {where(fault.place)}",
        "extra": lambda: f"the {fault.place} is empty",
        "cut": lambda: f"the {fault.place} shape is whole",
        "noise": lambda: "the picture is free of noise",
        "blur": lambda: "the picture is sharp",
    }.get(fault.kind, lambda: f'the word reads "{wanted.word}"')()


def demands(faults: tuple[Fault, ...], wanted: Scene) -> str:
    """What went wrong, stated firmly; empty if nothing did."""
    return f"{_FIRM} {', '.join(demand(f, wanted) for f in faults)}." if faults else ""


def read(prompt: str) -> Reading:
    """What the prompt asks for. Raises UnreadableRequest when it names no shape at a place."""
    prompt = re.sub("[\u201c\u201d\u201e]", '"', prompt)
    plain, _, firm = re.sub(_FIRM, _FIRM, prompt, flags=re.IGNORECASE).partition(_FIRM)
    scene = Scene((None, None, None))
    for size, color, shape, place in re.findall(_THING, plain, re.IGNORECASE):
        size, place = size.lower() or None, place.lower()
        scene = scene.put(
            _PLACES.get(place, place), Thing(color.lower(), shape.lower(), _SIZES.get(size, size or "large"))
        )
    word = re.search(rf'"({"|".join(WORDS)})"', plain)
    if word:
        scene = Scene(scene.things, word[1])
    if not any(scene.things):
        raise UnreadableRequest(
            f"The request {prompt[:80]!r} names no shape that the Shapes generator can draw. Write, for "
            'example: "a large red circle on the left and a small blue star on the right". It knows '
            f"{', '.join(COLORS)}; {', '.join(SHAPES)}; {', '.join(SIZES)}; {', '.join(PLACES)}; "
            f"and the words {', '.join(WORDS)} in quotes."
        )
    return Reading(scene, frozenset(_stressed(firm)))


def _stressed(firm: str):
    for place, what in re.findall(rf"the ({'|'.join(PLACES)}) shape is (?:a )?(\w+)", firm):
        kind = (
            "color" if what in COLORS else "shape" if what in SHAPES else "size" if what in SIZES else "cut"
        )
        yield kind, place
    for *_, place in re.findall(_THING, firm):
        yield from ((kind, place) for kind in ("missing", "color", "shape", "size"))
    for place in re.findall(rf"the ({'|'.join(PLACES)}) is empty", firm):
        yield "extra", place
    if "word reads" in firm:
        yield "word", None
    if "free of noise" in firm:
        yield "noise", None
    if "is sharp" in firm:
        yield "blur", None
