"""Paint: smooth boxes, images, lines and typeset text on a Pillow image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw

from .faces import font
from .theme import Theme
from .typeset import ADDED, REMOVED, Line

_FINE = 4
"""Curves are painted this many times larger and scaled down, since Pillow does not smooth them."""

Box = tuple[int, int, int, int]
"""left, top, right, bottom; right and bottom are exclusive."""


class Canvas:
    """An image to paint on, in the colours of a theme."""

    def __init__(self, width: int, height: int, theme: Theme):
        self.image = Image.new("RGB", (width, height), theme.paper)
        self.pen = ImageDraw.Draw(self.image)
        self.theme = theme

    def box(self, box: Box, fill: str, radius: int = 0) -> None:
        self.image.paste(fill, box, rounded((box[2] - box[0], box[3] - box[1]), radius))

    def frame(self, box: Box, color: str, thick: int, radius: int, inside: str) -> None:
        """`box` filled with the colour `inside` and framed with `color`."""
        left, top, right, bottom = box
        self.box((left - thick, top - thick, right + thick, bottom + thick), color, radius + thick)
        self.box(box, inside, radius)

    def paste_image(self, image: Image.Image, box: Box, radius: int = 0, top_only: bool = False) -> None:
        """Paste the image, scaled to `box`, with round corners: all, or those on top."""
        size = (box[2] - box[0], box[3] - box[1])
        scaled = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        self.image.paste(scaled, box, rounded(size, radius, top_only))

    def line(self, line: Line, x: float, y: int, size: int, color: str) -> None:
        """Draw one line of text with its top at `y`: added words on a background, removed ones struck
        through."""
        base = y + round(1.1 * size)
        marked = {
            ADDED: (self.theme.added, self.theme.added_ink),
            REMOVED: (self.theme.removed, self.theme.removed_ink),
        }
        for run in line:
            ground, ink = marked.get(run.mark, ("", color))
            left, right = round(x + run.x), round(x + run.x + run.width)
            if ground:
                shown = left + round(font(run.face, size).getlength(run.text.rstrip()))
                self.box((left - 1, base - size, shown + 2, base + size // 3), ground, 3)
            self.pen.text((x + run.x, base), run.text, ink, font(run.face, size), anchor="ls")
            if run.mark == REMOVED:
                self.pen.line([left, base - size // 3, right - 1, base - size // 3], ink, 1)

    def curve(self, points: Sequence[tuple[float, float]], color: str, thick: int = 2) -> None:
        if len(points) < 2:
            return
        left, top = (int(min(point[i] for point in points)) - thick for i in (0, 1))
        right, bottom = (int(max(point[i] for point in points)) + thick + 1 for i in (0, 1))
        mask = Image.new("L", ((right - left) * _FINE, (bottom - top) * _FINE))
        fine = [((x - left) * _FINE, (y - top) * _FINE) for x, y in points]
        ImageDraw.Draw(mask).line(fine, 255, thick * _FINE, joint="curve")
        mask = mask.resize((right - left, bottom - top), Image.Resampling.BOX)
        self.image.paste(color, (left, top, right, bottom), mask)

    def dot(self, x: float, y: float, radius: int, color: str, hollow: bool = False) -> None:
        left, top = round(x) - radius, round(y) - radius
        self.box((left, top, left + 2 * radius, top + 2 * radius), color, radius)
        if hollow:
            self.dot(x, y, radius - 2, self.theme.panel)

    def dashes(self, x: int, y: int, right: int, color: str, dash: int = 5) -> None:
        for start in range(x, right, 2 * dash):
            self.pen.line([start, y, min(start + dash, right) - 1, y], color, 1)


def rounded(size: tuple[int, int], radius: int, top_only: bool = False) -> Image.Image:
    """A mask with smooth round corners: all, or those on top."""
    width, height = max(size[0], 0), max(size[1], 0)
    mask = Image.new("L", (width, height), 255)
    radius = min(radius, width // 2, height // 2)
    if radius > 0:
        disc = _disc(radius)
        for x, from_x in ((0, 0), (width - radius, radius)):
            for y, from_y in ((0, 0), (height - radius, radius))[: 1 if top_only else 2]:
                mask.paste(disc.crop((from_x, from_y, from_x + radius, from_y + radius)), (x, y))
    return mask


@lru_cache(maxsize=32)
def _disc(radius: int) -> Image.Image:
    fine = 2 * radius * _FINE
    disc = Image.new("L", (fine, fine))
    ImageDraw.Draw(disc).ellipse([0, 0, fine - 1, fine - 1], 255)
    return disc.resize((2 * radius, 2 * radius), Image.Resampling.BOX)
