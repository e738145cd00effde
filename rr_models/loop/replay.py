"""Replay a history: make all decisions of a finished or running loop again, and check that they agree."""

from __future__ import annotations

from .rounds import Round
from .state import State, end, observe, start


def replay(data: object) -> State:
    """The state of a history (`State.to_dict`, read back from JSON), without payloads.

    Makes every decision again; ValueError where one differs from the history.
    """
    recorded = State.from_dict(data)
    first = recorded.history[0] if recorded.history else recorded
    state = start(recorded.request, first.seed, recorded.settings)
    for past in recorded.history:
        _agree(state, past, f"round {past.number}")
        # the round's own proposal may have come from elsewhere, such as Revise Prompt
        state = observe(state, past.critiques, (), past.next_prompt, past.seconds)
    if recorded.stop and recorded.stop.reason.is_external:
        state = end(state, recorded.stop.reason, recorded.stop.details)
    _agree(state, recorded, "the next round")
    if recorded.stop != state.stop:
        raise _differs("the end", "stop", recorded.stop_text, state.stop_text)
    return state


def _agree(state: State, recorded: Round | State, where: str) -> None:
    for name in ("number", "prompt", "seed"):
        if getattr(recorded, name) != getattr(state, name):
            raise _differs(where, name, getattr(recorded, name), getattr(state, name))


def _differs(where: str, name: str, recorded: object, computed: object) -> ValueError:
    return ValueError(
        f"The history does not replay: {where} has {name} {recorded!r}, but its settings and critiques give "
        f"{computed!r}. Was it edited, or made by another version?"
    )
