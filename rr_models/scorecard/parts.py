"""Parts that the scorecards share: the request, scores as bars, a critique's texts, the footer."""

from __future__ import annotations

from collections.abc import Sequence

from ..judgement.critique import NOT_APPLICABLE, AspectScore, Critique, Judgement
from ..judgement.thresholds import Thresholds
from .canvas import Canvas
from .layout import Block, Column, Panel, Row, Rule, Space, Text
from .theme import BIG, BODY, GAP, HEAD, READ, SMALL
from .words import Words

Scale = tuple[float, float]


class Track:
    """A score as a bar from the worst to the best there is, with a notch at the threshold.

    Without a score the track is dashed (missing) or empty (does not apply).
    """

    def __init__(self, aspect: AspectScore, scale: Scale, threshold: float, high: int = 8):
        self.aspect, self.scale, self.threshold, self.high = aspect, scale, threshold, high

    def height(self, width: int) -> int:
        return self.high

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        theme, score, middle = canvas.theme, self.aspect.score, y + self.high // 2
        if score is None:
            if self.aspect.status == NOT_APPLICABLE:
                canvas.box((x, middle, x + width, middle + 1), theme.faint)
            else:
                canvas.dashes(x, middle, x + width, theme.bad)
            return
        canvas.box((x, y, x + width, y + self.high), theme.faint, self.high // 2)
        filled = round(width * _share(score, self.scale))
        color = getattr(theme, color_of(score, self.threshold))
        # the worst score is drawn as a dot
        canvas.box((x, y, x + max(self.high, filled), y + self.high), color, self.high // 2)
        notch = x + round(width * _share(self.threshold, self.scale))
        if x < notch < x + width:
            canvas.box((notch - 1, y - 3, notch + 1, y + self.high + 3), theme.ink)


class Mark:
    """A filled dot for an aspect that passed, a hollow one for one below its threshold, none without a
    score."""

    WIDE = 12

    def __init__(self, score: float | None, threshold: float, size: int):
        self.score, self.threshold, self.size = score, threshold, size

    def height(self, width: int) -> int:
        return round(1.45 * self.size)

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        if self.score is not None:
            color = getattr(canvas.theme, color_of(self.score, self.threshold))
            hollow = self.score < self.threshold
            canvas.dot(x + 5, y + self.height(width) // 2, 5, color, hollow)


class Tag:
    """A word on a small background of its own: `good` or not."""

    def __init__(self, text: str, good: bool, align: str = "left"):
        self.text, self.good, self.align = text, good, align

    def height(self, width: int) -> int:
        return 24

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        words = Text(self.text, SMALL, "added_ink" if self.good else "removed_ink", bold=True, max_lines=1)
        wide = min(width, words.width() + 18)
        left = x + width - wide if self.align == "right" else x
        ground = canvas.theme.added if self.good else canvas.theme.removed
        canvas.box((left, y, left + wide, y + 24), ground, 12)
        words.draw(canvas, left + 9, y + 3, max(1, wide - 17))


def _share(score: float, scale: Scale) -> float:
    return min(1.0, max(0.0, (score - scale[0]) / (scale[1] - scale[0])))


def color_of(score: float | None, threshold: float) -> str:
    return "soft" if score is None else "good" if score >= threshold else "bad"


def shown(aspect: AspectScore, threshold: float, words: Words) -> tuple[str, str]:
    """An aspect's score as text, and its colour."""
    if aspect.score is not None:
        # never rounded up to the threshold that it misses
        missed = aspect.score < threshold <= round(aspect.score, 1)
        text = f"{aspect.score:.4g}" if missed else f"{aspect.score:.1f}"
        return text, color_of(aspect.score, threshold)
    return (words.not_applicable, "soft") if aspect.status == NOT_APPLICABLE else (words.missing, "bad")


def score_line(
    aspect: AspectScore, scale: Scale, threshold: float, words: Words, size: int = SMALL
) -> Column:
    """Mark, name, score and bar of one aspect."""
    number, color = shown(aspect, threshold, words)
    count = Text(number, size, color, bold=True, align="right")
    name = words.aspect(aspect.key, aspect.name)
    label = Text(name, size, "ink", size > SMALL, max_lines=1)
    return Column(
        Row(
            Mark(aspect.score, threshold, size),
            label,
            count,
            shares=(Mark.WIDE, 1.0, count.width() + 4),
            gap=6,
        ),
        Track(aspect, scale, threshold, 8 if size > SMALL else 6),
        gap=4,
    )


def score_lines(critique: Critique, thresholds: Thresholds, words: Words) -> Column:
    """All aspects in small type."""
    lines = (score_line(a, critique.scale, thresholds.of(a.key), words) for a in critique.aspects)
    return Column(*lines, gap=10)


def overall(critique: Critique, words: Words, size: int = BIG) -> Block:
    """The overall score in large type, or that there is none. Its colour is neutral: aspects have
    thresholds, their mean has not."""
    if critique.overall is None:
        word = words.statuses.get(critique.status, words.nothing_applies)
        return Text(word, round(size * 0.55), "bad", bold=True)
    number = Text(f"{critique.overall:.2f}", size, bold=True)
    small = max(SMALL, size // 4)
    of = Text(words.of_best.format(best=critique.scale[1]), small, "soft")
    lifted = Column(Space(round(size * 1.1) - round(small * 1.1)), of, gap=0)
    return Row(number, lifted, shares=(number.width(), 1.0), gap=6)


def passed_tag(critique: Critique, thresholds: Thresholds, words: Words, align: str = "left") -> Tag | None:
    """Whether the image passed; None without an overall score, where the headline says why."""
    if critique.overall is None:
        return None
    passed = thresholds.reached(critique)
    return Tag(words.passed if passed else words.below, passed, align)


def request_card(kind: str, request: str, words: Words) -> Panel:
    """The kind of scorecard and the first two lines of the request."""
    top = Row(
        Text(words.request, SMALL, "soft", bold=True), Text(kind, SMALL, "soft", bold=True, align="right")
    )
    return Panel(Column(top, Text(request, READ, max_lines=2, more=words.more), gap=4), pad=16)


def labelled(
    label: str, text: str | Sequence[tuple[str, str]], words: Words, max_lines: int = 0
) -> Column | None:
    """A paragraph with a small heading; None without text."""
    if not text:
        return None
    return Column(
        Text(label, SMALL, "soft", bold=True), Text(text, BODY, max_lines=max_lines, more=words.more), gap=3
    )


def reasons(critique: Critique, thresholds: Thresholds, words: Words, max_lines: int = 8) -> Column:
    """All aspects with the critic's justifications."""
    return Column(
        *(
            Column(
                score_line(aspect, critique.scale, thresholds.of(aspect.key), words, HEAD),
                Text(aspect.justification, BODY, "soft", max_lines=max_lines, more=words.more)
                if aspect.justification
                else None,
                gap=7,
            )
            for aspect in critique.aspects
        ),
        gap=GAP + 8,
    )


def notes(judgement: Judgement, words: Words) -> Column | None:
    """The judgement's notes, such as that the answer was cut off."""
    return labelled(words.notes, "\n".join(judgement.notes), words, max_lines=6)


def footer(
    judgement: Judgement, thresholds: Thresholds | None, words: Words, date: str = "", more: str = ""
) -> Column:
    """How to read the scores; which critic gave them, and when they were saved, where that is known."""
    parts = [words.scale.format(worst=judgement.scale[0], best=judgement.scale[1])]
    if thresholds:
        parts.append(words.notch.format(rule=words.rule(thresholds, judgement.aspects)))
    parts.append(more)
    if critic := judgement.source.get("critic"):
        parts.append(words.judged_by.format(critic=critic))
    if date:
        parts.append(words.saved.format(date=date))
    return Column(Rule(), Text(words.between.join(filter(None, parts)), SMALL, "soft"), gap=8)
