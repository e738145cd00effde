"""What nodes show in the browser, as plain data; web/js/face.js draws it.

Results are part of a node's ui output, which core keeps with its cache and its history. A critic's progress
is sent as messages of our own. No node depends on anyone receiving them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from server import PromptServer

from ...rr_models.critics.base import Critic, Progress, ProgressCallback
from ...rr_models.critics.judging import progress_of
from ...rr_models.judgement.critique import Critique
from ...rr_models.judgement.verdict import Verdict
from ...rr_models.loop.state import State
from .model_memory import node_progress

KEY = "rational_rewards"
LIVE, ROUND = f"{KEY}.live", f"{KEY}.round"
MIN_INTERVAL = 0.25
"""Seconds between two progress messages."""
MAX_CRITIQUES = 16
"""Critiques shown on a node; the report output has all."""
MAX_LINES = 64
"""Lines of a report shown on a node."""
MAX_LETTERS = 1000
"""Letters shown of one text."""


def ui(panels: Sequence[dict]) -> dict:
    """The ui output that shows these panels. The list is nested, because core counts what is not a list in
    the outer one as files."""
    return {KEY: [list(panels)]}


def critiques(judged: Sequence[Critique], order: Sequence[int], round: int | None = None) -> dict:
    """The ui output for the critiques of a batch, in this order; `round` is that of a refine loop."""
    numbers = {index: f"{index + 1}" if len(judged) > 1 else "" for index in order}
    panels = [critique(judged[index], numbers[index]) for index in order[:MAX_CRITIQUES]]
    return ui([{**panel, "round": round} for panel in panels])


def critique(judged: Critique, number: str = "") -> dict:
    """The panel of one critique; `number` is that of the image, if there are several."""
    return {
        "kind": "critique",
        "image": number,
        "overall": judged.overall,
        "status": judged.status,
        "scale": list(judged.scale),
        "aspects": [
            {
                "key": aspect.key,
                "name": aspect.name,
                "status": aspect.status,
                "score": aspect.score,
                "std": aspect.std,
                "text": _short(aspect.justification),
            }
            for aspect in judged.aspects
        ],
        "summary": _short(judged.summary),
        "refined": _short(judged.refined_request),
        "notes": [_short(note) for note in judged.notes],
    }


def selection(selected: int, total: int, report: str, *, passing: bool = False) -> dict:
    """The ui output of a node that selects images or lets them pass: how many of how many, and a line about
    each. The text is for clients without a browser."""
    lines = report.split("\n")[:MAX_LINES]
    panel = {"kind": "selection", "counts": [selected, total], "passing": passing, "lines": lines}
    return {"text": [report], **ui([panel])}


def verdict(judged: Verdict) -> dict:
    """The panel of a comparison."""
    return {
        "kind": "verdict",
        "overall": [judged.overall_a, judged.overall_b],
        "winner": judged.winner,
        "status": judged.status,
        "scale": list(judged.scale),
        "bias": judged.position_bias,
        "aspects": [
            {
                "key": aspect.key,
                "name": aspect.name,
                "status": aspect.status,
                "scores": [aspect.score_a, aspect.score_b],
                "winner": aspect.winner,
                "text": _short(aspect.justification),
            }
            for aspect in judged.aspects
        ],
        "summary": _short(judged.summary),
        "notes": [_short(note) for note in judged.notes],
    }


def loop(state: State) -> dict:
    """The panel of a refine loop so far."""
    return {
        "kind": "loop",
        "rounds": [
            {
                "number": past.number,
                "seed": str(past.seed),  # too large for a number in the browser
                "overall": past.critique.overall,
                "status": past.critique.status,
                "candidates": len(past.critiques),
                "changed": past.changed,
                "prompt": _short(past.prompt),
            }
            for past in state.history
        ],
        "best": state.best.number if state.best else None,
        "accepted": len(state.accepted),
        "target": state.settings.target_count,
        "limit": state.settings.rounds,
        "threshold": state.settings.threshold,
        "stop": state.stop and state.stop.to_dict(),
        "scale": list(state.history[-1].critique.scale),
        "critique": critique(state.best.critique) if state.best else None,
    }


def show_text(text: str, node_id: str | None) -> None:
    """Show a line of text on a node while it runs."""
    if node_id is not None and (server := getattr(PromptServer, "instance", None)) is not None:
        server.send_progress_text(text, node_id)


def show_round(state: State) -> None:
    """Show on Refine End that a round begins; called in Refine Start."""
    _send(ROUND, {"number": state.number, "limit": state.settings.rounds, "seed": str(state.seed)})


def live_progress(critic: Critic) -> ProgressCallback:
    """As `node_progress`; also shows in the browser which scores are written, how fast the critic writes, and
    how many seconds are left at most (unfinished answers count with their token limit)."""
    move_bar, speed = node_progress(), _Speed()
    last_sent = time.monotonic()

    def on_progress(done: int, total: int) -> None:
        nonlocal last_sent
        move_bar(done, total)
        now = time.monotonic()
        if now - last_sent < MIN_INTERVAL:
            return
        last_sent, progress = now, progress_of(critic)
        if progress.answers:
            _send(LIVE, _live(progress) | speed.measure(now, progress.tokens, done, total))

    return on_progress


def _live(progress: Progress) -> dict:
    return {
        "tokens": progress.tokens,
        "answers": progress.answers,
        "done": progress.finished,
        "aspects": [{"key": key, "name": name} for key, name in progress.names.items()],
        "scores": progress.scores,
    }


class _Speed:
    """Speed since the first token; the time before it went into reading the prompt."""

    def __init__(self) -> None:
        self.first: tuple[float, int, int] | None = None

    def measure(self, now: float, tokens: int, done: int, total: int) -> dict:
        """Tokens per second, and the seconds left; None while unknown."""
        if self.first is None and tokens:
            self.first = (now, tokens, done)
        began, first_tokens, first_done = self.first or (now, 0, 0)
        seconds = now - began
        speed = (done - first_done) / seconds if seconds else 0
        return {
            "per_second": (tokens - first_tokens) / seconds if seconds else None,
            "left": (total - done) / speed if speed else None,
        }


def _send(event: str, data: dict) -> None:
    """To the browser that queued this run, about the node that is running."""
    server = PromptServer.instance
    if server.client_id is not None and server.last_node_id is not None:
        server.send_sync(event, {"node": server.last_node_id, **data}, server.client_id)


def _short(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}…"
