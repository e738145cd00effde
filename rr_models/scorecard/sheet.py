"""The contact sheet: all candidates for one request, best first; the winner framed, low ones dimmed."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.ranking import rank
from ..judgement.thresholds import Thresholds
from .layout import Block, Column, ImageBlock, Panel, Row, Text, grid
from .parts import footer, heading, overall, score_lines
from .theme import PAD, SMALL

MAX_IMAGES = 24
"""Most candidates shown: the best ones."""


def sheet(
    images: Sequence[Image.Image | None],
    critiques: Sequence[Critique],
    thresholds: Thresholds,
    seeds: Sequence[str],
) -> Block:
    order = rank(critiques, thresholds=thresholds)
    reached = [index for index in order if thresholds.reached(critiques[index])]
    cells = [
        _cell(place, index, images[index], critiques[index], thresholds, seeds[index], index in reached)
        for place, index in enumerate(order[:MAX_IMAGES], 1)
    ]
    unjudged = sum(critique.overall is None for critique in critiques)
    note = f"{len(reached)} of {len(critiques)} reach the threshold; the others are dimmed."
    note += f" {unjudged} could not be judged completely." if unjudged else ""
    note += f" The best {MAX_IMAGES} of {len(critiques)} are shown." if len(critiques) > MAX_IMAGES else ""
    best = critiques[order[0]]
    return Column(
        heading(f"{len(critiques)} candidates, best first", best.request),
        grid(cells, 3 if len(cells) <= 3 else 4, PAD),
        footer(best.source, best.scale, thresholds, note),
        gap=PAD,
    )


def _cell(
    place: int,
    index: int,
    image: Image.Image | None,
    critique: Critique,
    thresholds: Thresholds,
    seed: str,
    reached: bool,
) -> Panel:
    # if none could be judged, none is the winner
    winner = place == 1 and critique.overall is not None
    dim = not reached and not winner
    name = Text(f"{place}. best" if winner else f"{place}.", 17, "best" if winner else "soft", bold=True)
    note = Text(f"image {index + 1}" + (f", {seed}" if seed else ""), SMALL, "soft", align="right")
    return Panel(
        Column(
            Row(name, note, shares=(80, 1.0), gap=8, middle=True),
            ImageBlock(image, dim=dim, square=True),
            overall(critique, thresholds, 28, dim),
            score_lines(critique, thresholds, dim),
            gap=10,
        ),
        "best" if winner else "",
        pad=14,
    )
