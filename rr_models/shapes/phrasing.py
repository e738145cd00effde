"""Requests in words: phrase a scene in many ways, and parse a prompt back into a scene.

A prompt may end with demands: "Make sure that the left shape is red, the picture is sharp." The generator
makes fewer mistakes in the things that demands mention.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .scene import COLORS, POSITIONS, SHAPES, SIZES, WORDS, Fault, Figure, Scene, location


class UnreadableRequest(ValueError):
    """The request names nothing that the Shapes generator can draw."""


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt as the generator understands it. `demanded` holds (kind of fault, position) pairs such as
    ("color", "left") or ("noise", None)."""

    scene: Scene
    demanded: frozenset[tuple[str, str | None]]


_DEMAND = "Make sure that"
_POSITION = rf"(?:on|in|at|to)\s+the\s+({'|'.join(POSITIONS)}|center|centre)"
_FIGURE = rf"\b(?:(large|big|small|little)\s+)?({'|'.join(COLORS)})\s+({'|'.join(SHAPES)})\s+{_POSITION}"
_POSITION_SYNONYMS = {"center": "middle", "centre": "middle"}
_SIZE_SYNONYMS = {"": "large", "big": "large", "little": "small"}


def phrase(scene: Scene, rng: random.Random) -> str:
    """A request for the scene, in one of many wordings."""
    parts = [
        f"{figure} {location(position)}"
        for position, figure in zip(POSITIONS, scene.figures, strict=True)
        if figure
    ]
    rng.shuffle(parts)
    conjunction = rng.choice((" and ", ", "))
    text = ", ".join(parts[:-1]) + conjunction + parts[-1] if len(parts) > 1 else parts[0]
    if scene.word:
        text += rng.choice(
            (' with the word "{}" below', ', the word "{}" below', ' and the word "{}" below')
        ).format(scene.word)
    text = rng.choice(("", "", "Draw ", "Please draw ", "A picture of ", "Paint ")) + text
    return text + rng.choice(("", "."))


def demand(fault: Fault, wanted: Scene) -> str:
    """What a prompt has to say to correct one fault."""
    if fault.kind == "noise":
        return "the picture is free of noise"
    if fault.kind == "blur":
        return "the picture is sharp"
    if fault.position is None:
        return f'the word reads "{wanted.word}"'
    if fault.kind == "cut":
        return f"the {fault.position} shape is whole"
    figure = wanted.at(fault.position)
    if figure is None:
        return f"the {fault.position} is empty"
    if fault.kind == "missing":
        return f"there is {figure} {location(fault.position)}"
    article = "a " if fault.kind == "shape" else ""
    return f"the {fault.position} shape is {article}{getattr(figure, fault.kind)}"


def demands(faults: tuple[Fault, ...], wanted: Scene) -> str:
    """The sentence that corrects all faults; empty if there are none."""
    return f"{_DEMAND} {', '.join(demand(fault, wanted) for fault in faults)}." if faults else ""


def parse_prompt(prompt: str) -> ParsedPrompt:
    """What the prompt requests. Raises UnreadableRequest if it names no shape at a position."""
    prompt = re.sub("[\u201c\u201d\u201e]", '"', prompt)
    request, _, demanded = re.sub(_DEMAND, _DEMAND, prompt, flags=re.IGNORECASE).partition(_DEMAND)
    scene = Scene((None, None, None))
    figures: list[tuple[str, str, str, str]] = re.findall(_FIGURE, request, re.IGNORECASE)
    for size, color, shape, position in figures:
        size, position = size.lower(), position.lower()
        figure = Figure(color.lower(), shape.lower(), _SIZE_SYNONYMS.get(size, size))
        scene = scene.put(_POSITION_SYNONYMS.get(position, position), figure)
    word = re.search(rf'"({"|".join(WORDS)})"', request)
    if word:
        scene = Scene(scene.figures, word[1])
    if not any(scene.figures):
        raise UnreadableRequest(
            f"The request {prompt[:80]!r} names no shape that the Shapes generator can draw. Write, for "
            'example: "a large red circle on the left and a small blue star on the right". It knows '
            f"{', '.join(COLORS)}; {', '.join(SHAPES)}; {', '.join(SIZES)}; {', '.join(POSITIONS)}; "
            f"and the words {', '.join(WORDS)} in quotes."
        )
    return ParsedPrompt(scene, frozenset(_demanded(demanded)))


def _demanded(text: str) -> Iterator[tuple[str, str | None]]:
    for position, value in re.findall(rf"the ({'|'.join(POSITIONS)}) shape is (?:a )?(\w+)", text):
        if value in COLORS:
            yield "color", position
        elif value in SHAPES:
            yield "shape", position
        else:
            yield "size" if value in SIZES else "cut", position
    for *_, position in re.findall(_FIGURE, text):
        yield from ((kind, position) for kind in ("missing", "color", "shape", "size"))
    for position in re.findall(rf"the ({'|'.join(POSITIONS)}) is empty", text):
        yield "extra", position
    if "word reads" in text:
        yield "word", None
    if "free of noise" in text:
        yield "noise", None
    if "is sharp" in text:
        yield "blur", None
