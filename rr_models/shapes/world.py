"""What can be in a picture of coloured shapes, and which faults lie between what was asked and what was
drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

COLORS = {
    "red": (220, 40, 40),
    "blue": (40, 70, 220),
    "green": (40, 170, 60),
    "yellow": (240, 210, 40),
    "purple": (150, 50, 170),
    "orange": (245, 140, 30),
}
SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("large", "small")
PLACES = ("left", "middle", "right")
WORDS = ("SUN", "TEA", "ZOO", "LOVE", "OPEN", "MILK")


@dataclass(frozen=True)
class Thing:
    """One coloured shape."""

    color: str
    shape: str
    size: str

    def __str__(self):
        return f"a {self.size} {self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """What stands on the left, in the middle and on the right (None: nothing), and the word below, if any."""

    things: tuple[Thing | None, Thing | None, Thing | None]
    word: str | None = None

    def put(self, place: str, thing: Thing | None) -> Scene:
        """The same scene with something else at one place."""
        things = list(self.things)
        things[PLACES.index(place)] = thing
        return replace(self, things=tuple(things))

    def at(self, place: str) -> Thing | None:
        return self.things[PLACES.index(place)]

    def __str__(self):
        there = [f"{thing} {where(place)}" for place, thing in zip(PLACES, self.things, strict=True) if thing]
        if self.word:
            there.append(f'the word "{self.word}" below')
        return ", ".join(there)


@dataclass(frozen=True)
class Picture:
    """A scene as it was drawn: with its technical flaws, and with letters that may be broken."""

    scene: Scene
    noisy: bool = False
    blurred: bool = False
    cut: str | None = None  # the place of a shape whose right part is missing
    broken_letters: bool = False


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `kind` is color | shape | size | missing | extra (these have a place), word |
    letters | no word, or noise | blur | cut (cut has a place)."""

    kind: str
    place: str | None = None


def where(place: str) -> str:
    return "in the middle" if place == "middle" else f"on the {place}"


def differences(wanted: Scene, drawn: Scene, places: tuple[str, ...] = PLACES) -> tuple[Fault, ...]:
    """What differs at these places, from left to right."""
    faults = []
    for place in places:
        want, have = wanted.at(place), drawn.at(place)
        if want and have:
            kinds = [k for k in ("color", "shape", "size") if getattr(want, k) != getattr(have, k)]
        else:
            kinds = ["missing"] if want else ["extra"] if have else []
        faults += [Fault(kind, place) for kind in kinds]
    return tuple(faults)


def flaws(picture: Picture) -> tuple[Fault, ...]:
    """Technical faults, whatever was asked."""
    found = [Fault("noise")] * picture.noisy + [Fault("blur")] * picture.blurred
    return (*found, Fault("cut", picture.cut)) if picture.cut else tuple(found)


def word_faults(word: str | None, picture: Picture) -> tuple[Fault, ...]:
    """What is wrong with the word that was asked for; nothing if none was."""
    if not word:
        return ()
    if not picture.scene.word:
        return (Fault("no word"),)
    if picture.scene.word != word:
        return (Fault("word"),)
    return (Fault("letters"),) if picture.broken_letters else ()
