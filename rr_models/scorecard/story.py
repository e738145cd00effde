"""The scorecard of a refine loop: its rounds, the changes of each prompt, and a chart of the scores."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image

from ..loop.rounds import Round
from ..loop.state import State
from .changes import changes
from .curve import chart
from .layout import Block, Column, ImageBlock, Panel, Row, Text, common_ratio, grid
from .parts import footer, overall, passed_tag, request_card, score_lines
from .single import body
from .theme import BODY, HEAD, MEDIUM, PAD, READ, SMALL
from .words import Words

MAX_IMAGES = 12
"""Most rounds shown as images; the curve shows all."""
COLUMNS = 4


def story(state: State, images: Mapping[int, Image.Image | None], words: Words, date: str) -> Block:
    thresholds, rounds = state.settings.thresholds, state.history
    last = rounds[-1]
    top = request_card(_kind(state, words), state.request, words)
    reason = Text(words.why_stopped(state), BODY, "soft")
    if len(rounds) == 1:
        shown = body(images.get(1), last.critique, (), thresholds, words, last.seed)
        return Column(top, reason, shown, footer(last.critique, thresholds, words, date), gap=PAD)
    shown = chosen(state)
    left_out = len(shown) < len(rounds)
    note = words.rounds_shown.format(shown=len(shown), count=len(rounds)) if left_out else ""
    before = {now.number: past for past, now in zip(rounds, rounds[1:], strict=False)}
    ratio = common_ratio(images.get(past.number) for past in shown)
    cells = []
    for past in shown:
        image = ImageBlock(images.get(past.number), words.no_image, ratio=ratio)
        cells.append(_cell(past, before.get(past.number), image, state, words))
    return Column(
        top,
        reason,
        Panel(chart(state, shown, COLUMNS, words)),
        grid(cells, min(COLUMNS, len(cells))),
        footer(last.critique, thresholds, words, date, note),
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


def _cell(past: Round, before: Round | None, image: ImageBlock, state: State, words: Words) -> Panel:
    thresholds = state.settings.thresholds
    winner = past is state.best
    name = (words.round_best if winner else words.round).format(number=past.number)
    labels = [(words.new_seed if "seed" in past.changed else words.seed).format(seed=past.seed)]
    if len(past.critiques) > 1:
        labels.append(words.candidate.format(number=past.chosen + 1, count=len(past.critiques)))
    score = overall(past.critique, words, MEDIUM)
    tag = passed_tag(past.critique, thresholds, words, "right")
    return Panel(
        Column(
            Text(name, HEAD, "best" if winner else "ink", bold=True),
            Row(score, tag, shares=(1.0, 1.0), gap=4, middle=True) if tag else score,
            score_lines(past.critique, thresholds, words),
            Text(words.comma.join(labels), SMALL, "soft"),
            _prompt(past, before, words),
            gap=10,
        ),
        "best" if winner else "",
        pad=14,
        image=image,
    )


def _prompt(past: Round, before: Round | None, words: Words) -> Column:
    if before is None:
        label, spans = words.prompt, [(past.prompt, "same")]
    elif before.prompt == past.prompt:
        return Column(Text(words.same_prompt, SMALL, "soft", bold=True))
    else:
        label, spans = words.prompt_changes, changes(before.prompt, past.prompt, brief=True)
    return Column(
        Text(label, SMALL, "soft", bold=True), Text(spans, READ, max_lines=12, more=words.more), gap=3
    )


def _kind(state: State, words: Words) -> str:
    count = len(state.history)
    kind = words.one_round if count == 1 else words.rounds.format(count=count)
    target = state.settings.target_count
    if target > 1:
        kind += words.comma + words.accepted.format(count=len(state.accepted), target=target)
    return kind
