"""Seeded cases to train and to test on: a request, the picture drawn for it, and its true critique.

Every scene belongs to exactly one side, by a hash of what is in it: no scene that is asked for, drawn or
edited in a held-out case was ever asked for, drawn or edited in training.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from ..judgement.critique import Critique
from ..judgement.task import Task
from .language import phrase
from .teacher import critique_edit, critique_t2i
from .world import (
    COLORS,
    PLACES,
    SHAPES,
    SIZES,
    WORDS,
    Picture,
    Scene,
    Thing,
    differences,
    flaws,
    where,
    word_faults,
)

TASKS = (Task.T2I, Task.EDIT)
HELD_OUT_SHARE = 5  # one scene in five


@dataclass(frozen=True)
class Case:
    """`source` is the picture before the edit (None for t2i). `truth` is the true critique of `picture`."""

    task: str
    request: str
    wanted: Scene
    picture: Picture
    source: Picture | None
    truth: Critique

    @property
    def faults(self):
        """Everything that is wrong, whatever the aspect."""
        return (
            differences(self.wanted, self.picture.scene)
            + flaws(self.picture)
            + word_faults(self.wanted.word, self.picture)
        )


def held_out(scene: Scene) -> bool:
    """Whether the scene is kept for testing."""
    return hashlib.sha256(str(scene).encode()).digest()[0] % HELD_OUT_SHARE == 0


def case(rng: random.Random, task: str, test: bool) -> Case:
    """A random case of one side."""
    return (_t2i if task == Task.T2I else _edit)(rng, test)


def scene(rng: random.Random, test: bool, words: bool = True) -> Scene:
    """A random scene of one side, with one to three things and sometimes a word."""
    while True:
        places = rng.sample(PLACES, rng.choice((1, 2, 2, 3)))
        things = tuple(thing(rng) if place in places else None for place in PLACES)
        found = Scene(things, rng.choice(WORDS) if words and rng.random() < 0.4 else None)
        if held_out(found) == test:
            return found


def thing(rng: random.Random) -> Thing:
    return Thing(rng.choice(tuple(COLORS)), rng.choice(SHAPES), rng.choice(SIZES))


def another(same: Case, rng: random.Random, test: bool) -> Case:
    """Another picture for the same request."""
    if same.source is None:
        return _answer_t2i(same.request, same.wanted, rng, test)
    return _answer_edit(same.request, same.source.scene, same.wanted, rng, test)


def _t2i(rng: random.Random, test: bool) -> Case:
    wanted = scene(rng, test)
    return _answer_t2i(phrase(wanted, rng), wanted, rng, test)


def _answer_t2i(request: str, wanted: Scene, rng: random.Random, test: bool) -> Case:
    while True:
        drawn = _spoil(wanted, rng, PLACES, rng.choice((0, 0, 1, 1, 2, 3)))
        if wanted.word and rng.random() < 0.35:
            drawn = Scene(drawn.things, rng.choice((None, None, *(w for w in WORDS if w != wanted.word))))
        if held_out(drawn) == test:
            break
    picture = _flawed(drawn, rng, letters=drawn.word is not None and drawn.word == wanted.word)
    return Case(Task.T2I, request, wanted, picture, None, critique_t2i(request, wanted, picture))


def _edit(rng: random.Random, test: bool) -> Case:
    while True:
        source = scene(rng, test, words=False)
        request, wanted = _instruction(source, rng)
        if any(wanted.things) and held_out(wanted) == test:
            return _answer_edit(request, source, wanted, rng, test)


def _answer_edit(request: str, source: Scene, wanted: Scene, rng: random.Random, test: bool) -> Case:
    (place,) = (p for p in PLACES if source.at(p) != wanted.at(p))
    others = tuple(p for p in PLACES if p != place)
    while True:
        drawn = wanted
        if rng.random() < 0.35:  # the edit was not made, or made wrongly
            drawn = source if rng.random() < 0.4 else _spoil(drawn, rng, (place,), 1)
        if rng.random() < 0.5:  # something was spoiled that should have stayed
            drawn = _spoil(drawn, rng, others, rng.choice((1, 1, 2)))
        if held_out(drawn) == test:
            break
    picture = _flawed(drawn, rng, letters=False)
    return Case(
        Task.EDIT, request, wanted, picture, Picture(source), critique_edit(request, source, wanted, picture)
    )


def _instruction(source: Scene, rng: random.Random) -> tuple[str, Scene]:
    """A change at one place, in words, and what should come of it."""
    place = rng.choice(PLACES)
    old = source.at(place)
    if old is None:
        new = thing(rng)
        return rng.choice(("Add {} {}", "Put {} {}")).format(new, where(place)) + ".", source.put(place, new)
    kind = rng.choice(("color", "shape", "size", "remove"))
    if kind == "remove":
        return rng.choice(("Remove the {} shape.", "Take away the {} shape.")).format(place), source.put(
            place, None
        )
    values = {"color": tuple(COLORS), "shape": SHAPES, "size": SIZES}[kind]
    value = rng.choice([v for v in values if v != getattr(old, kind)])
    new = Thing(**{**vars(old), kind: value})
    said = f"a {value}" if kind == "shape" else value
    verbs = (
        ("Turn the {} shape into {}.", "Change the {} shape to {}.")
        if kind == "shape"
        else ("Make the {} shape {}.",)
    )
    return rng.choice(verbs).format(place, said), source.put(place, new)


def _spoil(scene: Scene, rng: random.Random, places: tuple[str, ...], slips: int) -> Scene:
    """Change up to `slips` attributes at these places."""
    for _ in range(slips):
        place = rng.choice(places)
        have = scene.at(place)
        if have is None:
            if rng.random() < 0.5:
                scene = scene.put(place, thing(rng))
        elif rng.random() < 0.18:
            scene = scene.put(place, None)
        else:
            kind = rng.choice(("color", "shape", "size"))
            values = {"color": tuple(COLORS), "shape": SHAPES, "size": SIZES}[kind]
            scene = scene.put(place, Thing(**{**vars(have), kind: rng.choice(values)}))
    return scene


def _flawed(drawn: Scene, rng: random.Random, letters: bool) -> Picture:
    there = [place for place in PLACES if drawn.at(place)]
    return Picture(
        drawn,
        noisy=rng.random() < 0.14,
        blurred=rng.random() < 0.14,
        cut=rng.choice(there) if there and rng.random() < 0.16 else None,
        broken_letters=letters and rng.random() < 0.3,
    )
