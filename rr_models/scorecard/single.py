"""The scorecard of one picture: what the critic saw, aspect by aspect, with its reasons."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.thresholds import Thresholds
from .changes import changes
from .layout import Block, Column, Panel, Picture, Row, Text
from .parts import footer, heading, labelled, notes, overall, reasons
from .theme import GAP, PAD, SMALL
from .typeset import REMOVED


def body(
    picture: Image.Image | None,
    critique: Critique,
    sources: Sequence[Image.Image],
    thresholds: Thresholds,
    seed: str = "",
) -> Block:
    """Pictures left, scores and reasons right; an edit has its source beside it, above all."""
    beside = Column(
        overall(critique, thresholds),
        Text(_verdict(critique, thresholds), SMALL, "soft"),
        Text(seed, SMALL, "soft") if seed else None,
        gap=2,
    )
    words = Column(
        labelled("Summary", critique.summary, most=8),
        labelled("Better request", _proposal(critique), most=10),
        notes(critique),
        gap=GAP + 4,
    )
    if not sources:
        left = Column(Picture(picture, 520), beside, gap=GAP + 2)
        right = Column(reasons(critique, thresholds), words, gap=GAP + 14)
        return Row(Panel(left), Panel(right), shares=(430, 1.0))
    shots = [_shot("source", source) for source in sources] + [_shot("edited", picture)]
    top = Row(*shots)
    below = Row(
        Panel(reasons(critique, thresholds)), Panel(Column(beside, words, gap=GAP + 8)), shares=(1.25, 1.0)
    )
    return Column(top, below, gap=PAD)


def single(
    picture: Image.Image | None,
    critique: Critique,
    sources: Sequence[Image.Image],
    thresholds: Thresholds,
    seed: str,
) -> Block:
    kind = "Critique of an edit" if sources else "Critique"
    return Column(
        heading(kind, critique.request, most=6),
        body(picture, critique, sources, thresholds, seed),
        footer(critique.source, critique.scale, thresholds),
        gap=PAD,
    )


def _shot(label: str, picture: Image.Image | None) -> Panel:
    return Panel(Column(Text(label, SMALL, "soft", bold=True), Picture(picture, 380), gap=8), pad=14)


def _verdict(critique: Critique, thresholds: Thresholds) -> str:
    if critique.overall is None:
        return "no overall score: a gap never counts as a number"
    low = [
        *thresholds.low_aspects(critique),
        *(["overall"] if critique.overall < thresholds.min_overall else []),
    ]
    return f"below the threshold: {', '.join(low)}" if low else "every aspect reaches its threshold"


def _proposal(critique: Critique) -> list[tuple[str, str]]:
    """The better request as one would type it, with what is new marked."""
    if not critique.refined_request:
        return []
    return [span for span in changes(critique.request, critique.refined_request) if span[1] != REMOVED]
