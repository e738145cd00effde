"""The scorecard of a comparison: A and B side by side, aspect by aspect, the winner framed."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import NOT_APPLICABLE
from ..judgement.verdict import TIE, A, B, PairScore, Verdict
from .canvas import Canvas
from .layout import Block, Column, ImageBlock, Panel, Row, Text
from .parts import Scale, footer, heading, labelled
from .theme import BODY, GAP, HEAD, PAD


class Scales:
    """Two bars from the middle outwards, A's to the left, B's to the right, the better one in colour."""

    HIGH = 10

    def __init__(self, aspect: PairScore, scale: Scale):
        self.aspect, self.scale = aspect, scale

    def height(self, width: int) -> int:
        return self.HIGH

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        theme, middle, arm = canvas.theme, x + width // 2, width // 2 - 2
        for score, name, way in ((self.aspect.score_a, A, -1), (self.aspect.score_b, B, 1)):
            ends = sorted((middle + way * 2, middle + way * (2 + arm)))
            if score is None:
                canvas.dashes(ends[0], y + self.HIGH // 2, ends[1], theme.soft)
                continue
            canvas.box((ends[0], y, ends[1], y + self.HIGH), theme.faint, self.HIGH // 2)
            long = max(self.HIGH, round(arm * (score - self.scale[0]) / (self.scale[1] - self.scale[0])))
            filled = sorted((middle + way * 2, middle + way * (2 + long)))
            color = theme.best if self.aspect.winner == name else theme.soft
            canvas.box((filled[0], y, filled[1], y + self.HIGH), color, self.HIGH // 2)


def pair(
    a: Image.Image | None, b: Image.Image | None, verdict: Verdict, sources: Sequence[Image.Image]
) -> Block:
    shots = [_shot("source", source, "", False) for source in sources]
    for name, image, score in (("A", a, verdict.overall_a), ("B", b, verdict.overall_b)):
        number = "" if score is None else f"{score:.2f}"
        shots.append(_shot(name, image, number, verdict.winner == name))
    won = {A: "A is better", B: "B is better", TIE: "A tie", None: f"Not decided: {verdict.status}"}[
        verdict.winner
    ]
    margin = ""
    if verdict.margin is not None and verdict.winner in (A, B):
        margin = f", by {abs(verdict.margin):.2f}"
    note = [_bias(verdict)] if verdict.position_bias is not None else []
    return Column(
        heading("Comparison", verdict.request, max_lines=6),
        Row(*shots),
        Panel(
            Column(
                Text(won + margin, HEAD + 4, "best" if verdict.winner in (A, B) else "soft", bold=True),
                *(_aspect(aspect, verdict.scale) for aspect in verdict.aspects),
                labelled("Summary", verdict.summary, max_lines=8),
                labelled("Notes", "\n".join(verdict.notes), max_lines=6),
                gap=GAP + 8,
            )
        ),
        footer(verdict.source, verdict.scale, None, " ".join(note)),
        gap=PAD,
    )


def _shot(name: str, image: Image.Image | None, number: str, winner: bool) -> Panel:
    color = "best" if winner else "soft"
    top = Row(
        Text(f"{name}, better" if winner else name, HEAD, color, bold=True),
        Text(number, HEAD + 4, "best" if winner else "ink", bold=True, align="right"),
        middle=True,
    )
    return Panel(Column(top, ImageBlock(image, 420), gap=10), "best" if winner else "", pad=14)


def _aspect(aspect: PairScore, scale: Scale) -> Column:
    word = "N/A" if aspect.status == NOT_APPLICABLE else "missing"
    scores = [f"{score:.1f}" if score is not None else word for score in (aspect.score_a, aspect.score_b)]
    ends = [
        Text(f"{name} {score}", BODY, "best" if aspect.winner == name else "soft", bold=True, align=align)
        for name, score, align in ((A, scores[0], "left"), (B, scores[1], "right"))
    ]
    return Column(
        Row(ends[0], Text(aspect.name, BODY, bold=True, align="center"), ends[1], shares=(110, 1.0, 110)),
        Scales(aspect, scale),
        Text(aspect.justification, BODY, "soft", max_lines=6) if aspect.justification else None,
        gap=6,
    )


def _bias(verdict: Verdict) -> str:
    same = "both orders agree" if verdict.agreed else "the orders disagree"
    return f"Shown in both orders: {same}, position bias {verdict.position_bias:+.2f}."
