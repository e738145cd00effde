"""The chart of a loop: the overall score of every round, and which rounds passed."""

from __future__ import annotations

from ..loop.rounds import Round
from ..loop.state import State
from .canvas import Canvas
from .layout import Column, Row, Text
from .theme import PAD, SMALL
from .words import Words


class Curve:
    """The overall scores as a curve with a dot for each round, filled where it passed, and the threshold of
    the aspects as a line. With at most `columns` rounds, each dot stands above the image of its round."""

    LEFT, RIGHT, BELOW = 34, 10, 24

    def __init__(self, state: State, shown: list[Round], columns: int):
        self.state, self.shown, self.columns = state, {past.number for past in shown}, columns

    def height(self, width: int) -> int:
        return 110 if len(self.state.history) <= self.columns else 170

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        theme, rounds = canvas.theme, self.state.history
        worst, best = rounds[0].critique.scale
        left, right = x + self.LEFT, x + width - self.RIGHT
        top, bottom = y + 8, y + self.height(width) - self.BELOW
        step, first = (right - left - 28) / max(1, len(rounds) - 1), left + 14
        if len(rounds) <= self.columns:  # the curve has the panel's padding around it, the images have not
            step = (width + 3 * PAD) / len(rounds)
            first = x - PAD + (step - PAD) / 2

        def across(number: int) -> float:
            return first + (number - 1) * step

        def up(score: float) -> float:
            return bottom - (score - worst) / (best - worst) * (bottom - top)

        for part in range(4):
            score = worst + (best - worst) * part / 3
            height = round(up(score))
            canvas.box((left, height, right, height + 1), theme.faint)
            Text(f"{score:.3g}", SMALL, "soft", align="right").draw(canvas, x, height - 10, self.LEFT - 10)
        canvas.dashes(left, round(up(self.state.settings.threshold)), right, theme.ink)

        scored = [(past.number, score) for past in rounds if (score := past.critique.overall) is not None]
        canvas.curve([(across(number), up(score)) for number, score in scored], theme.soft, 2)
        for past in rounds:
            where, winner = across(past.number), past is self.state.best
            if past.critique.overall is None:
                cross = Text("×", SMALL + 2, "bad", bold=True, align="center")
                cross.draw(canvas, round(where) - 10, bottom - 21, 20)
                continue
            color = theme.best if winner else theme.ink if past.number in self.shown else theme.soft
            size = 7 if winner else 5 if len(rounds) <= 30 else 4
            passed = self.state.settings.thresholds.reached(past.critique)
            canvas.dot(where, up(past.critique.overall), size, color, hollow=not passed)
        for number in self._labels():
            winner = self.state.best is not None and number == self.state.best.number
            label = Text(str(number), SMALL, "best" if winner else "soft", bold=winner, align="center")
            label.draw(canvas, round(across(number)) - 20, bottom + 4, 40)

    def _labels(self) -> list[int]:
        """The round numbers to write below the curve, spaced so that they fit."""
        rounds = len(self.state.history)
        every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if rounds / step <= 25)
        best = self.state.best.number if self.state.best else 0
        numbers = [number for number in range(1, rounds + 1) if number % every == 0 or number == 1]
        return [n for n in numbers if abs(n - best) >= every] + ([best] if best else [])


class Sample:
    """What a line or a dot of the chart looks like, for its key."""

    def __init__(self, kind: str):
        self.kind = kind

    def height(self, width: int) -> int:
        return round(1.45 * SMALL)

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        middle = y + self.height(width) // 2
        if self.kind == "line":
            canvas.dashes(x, middle, x + width, canvas.theme.ink)
        else:
            canvas.dot(x + width - 6, middle, 5, canvas.theme.ink, self.kind == "hollow")


def chart(state: State, shown: list[Round], columns: int, words: Words) -> Column:
    """The curve with its title and key."""
    rule = words.rule(state.settings.thresholds, state.history[0].critique.aspects)
    key, shares = [Text(words.chart, SMALL, "soft", bold=True)], [1.0]
    for kind, label in (("line", rule), ("filled", words.passed), ("hollow", words.below)):
        text = Text(label, SMALL, "soft", max_lines=1)
        key += [Sample(kind), text]
        shares += [24, min(text.width() + 2, 420)]
    return Column(Row(*key, shares=shares, gap=10), Curve(state, shown, columns), gap=8)
