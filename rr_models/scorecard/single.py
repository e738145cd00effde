"""The scorecard of one image: scores and justifications, aspect by aspect."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.thresholds import Thresholds
from .changes import changes
from .layout import Block, Column, ImageBlock, Panel, Row, Text
from .parts import footer, heading, labelled, notes, overall, reasons
from .theme import GAP, PAD, SMALL
from .typeset import REMOVED


def body(
    image: Image.Image | None,
    critique: Critique,
    sources: Sequence[Image.Image],
    thresholds: Thresholds,
    seed: str = "",
) -> Block:
    """The image on the left, scores and justifications on the right; for an edit, source and result on
    top."""
    beside = Column(
        overall(critique, thresholds),
        Text(_verdict(critique, thresholds), SMALL, "soft"),
        Text(seed, SMALL, "soft") if seed else None,
        gap=2,
    )
    words = Column(
        labelled("Summary", critique.summary, max_lines=8),
        labelled("Better request", _proposal(critique), max_lines=10),
        notes(critique),
        gap=GAP + 4,
    )
    if not sources:
        left = Column(ImageBlock(image, 520), beside, gap=GAP + 2)
        right = Column(reasons(critique, thresholds), words, gap=GAP + 14)
        return Row(Panel(left), Panel(right), shares=(430, 1.0))
    shots = [_shot("source", source) for source in sources] + [_shot("edited", image)]
    top = Row(*shots)
    below = Row(
        Panel(reasons(critique, thresholds)), Panel(Column(beside, words, gap=GAP + 8)), shares=(1.25, 1.0)
    )
    return Column(top, below, gap=PAD)


def single(
    image: Image.Image | None,
    critique: Critique,
    sources: Sequence[Image.Image],
    thresholds: Thresholds,
    seed: str,
) -> Block:
    kind = "Critique of an edit" if sources else "Critique"
    return Column(
        heading(kind, critique.request, max_lines=6),
        body(image, critique, sources, thresholds, seed),
        footer(critique.source, critique.scale, thresholds),
        gap=PAD,
    )


def _shot(label: str, image: Image.Image | None) -> Panel:
    return Panel(Column(Text(label, SMALL, "soft", bold=True), ImageBlock(image, 380), gap=8), pad=14)


def _verdict(critique: Critique, thresholds: Thresholds) -> str:
    if critique.overall is None:
        return "no overall score"
    low = [
        *thresholds.low_aspects(critique),
        *(["overall"] if critique.overall < thresholds.min_overall else []),
    ]
    return f"below the threshold: {', '.join(low)}" if low else "every aspect reaches its threshold"


def _proposal(critique: Critique) -> list[tuple[str, str]]:
    """The refined request, with new words marked."""
    if not critique.refined_request:
        return []
    return [span for span in changes(critique.request, critique.refined_request) if span[1] != REMOVED]
