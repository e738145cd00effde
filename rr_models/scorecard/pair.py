"""The scorecard of a comparison: A and B side by side, aspect by aspect, the winner framed."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..judgement.critique import NOT_APPLICABLE
from ..judgement.verdict import TIE, A, B, PairScore, Verdict
from .canvas import Canvas
from .layout import Block, Column, ImageBlock, Panel, Row, Text, common_ratio
from .parts import Scale, footer, labelled, notes, request_card
from .theme import BODY, GAP, HEAD, MEDIUM, PAD, SMALL
from .words import Words

BARELY = 0.1
"""A margin of less than this many points, of which a critique's aspects have 0.1 as the smallest step, is
won barely."""


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
                level = y + self.HIGH // 2
                if self.aspect.status == NOT_APPLICABLE:
                    canvas.box((ends[0], level, ends[1], level + 1), theme.faint)
                else:
                    canvas.dashes(ends[0], level, ends[1], theme.bad)
                continue
            canvas.box((ends[0], y, ends[1], y + self.HIGH), theme.faint, self.HIGH // 2)
            long = max(self.HIGH, round(arm * (score - self.scale[0]) / (self.scale[1] - self.scale[0])))
            filled = sorted((middle + way * 2, middle + way * (2 + long)))
            color = theme.best if self.aspect.winner == name else theme.soft
            canvas.box((filled[0], y, filled[1], y + self.HIGH), color, self.HIGH // 2)


def pair(
    a: Image.Image | None,
    b: Image.Image | None,
    verdict: Verdict,
    sources: Sequence[Image.Image],
    words: Words,
    date: str,
) -> Block:
    ratio = common_ratio([*sources, a, b])
    shots = [
        Panel(
            Text(words.source, SMALL, "soft", bold=True),
            pad=14,
            image=ImageBlock(source, words.no_image, ratio=ratio),
        )
        for source in sources
    ]
    for name, image, score in ((A, a, verdict.overall_a), (B, b, verdict.overall_b)):
        box = ImageBlock(image, words.no_image, ratio=ratio)
        shots.append(_shot(name, box, score, verdict.winner == name, words))
    return Column(
        request_card(words.comparison, verdict.request, words),
        Row(*shots),
        Panel(
            Column(
                Text(
                    _outcome(verdict, words),
                    HEAD + 4,
                    "best" if verdict.winner in (A, B) else "ink",
                    bold=True,
                ),
                *(_aspect(aspect, verdict.scale, words) for aspect in verdict.aspects),
                labelled(words.summary, verdict.summary, words, max_lines=8),
                notes(verdict, words),
                gap=GAP + 8,
            )
        ),
        footer(verdict, None, words, date, _bias(verdict, words)),
        gap=PAD,
    )


def _outcome(verdict: Verdict, words: Words) -> str:
    """Who wins, and by how much."""
    if verdict.winner is None or verdict.margin is None:
        return f"{words.undecided}: {words.statuses.get(verdict.status, words.nothing_applies)}"
    if verdict.winner == TIE:
        return words.tie
    margin = abs(verdict.margin)
    return (words.wins_barely if margin < BARELY else words.wins).format(winner=verdict.winner, margin=margin)


def _shot(name: str, image: ImageBlock, score: float | None, winner: bool, words: Words) -> Panel:
    label = words.one_wins.format(name=name) if winner else name
    number = "" if score is None else f"{score:.2f}"
    top = Row(
        Text(label, HEAD, "best" if winner else "soft", bold=True),
        Text(number, MEDIUM, bold=True, align="right"),
        middle=True,
    )
    return Panel(top, "best" if winner else "", pad=14, image=image)


def _aspect(aspect: PairScore, scale: Scale, words: Words) -> Column:
    word = words.not_applicable if aspect.status == NOT_APPLICABLE else words.missing
    scores = [f"{score:.1f}" if score is not None else word for score in (aspect.score_a, aspect.score_b)]
    ends = [
        Text(f"{name} {score}", BODY, "best" if aspect.winner == name else "soft", bold=True, align=align)
        for name, score, align in ((A, scores[0], "left"), (B, scores[1], "right"))
    ]
    name = Text(words.aspect(aspect.key, aspect.name), BODY, bold=True, align="center")
    return Column(
        Row(ends[0], name, ends[1], shares=(110, 1.0, 110)),
        Scales(aspect, scale),
        Text(aspect.justification, BODY, "soft", max_lines=6, more=words.more)
        if aspect.justification
        else None,
        gap=6,
    )


def _bias(verdict: Verdict, words: Words) -> str:
    if verdict.position_bias is None:
        return ""
    sentence = words.orders_agree if verdict.agreed else words.orders_disagree
    return sentence.format(bias=verdict.position_bias)
