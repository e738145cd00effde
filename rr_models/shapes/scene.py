"""What an image of coloured shapes shows, and the faults between what was requested and what was drawn."""

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
POSITIONS = ("left", "middle", "right")
WORDS = ("SUN", "TEA", "ZOO", "LOVE", "OPEN", "MILK")


@dataclass(frozen=True)
class Figure:
    """One coloured shape."""

    color: str
    shape: str
    size: str

    def __str__(self):
        return f"a {self.size} {self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """The figures on the left, in the middle and on the right (None: nothing), and the word below, if any."""

    figures: tuple[Figure | None, Figure | None, Figure | None]
    word: str | None = None

    def put(self, position: str, figure: Figure | None) -> Scene:
        """The same scene with another figure, or none, at one position."""
        left, middle, right = (figure if position == other else self.at(other) for other in POSITIONS)
        return replace(self, figures=(left, middle, right))

    def at(self, position: str) -> Figure | None:
        return self.figures[POSITIONS.index(position)]

    def __str__(self):
        parts = [
            f"{figure} {location(position)}"
            for position, figure in zip(POSITIONS, self.figures, strict=True)
            if figure
        ]
        if self.word:
            parts.append(f'the word "{self.word}" below')
        return ", ".join(parts)


@dataclass(frozen=True)
class Rendering:
    """A scene as it is drawn: with technical flaws, and letters that may be broken."""

    scene: Scene
    noisy: bool = False
    blurred: bool = False
    cut: str | None = None  # the position of a figure whose right part is missing
    broken_letters: bool = False


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `kind` is color | shape | size | missing | extra (these have a position), word
    | letters | no word, or noise | blur | cut (cut has a position)."""

    kind: str
    position: str | None = None


def location(position: str) -> str:
    return "in the middle" if position == "middle" else f"on the {position}"


def differences(wanted: Scene, drawn: Scene, positions: tuple[str, ...] = POSITIONS) -> tuple[Fault, ...]:
    """How the drawn scene differs from the wanted one at these positions, from left to right."""
    faults = []
    for position in positions:
        expected, actual = wanted.at(position), drawn.at(position)
        if expected and actual:
            kinds = [k for k in ("color", "shape", "size") if getattr(expected, k) != getattr(actual, k)]
        else:
            kinds = ["missing"] if expected else ["extra"] if actual else []
        faults += [Fault(kind, position) for kind in kinds]
    return tuple(faults)


def flaws(rendering: Rendering) -> tuple[Fault, ...]:
    """Technical faults, whatever was requested."""
    faults = [Fault("noise")] * rendering.noisy + [Fault("blur")] * rendering.blurred
    return (*faults, Fault("cut", rendering.cut)) if rendering.cut else tuple(faults)


def word_faults(word: str | None, rendering: Rendering) -> tuple[Fault, ...]:
    """What is wrong with the requested word; nothing if none was requested."""
    if not word:
        return ()
    if not rendering.scene.word:
        return (Fault("no word"),)
    if rendering.scene.word != word:
        return (Fault("word"),)
    return (Fault("letters"),) if rendering.broken_letters else ()
