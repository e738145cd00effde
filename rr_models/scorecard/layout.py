"""Blocks that know their height for a given width and paint themselves: text, images, rows, panels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Protocol

from PIL import Image

from .canvas import Box, Canvas
from .faces import has_bold
from .theme import BODY, GAP, MARGIN, PAD, ROUND, SMALL, Theme
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
    theme. Of more than `max_lines`, the last one ends with "…" and `more`. It is bold only if all of it can
    be."""

    def __init__(
        self,
        text: str | Spans,
        size: int = BODY,
        color: str = "ink",
        bold: bool = False,
        max_lines: int = 0,
        align: str = "left",
        more: str = "",
    ):
        self.spans = tuple(((text, SAME),) if isinstance(text, str) else text)
        self.bold = bold and all(has_bold(said) for said, _ in self.spans)
        self.size, self.color, self.max_lines, self.align, self.more = size, color, max_lines, align, more

    def _lines(self, width: int) -> list[Line]:
        return _set(self.spans, self.size, width, self.bold, self.max_lines, self.more)

    def width(self) -> int:
        """Width on one line, in pixels."""
        (line,) = _set(self.spans, self.size, 1 << 20, self.bold, 1, "")
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
def _set(spans: Spans, size: int, width: int, bold: bool, max_lines: int, more: str) -> list[Line]:
    return lines(spans, size, width, bold, max_lines, more)


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
    """An image in a box as wide as there is room, `ratio` times as wide as high (by default as the image is)
    and at most `max_height` pixels high. A smaller image is centred in it. Without one, the box says
    `no_image`."""

    def __init__(
        self,
        image: Image.Image | None,
        no_image: str,
        max_height: int = 1300,
        ratio: float | None = None,
        radius: int = ROUND,
    ):
        self.image, self.no_image, self.max_height, self.radius = image, no_image, max_height, radius
        own = image.width / image.height if image else 1.0
        self.ratio = own if ratio is None else ratio

    def height(self, width: int) -> int:
        return max(1, min(self.max_height, round(width / self.ratio)))

    def box(self, x: int, y: int, width: int) -> Box:
        """Where the image is painted."""
        high = self.height(width)
        if self.image is None:
            return x, y, x + width, y + high
        scale = min(width / self.image.width, high / self.image.height)
        size = [max(1, round(side * scale)) for side in self.image.size]
        # a pixel of rounding is no margin
        wide, tall = (
            full if abs(full - side) <= 1 else side for full, side in zip((width, high), size, strict=True)
        )
        left, top = x + (width - wide) // 2, y + (high - tall) // 2
        return left, top, left + wide, top + tall

    def draw(self, canvas: Canvas, x: int, y: int, width: int, on_top: bool = False) -> None:
        """`on_top`: at the top of a panel, whose corners it shares."""
        box = self.box(x, y, width)
        if self.image is None:
            empty = Image.new("RGB", (1, 1), canvas.theme.faint)
            canvas.paste_image(empty, box, self.radius, on_top)
            words = Text(self.no_image, SMALL, "soft", align="center")
            words.draw(canvas, x, y + (self.height(width) - words.height(width)) // 2, width)
            return
        fills = box == (x, y, x + width, y + self.height(width))
        canvas.paste_image(self.image, box, self.radius if fills or not on_top else 0, on_top)


def common_ratio(images: Iterable[Image.Image | None]) -> float:
    """Width by height of a box for each of these images: that of the tallest one, within limits."""
    ratios = [image.width / image.height for image in images if image]
    return min(max(min(ratios, default=1.0), 0.5), 2.5)


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
    """A block on its own background, framed if `frame` names a colour, with an image on top from edge to
    edge. Panels of a row have the same height."""

    def __init__(self, block: Block, frame: str = "", pad: int = PAD, image: ImageBlock | None = None):
        self.block, self.frame, self.pad, self.image = block, frame, pad, image

    def _image_height(self, width: int) -> int:
        return self.image.height(width) if self.image else 0

    def height(self, width: int) -> int:
        return self._image_height(width) + self.block.height(width - 2 * self.pad) + 2 * self.pad

    def draw(self, canvas: Canvas, x: int, y: int, width: int, least: int = 0) -> None:
        box = (x, y, x + width, y + max(least, self.height(width)))
        color, thick = (getattr(canvas.theme, self.frame), 3) if self.frame else (canvas.theme.faint, 1)
        canvas.frame(box, color, thick, ROUND, canvas.theme.panel)
        if self.image:
            self.image.draw(canvas, x, y, width, on_top=True)
        below = y + self._image_height(width) + self.pad
        self.block.draw(canvas, x + self.pad, below, width - 2 * self.pad)


def grid(blocks: Sequence[Block], columns: int, gap: int = PAD) -> Column:
    """Rows of `columns` blocks of equal width; the last one may be shorter."""
    rows = []
    for start in range(0, len(blocks), columns):
        row = list(blocks[start : start + columns])
        row += [Space(0)] * (columns - len(row))
        rows.append(Row(*row, gap=gap))
    return Column(*rows, gap=gap)


def paint(block: Block, width: int, theme: Theme, margin: int = MARGIN) -> Image.Image:
    """The block painted on a page of its own."""
    inner = width - 2 * margin
    canvas = Canvas(width, block.height(inner) + 2 * margin, theme)
    block.draw(canvas, margin, margin, inner)
    return canvas.image
