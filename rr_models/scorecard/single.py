"""The scorecard of one image: the image first, then scores and justifications, aspect by aspect."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.thresholds import Thresholds
from .changes import changes
from .layout import Block, Column, ImageBlock, Panel, Row, Text, common_ratio
from .parts import footer, labelled, notes, overall, passed_tag, reasons, request_card
from .theme import GAP, INNER, PAD, SMALL
from .typeset import REMOVED
from .words import Words

IMAGE_WIDTH = 724
"""Of an image with its scores beside it, in pixels: 60 % of the scorecard."""
WIDE = 1.45
"""From this ratio of width to height on, an image is as wide as the scorecard, with its scores below."""


def body(
    image: Image.Image | None,
    critique: Critique,
    sources: Sequence[Image.Image],
    thresholds: Thresholds,
    words: Words,
    seed: int | None = None,
) -> Block:
    """The image, and all that the critic said about it; for an edit, source and result side by side."""
    score = _score(critique, thresholds, words, seed)
    texts = Column(
        labelled(words.summary, critique.summary, words, max_lines=8),
        labelled(words.refined_request, _proposal(critique), words, max_lines=20),
        notes(critique, words),
        gap=GAP + 4,
    )
    more = Panel(texts) if texts.blocks else None
    aspects = reasons(critique, thresholds, words)
    ratio = image.width / image.height if image else 1.0
    if sources or ratio >= WIDE:
        top = _edit(sources, image, words) if sources else ImageBlock(image, words.no_image)
        return Column(top, Row(Panel(score), Panel(aspects), shares=(320, 1.0)), more, gap=PAD)
    shown = ImageBlock(image, words.no_image)
    beside = Column(score, aspects, gap=GAP + 14)
    if more is None:
        return _side_by_side(shown, beside)
    layouts = (
        Column(_side_by_side(shown, beside), more, gap=PAD),
        _side_by_side(Column(shown, more, gap=PAD), beside),  # for a flat image
        _side_by_side(shown, Column(beside, texts, gap=GAP + 14)),  # for a tall one
    )
    return min(layouts, key=lambda layout: layout.height(INNER))


def _side_by_side(left: Block, right: Block) -> Row:
    return Row(left, Panel(right), shares=(IMAGE_WIDTH, 1.0))


def single(
    image: Image.Image | None,
    critique: Critique,
    sources: Sequence[Image.Image],
    thresholds: Thresholds,
    words: Words,
    seed: int | None,
    date: str,
) -> Block:
    return Column(
        request_card(words.edit if sources else words.critique, critique.request, words),
        body(image, critique, sources, thresholds, words, seed),
        footer(critique, thresholds, words, date),
        gap=PAD,
    )


def _edit(sources: Sequence[Image.Image], image: Image.Image | None, words: Words) -> Row:
    """The sources and the result of an edit, in boxes of the same size."""
    ratio = common_ratio([*sources, image])
    shots = [(words.source, source) for source in sources] + [(words.edited, image)]
    return Row(
        *(
            Panel(
                Text(label, SMALL, "soft", bold=True),
                pad=12,
                image=ImageBlock(shot, words.no_image, ratio=ratio),
            )
            for label, shot in shots
        )
    )


def _score(critique: Critique, thresholds: Thresholds, words: Words, seed: int | None) -> Column:
    """The overall score, whether the image passed, and what is below its threshold."""
    if critique.overall is None:
        verdict = words.why_no_score(critique)
    else:
        low = [
            words.aspect(a.key, a.name)
            for a in critique.aspects
            if a.score is not None and a.score < thresholds.of(a.key)
        ]
        if critique.overall < thresholds.min_overall:
            low.append(words.overall)
        verdict = words.comma.join(low) or words.rule(thresholds, critique.aspects)
    return Column(
        overall(critique, words),
        passed_tag(critique, thresholds, words),
        Text(verdict, SMALL, "soft"),
        Text(words.seed.format(seed=seed), SMALL, "soft") if seed is not None else None,
        gap=6,
    )


def _proposal(critique: Critique) -> list[tuple[str, str]]:
    """The refined request, with new words marked."""
    if not critique.refined_request:
        return []
    return [span for span in changes(critique.request, critique.refined_request) if span[1] != REMOVED]
