"""Draw a Rendering. All measures are in units of 1/96 of the image's side, so that every size looks the same.

The letters are a 5x7 dot font of our own: the same on every machine, whatever fonts are installed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .scene import COLORS, POSITIONS, Figure, Rendering

UNITS = 96
RGB = tuple[int, int, int]

LETTERS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "N": "10001 11001 10101 10011 10001 10001 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 10001 10001 01110",
    "V": "10001 10001 10001 10001 10001 01010 00100",
    "Z": "11111 00001 00010 00100 01000 10000 11111",
}


def draw(rendering: Rendering, size: int = 256, seed: int = 0) -> Image.Image:
    """An RGB image of `size` x `size` pixels. The seed decides what no request can name: tints, jitter, the
    background."""
    rng = random.Random(seed)
    scale = 2 * size / UNITS  # drawn at twice the size and shrunk, which smooths the edges
    background = _rgb(rng.randint(215, 255) for _ in range(3))
    image = Image.new("RGB", (2 * size, 2 * size), background)
    pen = ImageDraw.Draw(image)
    row = 34 if rendering.scene.word else 46
    for index, (position, figure) in enumerate(zip(POSITIONS, rendering.scene.figures, strict=True)):
        if figure:
            x = 16 + 32 * index + rng.uniform(-1.5, 1.5)
            y = row + rng.uniform(-4, 4)
            _draw_figure(pen, figure, x, y, scale, rng, background if rendering.cut == position else None)
    if rendering.scene.word:
        _draw_word(pen, rendering.scene.word, scale, rng, rendering.broken_letters)
    image = image.resize((size, size), Image.Resampling.BOX)
    if rendering.blurred:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(1.4, 1.8) * size / UNITS))
    return _with_noise(image, rng) if rendering.noisy else image


def _draw_figure(
    pen: ImageDraw.ImageDraw,
    figure: Figure,
    x: float,
    y: float,
    scale: float,
    rng: random.Random,
    cut_color: RGB | None,
) -> None:
    """Draw one figure around (x, y), in units; `cut_color` covers its right part."""
    radius = rng.uniform(13, 14.5) if figure.size == "large" else rng.uniform(8, 9.5)
    color = _rgb(min(255, max(0, c + rng.randint(-12, 12))) for c in COLORS[figure.color])
    box = [(x - radius) * scale, (y - radius) * scale, (x + radius) * scale, (y + radius) * scale]
    if figure.shape == "circle":
        pen.ellipse(box, fill=color)
    elif figure.shape == "square":
        inset = 0.1 * radius * scale
        pen.rectangle([box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset], fill=color)
    else:
        corners = 3 if figure.shape == "triangle" else 10
        points = []
        for i in range(corners):
            r = radius * (0.45 if corners == 10 and i % 2 else 1.0)
            angle = 2 * math.pi * i / corners
            points.append(((x + r * math.sin(angle)) * scale, (y - r * math.cos(angle)) * scale))
        pen.polygon(points, fill=color)
    if cut_color:
        edge = (x + rng.uniform(0.05, 0.25) * radius) * scale
        pen.rectangle([edge, box[1] - scale, box[2] + scale, box[3] + scale], fill=cut_color)


def _draw_word(pen: ImageDraw.ImageDraw, word: str, scale: float, rng: random.Random, broken: bool) -> None:
    dot = rng.uniform(2.9, 3.2) * scale
    ink = _rgb(rng.randint(0, 60) for _ in range(3))
    left = UNITS * scale / 2 - dot * (6 * len(word) - 1) / 2
    top = (67 + rng.uniform(-1, 1)) * scale
    garbled = rng.sample(range(len(word)), rng.randint(1, 2)) if broken else ()
    for i, letter in enumerate(word):
        rows = LETTERS[letter].split()
        if i in garbled:  # a blot of random dots where the letter should be
            rows = ["".join(rng.choice("01") for _ in range(5)) for _ in range(7)]
        for r, row in enumerate(rows):
            for c, on in enumerate(row):
                if on == "1":
                    x, y = left + dot * (6 * i + c), top + dot * r
                    pen.rectangle([x, y, x + dot - 1, y + dot - 1], fill=ink)


def _with_noise(image: Image.Image, rng: random.Random) -> Image.Image:
    grain = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0.11, 0.15), (UNITS, UNITS, 3))
    step = np.arange(image.width) * UNITS // image.width
    pixels = np.asarray(image, np.float32) / 255 + grain[step][:, step]
    return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8))


def _rgb(values: Iterable[int]) -> RGB:
    red, green, blue = values
    return red, green, blue
