"""The contact sheet: all candidates of one request, best first, the winner framed, the rest dimmed."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.ranking import rank
from ..judgement.thresholds import Thresholds
from .layout import Block, Column, Panel, Picture, Row, Text, grid
from .parts import footer, heading, overall, score_lines
from .theme import PAD, SMALL

MOST = 24
"""Candidates that are shown; of more, the best."""


def sheet(
    pictures: Sequence[Image.Image | None],
    critiques: Sequence[Critique],
    thresholds: Thresholds,
    seeds: Sequence[str],
) -> Block:
    order = rank(critiques, thresholds=thresholds)
    reached = [index for index in order if thresholds.reached(critiques[index])]
    cells = [
        _cell(place, index, pictures[index], critiques[index], thresholds, seeds[index], index in reached)
        for place, index in enumerate(order[:MOST], 1)
    ]
    unjudged = sum(critique.overall is None for critique in critiques)
    told = f"{len(reached)} of {len(critiques)} reach the threshold; the others are dimmed."
    told += f" {unjudged} could not be judged in full." if unjudged else ""
    told += f" The best {MOST} of {len(critiques)} are shown." if len(critiques) > MOST else ""
    best = critiques[order[0]]
    return Column(
        heading(f"{len(critiques)} candidates, best first", best.request),
        grid(cells, 3 if len(cells) <= 3 else 4, PAD),
        footer(best.source, best.scale, thresholds, told),
        gap=PAD,
    )


def _cell(
    place: int,
    index: int,
    picture: Image.Image | None,
    critique: Critique,
    thresholds: Thresholds,
    seed: str,
    reached: bool,
) -> Panel:
    # the best of none that could be judged is no winner
    winner = place == 1 and critique.overall is not None
    dim = not reached and not winner
    name = Text(f"{place}. best" if winner else f"{place}.", 17, "best" if winner else "soft", bold=True)
    told = Text(f"picture {index + 1}" + (f", {seed}" if seed else ""), SMALL, "soft", align="right")
    return Panel(
        Column(
            Row(name, told, shares=(80, 1.0), gap=8, middle=True),
            Picture(picture, dim=dim, square=True),
            overall(critique, thresholds, 28, dim),
            score_lines(critique, thresholds, dim),
            gap=10,
        ),
        "best" if winner else "",
        pad=14,
    )
