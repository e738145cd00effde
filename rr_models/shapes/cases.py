"""Seeded cases for training and testing: a request, the rendering made for it, and its true critique.

Every scene belongs to exactly one split, by a hash of its content: no scene that is requested, drawn or
edited in a held-out case was ever requested, drawn or edited in training.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace

from ..judgement.critique import Critique
from ..judgement.task import Task
from .ground_truth import critique_edit, critique_t2i
from .phrasing import phrase
from .scene import (
    COLORS,
    POSITIONS,
    SHAPES,
    SIZES,
    WORDS,
    Fault,
    Figure,
    Rendering,
    Scene,
    differences,
    flaws,
    location,
    word_faults,
)

TASKS = (Task.T2I, Task.EDIT)
HELD_OUT_FRACTION = 5  # one scene in five
_ATTRIBUTES = {"color": tuple(COLORS), "shape": SHAPES, "size": SIZES}


@dataclass(frozen=True)
class Case:
    """`source` is the image before the edit (None for t2i). `truth` is the true critique of `rendering`."""

    task: Task
    request: str
    wanted: Scene
    rendering: Rendering
    source: Rendering | None
    truth: Critique

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything that is wrong, in any aspect."""
        return (
            differences(self.wanted, self.rendering.scene)
            + flaws(self.rendering)
            + word_faults(self.wanted.word, self.rendering)
        )


def held_out(scene: Scene) -> bool:
    """Whether the scene is reserved for testing."""
    return hashlib.sha256(str(scene).encode()).digest()[0] % HELD_OUT_FRACTION == 0


def random_case(rng: random.Random, task: str, test: bool) -> Case:
    """A random case of the test or the training split."""
    return (_t2i_case if task == Task.T2I else _edit_case)(rng, test)


def random_scene(rng: random.Random, test: bool, words: bool = True) -> Scene:
    """A random scene of one split, with one to three figures and sometimes a word."""
    while True:
        positions = rng.sample(POSITIONS, rng.choice((1, 2, 2, 3)))
        left, middle, right = (
            random_figure(rng) if position in positions else None for position in POSITIONS
        )
        word = rng.choice(WORDS) if words and rng.random() < 0.4 else None
        scene = Scene((left, middle, right), word)
        if held_out(scene) == test:
            return scene


def random_figure(rng: random.Random) -> Figure:
    return Figure(rng.choice(tuple(COLORS)), rng.choice(SHAPES), rng.choice(SIZES))


def redrawn(case: Case, rng: random.Random, test: bool) -> Case:
    """The same request with another rendering."""
    if case.source is None:
        return _drawn_t2i(case.request, case.wanted, rng, test)
    return _drawn_edit(case.request, case.source.scene, case.wanted, rng, test)


def _t2i_case(rng: random.Random, test: bool) -> Case:
    wanted = random_scene(rng, test)
    return _drawn_t2i(phrase(wanted, rng), wanted, rng, test)


def _drawn_t2i(request: str, wanted: Scene, rng: random.Random, test: bool) -> Case:
    while True:
        drawn = _with_mistakes(wanted, rng, POSITIONS, rng.choice((0, 0, 1, 1, 2, 3)))
        if wanted.word and rng.random() < 0.35:
            word = rng.choice((None, None, *(word for word in WORDS if word != wanted.word)))
            drawn = Scene(drawn.figures, word)
        if held_out(drawn) == test:
            break
    rendering = _with_flaws(drawn, rng, letters=drawn.word is not None and drawn.word == wanted.word)
    truth = critique_t2i(request, wanted, rendering)
    return Case(Task.T2I, request, wanted, rendering, None, truth)


def _edit_case(rng: random.Random, test: bool) -> Case:
    while True:
        source = random_scene(rng, test, words=False)
        request, wanted = _instruction(source, rng)
        if any(wanted.figures) and held_out(wanted) == test:
            return _drawn_edit(request, source, wanted, rng, test)


def _drawn_edit(request: str, source: Scene, wanted: Scene, rng: random.Random, test: bool) -> Case:
    (edited,) = (position for position in POSITIONS if source.at(position) != wanted.at(position))
    others = tuple(position for position in POSITIONS if position != edited)
    while True:
        drawn = wanted
        if rng.random() < 0.35:  # the edit was not made, or made wrongly
            drawn = source if rng.random() < 0.4 else _with_mistakes(drawn, rng, (edited,), 1)
        if rng.random() < 0.5:  # the edit changed what should have stayed
            drawn = _with_mistakes(drawn, rng, others, rng.choice((1, 1, 2)))
        if held_out(drawn) == test:
            break
    rendering = _with_flaws(drawn, rng, letters=False)
    truth = critique_edit(request, source, wanted, rendering)
    return Case(Task.EDIT, request, wanted, rendering, Rendering(source), truth)


def _instruction(source: Scene, rng: random.Random) -> tuple[str, Scene]:
    """An edit at one position: the instruction, and the scene it should lead to."""
    position = rng.choice(POSITIONS)
    old = source.at(position)
    if old is None:
        new = random_figure(rng)
        instruction = rng.choice(("Add {} {}", "Put {} {}")).format(new, location(position))
        return f"{instruction}.", source.put(position, new)
    attribute = rng.choice(("color", "shape", "size", "remove"))
    if attribute == "remove":
        instruction = rng.choice(("Remove the {} shape.", "Take away the {} shape."))
        return instruction.format(position), source.put(position, None)
    value = rng.choice([value for value in _ATTRIBUTES[attribute] if value != getattr(old, attribute)])
    new = replace(old, **{attribute: value})
    if attribute == "shape":
        instruction = rng.choice(("Turn the {} shape into {}.", "Change the {} shape to {}."))
        return instruction.format(position, f"a {value}"), source.put(position, new)
    instruction = rng.choice(("Make the {} shape {}.",))
    return instruction.format(position, value), source.put(position, new)


def _with_mistakes(scene: Scene, rng: random.Random, positions: tuple[str, ...], mistakes: int) -> Scene:
    """Change up to `mistakes` attributes at these positions."""
    for _ in range(mistakes):
        position = rng.choice(positions)
        figure = scene.at(position)
        if figure is None:
            if rng.random() < 0.5:
                scene = scene.put(position, random_figure(rng))
        elif rng.random() < 0.18:
            scene = scene.put(position, None)
        else:
            attribute = rng.choice(("color", "shape", "size"))
            value = rng.choice(_ATTRIBUTES[attribute])
            scene = scene.put(position, replace(figure, **{attribute: value}))
    return scene


def _with_flaws(drawn: Scene, rng: random.Random, letters: bool) -> Rendering:
    occupied = [position for position in POSITIONS if drawn.at(position)]
    return Rendering(
        drawn,
        noisy=rng.random() < 0.14,
        blurred=rng.random() < 0.14,
        cut=rng.choice(occupied) if occupied and rng.random() < 0.16 else None,
        broken_letters=letters and rng.random() < 0.3,
    )
