"""The scorecard of a refine loop: its rounds, the changes of each prompt, and a curve of the scores."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from ..loop.state import Round, State
from .canvas import Canvas
from .changes import changes
from .layout import Block, Column, ImageBlock, Panel, Row, Text, grid
from .parts import footer, heading, overall, score_lines
from .single import body
from .theme import BODY, HEAD, PAD, SMALL

MAX_IMAGES = 12
"""Most rounds shown as images; the curve shows all."""
COLUMNS = 4


class Curve:
    """The overall score of every round, the best one in colour, with the threshold as a line."""

    HIGH, LEFT, RIGHT, BELOW = 190, 34, 62, 24

    def __init__(self, state: State, shown: list[Round]):
        self.state, self.shown = state, {past.number for past in shown}

    def height(self, width: int) -> int:
        return self.HIGH

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        theme, rounds = canvas.theme, self.state.history
        worst, best = rounds[0].critique.scale
        left, right, top, bottom = x + self.LEFT, x + width - self.RIGHT, y + 8, y + self.HIGH - self.BELOW
        step, first = (right - left - 28) / max(1, len(rounds) - 1), left + 14
        if len(rounds) <= COLUMNS:  # each point above its image; the curve has the panel's padding around it
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
            Text(f"{score:g}", SMALL, "soft", align="right").draw(canvas, x, height - 10, self.LEFT - 10)
        threshold = self.state.settings.threshold
        canvas.dashes(left, round(up(threshold)), right, theme.ink)
        Text(f"≥ {threshold:.1f}", SMALL, "ink").draw(
            canvas, right + 8, round(up(threshold)) - 10, self.RIGHT
        )

        scored = [(past.number, score) for past in rounds if (score := past.critique.overall) is not None]
        canvas.curve([(across(number), up(score)) for number, score in scored], theme.soft, 2)
        for past in rounds:
            where, winner = across(past.number), past is self.state.best
            if past.critique.overall is None:
                cross = Text("×", SMALL + 2, "bad", bold=True, align="center")
                cross.draw(canvas, round(where) - 10, bottom - 21, 20)
                continue
            color = theme.best if winner else theme.ink if past.number in self.shown else theme.soft
            size = 7 if winner else 5 if len(rounds) <= 30 else 3
            canvas.dot(where, up(past.critique.overall), size, color)
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


def story(state: State, images: Mapping[int, Image.Image | None]) -> Block:
    thresholds, rounds = state.settings.thresholds, state.history
    last = rounds[-1]
    top = heading(_kind(state), state.request, max_lines=4)
    reason = Text(state.stop_text or "The loop goes on.", BODY, "soft")
    if len(rounds) == 1:
        seed = f"seed {last.seed}"
        shown = body(images.get(1), last.critique, (), thresholds, seed)
        return Column(Column(top, reason, gap=4), shown, _footer(state, ""), gap=PAD)
    shown = chosen(state)
    left_out = len(rounds) - len(shown)
    note = (
        f"{len(shown)} of {len(rounds)} rounds are shown as images: the first, the best, the last, "
        "those that set a new best or were accepted, and others in between. The curve shows all."
        if left_out
        else ""
    )
    before = {now.number: past for past, now in zip(rounds, rounds[1:], strict=False)}
    cells = [_cell(past, before.get(past.number), images.get(past.number), state) for past in shown]
    return Column(
        Column(top, reason, gap=4),
        Panel(Column(Text("Overall score by round", SMALL, "soft", bold=True), Curve(state, shown), gap=6)),
        grid(cells, min(COLUMNS, len(cells))),
        _footer(state, note),
        gap=PAD,
    )


def chosen(state: State) -> list[Round]:
    """The rounds to show, at most MAX_IMAGES: the first, the best, the last, those that set a new best,
    accepted ones, and others spread evenly in between."""
    rounds = state.history
    if len(rounds) <= MAX_IMAGES:
        return list(rounds)
    kept = {rounds[0].number, rounds[-1].number} | ({state.best.number} if state.best else set())
    high, gains = None, []
    for past in rounds:
        if (score := past.critique.overall) is not None and (high is None or score > high):
            high = score
            gains.append(past.number)
    for number in (*reversed(gains), *(one.number for one in state.accepted)):
        if len(kept) < MAX_IMAGES:
            kept.add(number)
    others = [past.number for past in rounds if past.number not in kept]
    room = MAX_IMAGES - len(kept)
    kept |= {others[len(others) * place // room] for place in range(room)}
    return [past for past in rounds if past.number in kept]


def _cell(past: Round, before: Round | None, image: Image.Image | None, state: State) -> Panel:
    winner = past is state.best
    accepted = state.settings.thresholds.reached(past.critique)
    color = "best" if winner else "ink"
    name = Text(f"Round {past.number}" + (", best" if winner else ""), HEAD, color, bold=True)
    new = "new seed" if "seed" in past.changed else "seed"
    several = f"candidate {past.chosen + 1} of {len(past.critiques)}" if len(past.critiques) > 1 else ""
    return Panel(
        Column(
            name,
            ImageBlock(image, 380, square=True),
            Row(
                overall(past.critique, state.settings.thresholds, 28),
                Text("accepted" if accepted else "", SMALL, "good", bold=True, align="right"),
                shares=(1.6, 1.0),
                middle=True,
            ),
            score_lines(past.critique, state.settings.thresholds),
            Text(f"{new} {past.seed}" + (f", {several}" if several else ""), SMALL, "soft"),
            _prompt(past, before),
            gap=10,
        ),
        "best" if winner else "",
        pad=14,
    )


def _prompt(past: Round, before: Round | None) -> Column:
    if before is None:
        label, words = "Prompt", [(past.prompt, "same")]
    elif before.prompt == past.prompt:
        return Column(Text("Prompt as before", SMALL, "soft", bold=True))
    else:
        label, words = "Prompt: what is new", changes(before.prompt, past.prompt, brief=True)
    return Column(Text(label, SMALL, "soft", bold=True), Text(words, SMALL + 1, max_lines=12), gap=3)


def _kind(state: State) -> str:
    count = len(state.history)
    words = f"Refine loop, {count} round{'s' if count > 1 else ''}"
    if state.settings.target_count > 1:
        words += f", {len(state.accepted)} of {state.settings.target_count} wanted images accepted"
    return words


def _footer(state: State, note: str) -> Block:
    critique = state.history[-1].critique
    return footer(critique.source, critique.scale, state.settings.thresholds, note)
