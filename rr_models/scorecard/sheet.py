"""The contact sheet: all candidates for one request, best first; the best framed, equal ones alike."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.ranking import rank
from ..judgement.thresholds import Thresholds
from .layout import Block, Column, ImageBlock, Panel, Row, Text, common_ratio, grid
from .parts import footer, overall, passed_tag, request_card, score_lines
from .theme import HEAD, MEDIUM, PAD, SMALL
from .words import Words

MAX_IMAGES = 24
"""Most candidates shown: the best ones."""


def sheet(
    images: Sequence[Image.Image | None],
    critiques: Sequence[Critique],
    thresholds: Thresholds,
    words: Words,
    seeds: Sequence[int | None],
    date: str,
) -> Block:
    order = rank(critiques, thresholds=thresholds)
    standing = [_standing(critiques[index], thresholds) for index in order]
    ratio = common_ratio(images)
    cells = []
    for index, own in list(zip(order, standing, strict=True))[:MAX_IMAGES]:
        place = standing.index(own) + 1 if own else len(cells) + 1
        # if none could be judged, none is the best
        best = "" if place > 1 or not own else words.best if standing.count(own) == 1 else words.tied
        image = ImageBlock(images[index], words.no_image, ratio=ratio)
        cells.append(_cell(place, best, index, image, critiques[index], thresholds, words, seeds[index]))
    passed = sum(thresholds.reached(critique) for critique in critiques)
    unjudged = sum(critique.overall is None for critique in critiques)
    counts = [words.some_passed.format(passed=passed, count=len(critiques))]
    if unjudged:
        counts.append(words.unjudged.format(count=unjudged))
    if len(critiques) > MAX_IMAGES:
        counts.append(words.best_shown.format(shown=MAX_IMAGES, count=len(critiques)))
    first = critiques[order[0]]
    return Column(
        request_card(words.candidates.format(count=len(critiques)), first.request, words),
        grid(cells, _columns(len(cells)), PAD),
        footer(first, thresholds, words, date, words.between.join(counts)),
        gap=PAD,
    )


def _columns(count: int) -> int:
    """At most 4, and no row with one image only."""
    return min(count, 3 if count in (5, 6, 9) else 4)


def _standing(critique: Critique, thresholds: Thresholds) -> tuple[bool, float] | None:
    """What decides the place; None for a critique without a score. Equal for images that tie."""
    score = critique.overall
    return None if score is None else (thresholds.reached(critique), round(score, 9))


def _cell(
    place: int,
    best: str,
    index: int,
    image: ImageBlock,
    critique: Critique,
    thresholds: Thresholds,
    words: Words,
    seed: int | None,
) -> Panel:
    name = Text(f"{place}. {best}".rstrip(), HEAD, "best" if best else "soft", bold=True)
    labels = [words.image.format(number=index + 1)]
    if seed is not None:
        labels.append(words.seed.format(seed=seed))
    tag = passed_tag(critique, thresholds, words, "right")
    score = overall(critique, words, MEDIUM)
    return Panel(
        Column(
            name,
            Row(score, tag, shares=(1.0, 1.0), gap=4, middle=True) if tag else score,
            score_lines(critique, thresholds, words),
            Text(words.comma.join(labels), SMALL, "soft"),
            gap=10,
        ),
        "best" if best else "",
        pad=14,
        image=image,
    )
