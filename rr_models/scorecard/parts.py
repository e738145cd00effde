"""Parts that the scorecards share: headings, scores as bars, a critique's texts, the footer."""

from __future__ import annotations

from collections.abc import Sequence

from ..judgement.critique import COMPLETE, NOT_APPLICABLE, AspectScore, Critique
from ..judgement.thresholds import Thresholds
from .canvas import Canvas
from .layout import Block, Column, Row, Rule, Space, Text
from .theme import BIG, BODY, GAP, HEAD, SMALL, TITLE

Scale = tuple[float, float]


class Track:
    """A score as a bar from the worst to the best there is, with a notch at the threshold.

    Without a score the track is dashed (missing) or empty (does not apply).
    """

    def __init__(self, aspect: AspectScore, scale: Scale, threshold: float, high: int = 8, dim: bool = False):
        self.aspect, self.scale, self.threshold, self.high, self.dim = aspect, scale, threshold, high, dim

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
        color = theme.soft if self.dim else getattr(theme, color_of(score, self.threshold))
        # the worst score is drawn as a dot
        canvas.box((x, y, x + max(self.high, filled), y + self.high), color, self.high // 2)
        notch = x + round(width * _share(self.threshold, self.scale))
        if x < notch < x + width:
            canvas.box((notch - 1, y - 3, notch + 1, y + self.high + 3), theme.ink)


def _share(score: float, scale: Scale) -> float:
    return min(1.0, max(0.0, (score - scale[0]) / (scale[1] - scale[0])))


def color_of(score: float | None, threshold: float) -> str:
    return "soft" if score is None else "good" if score >= threshold else "bad"


def shown(aspect: AspectScore, threshold: float) -> tuple[str, str]:
    """An aspect's score as text, and its colour if that is not the colour of a score."""
    if aspect.score is not None:
        # never rounded up to the threshold that it misses
        missed = aspect.score < threshold <= round(aspect.score, 1)
        return f"{aspect.score:.4g}" if missed else f"{aspect.score:.1f}", ""
    return ("N/A", "soft") if aspect.status == NOT_APPLICABLE else ("missing", "bad")


def score_line(
    aspect: AspectScore, scale: Scale, threshold: float, size: int = SMALL, dim: bool = False
) -> Column:
    """The name, score and bar of one aspect."""
    number, color = shown(aspect, threshold)
    color = color or ("soft" if dim else color_of(aspect.score, threshold))
    count = Text(number, size, color, bold=True, align="right")
    name = Text(aspect.name, size, "soft" if dim or size == SMALL else "ink", size > SMALL, max_lines=1)
    return Column(
        Row(name, count, shares=(1.0, count.width() + 4), gap=8),
        Track(aspect, scale, threshold, 8 if size > SMALL else 6, dim),
        gap=4,
    )


def score_lines(critique: Critique, thresholds: Thresholds, dim: bool = False) -> Column:
    """All aspects in small type."""
    lines = (score_line(a, critique.scale, thresholds.of(a.key), dim=dim) for a in critique.aspects)
    return Column(*lines, gap=10)


def overall(critique: Critique, thresholds: Thresholds, size: int = BIG, dim: bool = False) -> Block:
    """The overall score in large type, or why there is none."""
    if critique.overall is None:
        word = critique.status if critique.status != COMPLETE else "nothing applies"
        return Text(word, round(size * 0.55), "soft" if dim else "bad", bold=True)
    color = "soft" if dim else "good" if thresholds.reached(critique) else "bad"
    number = Text(f"{critique.overall:.2f}", size, color, bold=True)
    of = Text(f"of {critique.scale[1]:g}", max(SMALL, size // 3), "soft")
    lifted = Column(Space(round(size * 1.1) - round(max(SMALL, size // 3) * 1.1)), of, gap=0)
    return Row(number, lifted, shares=(number.width(), 1.0), gap=6)


def heading(kind: str, request: str, right: Block | None = None, max_lines: int = 3) -> Block:
    """The kind of scorecard, and the request."""
    words = Column(
        Text(kind, SMALL, "soft", bold=True), Text(request, TITLE, bold=True, max_lines=max_lines), gap=4
    )
    return Row(words, right, shares=(1.0, 230)) if right else words


def labelled(label: str, text: str | Sequence[tuple[str, str]], max_lines: int = 0) -> Column | None:
    """A paragraph with a small heading; None without text."""
    if not text:
        return None
    return Column(Text(label, SMALL, "soft", bold=True), Text(text, BODY, max_lines=max_lines), gap=3)


def reasons(critique: Critique, thresholds: Thresholds, max_lines: int = 8) -> Column:
    """All aspects with the critic's justifications."""
    return Column(
        *(
            Column(
                score_line(aspect, critique.scale, thresholds.of(aspect.key), HEAD),
                Text(aspect.justification, BODY, "soft", max_lines=max_lines)
                if aspect.justification
                else None,
                gap=7,
            )
            for aspect in critique.aspects
        ),
        gap=GAP + 8,
    )


def notes(critique: Critique) -> Column | None:
    """The critique's notes, such as that the answer was cut off."""
    return labelled("Notes", "\n".join(critique.notes), max_lines=6) if critique.notes else None


def footer(source: dict, scale: Scale, thresholds: Thresholds | None, more: str = "") -> Column:
    """How to read the scores, and which critic gave them."""
    notch = "; the notch is the threshold" if thresholds else ""
    notch += f" ({thresholds.threshold:.3g})" if thresholds and not thresholds.aspect_thresholds else ""
    notch += (
        f"; the overall score must reach {thresholds.min_overall:.3g}"
        if thresholds and thresholds.min_overall
        else ""
    )
    note = [f"Scores from {scale[0]:g} (worst) to {scale[1]:g} (best){notch}.", *([more] if more else [])]
    if critic := source.get("critic"):
        note.append(f"Judged by {critic}.")
    return Column(Rule(), Text(" ".join(note), SMALL, "soft"), gap=8)
