"""Blocks that know their height for a given width and paint themselves: text, images, rows, panels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from PIL import Image

from .canvas import Canvas
from .theme import BODY, GAP, PAD, ROUND, Theme
from .typeset import SAME, Line, Spans, lines


class Block(Protocol):
    """Something that can be painted."""

    def height(self, width: int) -> int:
        """Height in pixels at a width of `width` pixels."""
        ...

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        """Paint at `x`, `y`, within `width` and `height(width)`."""
        ...


class Text:
    """Text that wraps. `text` may be spans with added and removed words; `color` names a colour of the
    theme."""

    def __init__(
        self,
        text: str | Spans,
        size: int = BODY,
        color: str = "ink",
        bold: bool = False,
        max_lines: int = 0,
        align: str = "left",
    ):
        self.spans = tuple(((text, SAME),) if isinstance(text, str) else text)
        self.size, self.color, self.bold, self.max_lines, self.align = size, color, bold, max_lines, align

    def _lines(self, width: int) -> list[Line]:
        return _set(self.spans, self.size, width, self.bold, self.max_lines)

    def width(self) -> int:
        """Width on one line, in pixels."""
        (line,) = _set(self.spans, self.size, 1 << 20, self.bold, 1)
        return round(line[-1].x + line[-1].width) + 1 if line else 0

    def height(self, width: int) -> int:
        return round(1.45 * self.size) * len(self._lines(width))

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        color = getattr(canvas.theme, self.color)
        for number, line in enumerate(self._lines(width)):
            wide = line[-1].x + line[-1].width if line else 0
            shift = {"left": 0, "right": width - wide, "center": (width - wide) / 2}[self.align]
            canvas.line(line, x + shift, y + number * round(1.45 * self.size), self.size, color)


@lru_cache(maxsize=1024)
def _set(spans: Spans, size: int, width: int, bold: bool, max_lines: int) -> list[Line]:
    return lines(spans, size, width, bold, max_lines)


class Space:
    """Empty space of a height."""

    def __init__(self, high: int):
        self.high = high

    def height(self, width: int) -> int:
        return self.high

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        pass


class Rule:
    """A thin horizontal line."""

    def height(self, width: int) -> int:
        return 1

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        canvas.box((x, y, x + width, y + 1), canvas.theme.faint)


class ImageBlock:
    """An image as wide as possible and at most `max_height` pixels high; without one, a box that says so."""

    def __init__(
        self, image: Image.Image | None, max_height: int = 10_000, dim: bool = False, square: bool = False
    ):
        self.image, self.max_height, self.dim, self.square = image, max_height, dim, square

    def _size(self, width: int) -> tuple[int, int]:
        wide, high = self.image.size if self.image else (1, 1)
        scale = min(width / wide, min(self.max_height, width if self.square else self.max_height) / high)
        return max(1, round(wide * scale)), max(1, round(high * scale))

    def height(self, width: int) -> int:
        return min(width, self.max_height) if self.square else self._size(width)[1]

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        wide, high = self._size(width)
        if self.square and (wide, high) != (width, self.height(width)):
            canvas.box((x, y, x + width, y + self.height(width)), canvas.theme.faint, ROUND - 4)
        left = x + (width - wide) // 2
        top = y + (self.height(width) - high) // 2
        if self.image is None:
            canvas.box((left, top, left + wide, top + high), canvas.theme.faint, ROUND - 4)
            words = Text("no image", 13, "soft", align="center")
            words.draw(canvas, left, top + (high - words.height(wide)) // 2, wide)
            return
        canvas.paste_image(
            self.image, (left, top, left + wide, top + high), ROUND - 4, 0.55 if self.dim else 0.0
        )


class Column:
    """Blocks one below the other."""

    def __init__(self, *blocks: Block | None, gap: int = GAP):
        self.blocks, self.gap = [block for block in blocks if block is not None], gap

    def height(self, width: int) -> int:
        return sum(block.height(width) for block in self.blocks) + self.gap * max(0, len(self.blocks) - 1)

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        for block in self.blocks:
            block.draw(canvas, x, y, width)
            y += block.height(width) + self.gap


class Row:
    """Blocks side by side. A share is in pixels if it is an int, else a fraction of the remaining width."""

    def __init__(
        self, *blocks: Block, shares: Sequence[int | float] = (), gap: int = PAD, middle: bool = False
    ):
        self.blocks, self.gap, self.middle = blocks, gap, middle
        self.shares = shares or (1.0,) * len(blocks)

    def _widths(self, width: int) -> list[int]:
        left = width - self.gap * (len(self.blocks) - 1) - sum(s for s in self.shares if isinstance(s, int))
        parts = sum(share for share in self.shares if not isinstance(share, int))
        return [share if isinstance(share, int) else int(left * share / parts) for share in self.shares]

    def height(self, width: int) -> int:
        sized = zip(self.blocks, self._widths(width), strict=True)
        return max(block.height(wide) for block, wide in sized)

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        high = self.height(width)
        for block, wide in zip(self.blocks, self._widths(width), strict=True):
            down = (high - block.height(wide)) // 2 if self.middle else 0
            if isinstance(block, Panel):
                block.draw(canvas, x, y, wide, high)
            else:
                block.draw(canvas, x, y + down, wide)
            x += wide + self.gap


class Panel:
    """A block on its own background, framed if `frame` names a colour. Panels of a row have the same
    height."""

    def __init__(self, block: Block, frame: str = "", pad: int = PAD):
        self.block, self.frame, self.pad = block, frame, pad

    def height(self, width: int) -> int:
        return self.block.height(width - 2 * self.pad) + 2 * self.pad

    def draw(self, canvas: Canvas, x: int, y: int, width: int, least: int = 0) -> None:
        box = (x, y, x + width, y + max(least, self.height(width)))
        color, thick = (getattr(canvas.theme, self.frame), 3) if self.frame else (canvas.theme.faint, 1)
        canvas.frame(box, color, thick, ROUND, canvas.theme.panel)
        self.block.draw(canvas, x + self.pad, y + self.pad, width - 2 * self.pad)


def grid(blocks: Sequence[Block], columns: int, gap: int = PAD) -> Column:
    """Rows of `columns` blocks of equal width; the last one may be shorter."""
    rows = []
    for start in range(0, len(blocks), columns):
        row = list(blocks[start : start + columns])
        row += [Space(0)] * (columns - len(row))
        rows.append(Row(*row, gap=gap))
    return Column(*rows, gap=gap)


def paint(block: Block, width: int, theme: Theme, margin: int = 28) -> Image.Image:
    """The block painted on a page of its own."""
    inner = width - 2 * margin
    canvas = Canvas(width, block.height(inner) + 2 * margin, theme)
    block.draw(canvas, margin, margin, inner)
    return canvas.image
