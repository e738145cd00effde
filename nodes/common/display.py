"""What nodes show on their own face in the browser, as plain data; web/js/face.js draws it.

Results go out as part of a node's ui output, which core keeps with its cache and its history; how far a
critic has got goes out as a message of our own. Nothing depends on anyone listening.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from comfy_api.latest import io
from server import PromptServer

from ...rr_models.critics.base import Critic, ProgressCallback
from ...rr_models.critics.judging import progress_of
from ...rr_models.judgement.critique import Critique
from ...rr_models.judgement.verdict import Verdict
from ...rr_models.loop.state import State
from .model_memory import node_progress

KEY = "rational_rewards"
LIVE, ROUND = f"{KEY}.live", f"{KEY}.round"
PAUSE = 0.25
"""Seconds between two messages about one critique."""
MOST = 16
"""So many critiques are shown; the report output has all."""
LONGEST = 1000
"""Letters of one text that are shown."""

# Cores from 0.19 on send what a node without a cable to an output showed before when it comes from the cache.
SHOWN_FROM_CACHE = (
    {"has_intermediate_output": True} if "has_intermediate_output" in io.Schema.__dataclass_fields__ else {}
)


def ui(faces: Sequence[dict]) -> dict:
    """The ui output for these faces. One list inside another: core counts what lies in the outer one as files
    of the run, were it not a list."""
    return {KEY: [list(faces)]}


def critiques(found: Sequence[Critique], order: Sequence[int]) -> dict:
    """The ui output for the critiques of a batch, in this order."""
    names = {index: f"{index + 1}" if len(found) > 1 else "" for index in order}
    return ui([critique(found[index], names[index]) for index in order[:MOST]])


def critique(found: Critique, image: str = "") -> dict:
    """The face of one critique; `image` is the picture's number where there are several."""
    return {
        "kind": "critique",
        "image": image,
        "overall": found.overall,
        "status": found.status,
        "scale": list(found.scale),
        "aspects": [
            {
                "key": aspect.key,
                "name": aspect.name,
                "status": aspect.status,
                "score": aspect.score,
                "std": aspect.std,
                "text": _short(aspect.justification),
            }
            for aspect in found.aspects
        ],
        "summary": _short(found.summary),
        "refined": _short(found.refined_request),
        "notes": [_short(note) for note in found.notes],
    }


def verdict(found: Verdict) -> dict:
    """The face of a comparison."""
    return {
        "kind": "verdict",
        "overall": [found.overall_a, found.overall_b],
        "winner": found.winner,
        "status": found.status,
        "scale": list(found.scale),
        "bias": found.position_bias,
        "aspects": [
            {
                "key": aspect.key,
                "name": aspect.name,
                "status": aspect.status,
                "scores": [aspect.score_a, aspect.score_b],
                "winner": aspect.winner,
                "text": _short(aspect.justification),
            }
            for aspect in found.aspects
        ],
        "summary": _short(found.summary),
        "notes": [_short(note) for note in found.notes],
    }


def loop(state: State) -> dict:
    """The face of a refine loop so far."""
    return {
        "kind": "loop",
        "rounds": [
            {
                "number": past.number,
                "seed": str(past.seed),  # beyond what a number in the browser can hold
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
        "done": state.done,
        "reason": state.stop_text,
        "stop": state.stop and state.stop.to_dict(),
        "scale": list(state.history[-1].critique.scale),
        "critique": critique(state.best.critique) if state.best else None,
    }


def tell(text: str, node: str | None) -> None:
    """Show a line on a node while it works."""
    if node is not None and (server := getattr(PromptServer, "instance", None)) is not None:
        server.send_progress_text(text, node)


def tell_round(state: State) -> None:
    """Tell the browser that a round of a loop begins; called in Refine Start."""
    _send(ROUND, {"number": state.number, "limit": state.settings.rounds, "seed": str(state.seed)})


def live_progress(critic: Critic) -> ProgressCallback:
    """As `node_progress`; also shows in the browser which scores stand, how fast the critic writes and how
    many seconds it may take at most: unfinished answers count with their token limit."""
    move = node_progress()
    last, first = time.monotonic(), None

    def on_progress(done: int, total: int) -> None:
        nonlocal last, first
        move(done, total)
        now = time.monotonic()
        if now - last < PAUSE:
            return
        last, far = now, progress_of(critic)
        if not far.answers:
            return
        if first is None and far.tokens:  # reading the prompt is no writing
            first = (now, far.tokens, done)
        passed = now - first[0] if first else 0
        speed = (done - first[2]) / passed if passed else 0
        _send(
            LIVE,
            {
                "tokens": far.tokens,
                "per_second": (far.tokens - first[1]) / passed if passed else None,
                "answers": far.answers,
                "done": far.finished,
                "left": (total - done) / speed if speed else None,
                "aspects": [{"key": key, "name": name} for key, name in far.names.items()],
                "scores": far.scores,
            },
        )

    return on_progress


def _send(event: str, data: dict) -> None:
    """To the browser that queued this run, about the node that is running."""
    server = PromptServer.instance
    if server.client_id is not None and server.last_node_id is not None:
        server.send_sync(event, {"node": server.last_node_id, **data}, server.client_id)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
