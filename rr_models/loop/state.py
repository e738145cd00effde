"""The refine loop as a pure state machine: propose prompt and seed, observe the critiques, go on or stop.

Knows nothing of models, images or ComfyUI; the caller attaches one opaque payload to each image. The judge
always sees the original request; only the generator sees `State.prompt`.

A complete critique is better than an incomplete one; next, one that reaches the thresholds is better than one
that does not; next, the higher overall score counts, then the earlier round. A history is plain data, and
`replay` makes the same decisions from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..judgement.critique import COMPLETE, Critique
from ..judgement.from_data import Text, Whole, from_data
from ..judgement.ranking import rank
from .rounds import Accepted, Round, short
from .settings import LoopSettings
from .stop_reason import Stop, StopReason

SEEDS = 2**64
SEED_STEP = 1_000_003
"""Distance between new seeds: odd, so that no seed repeats, and wider than any batch, since generators count
up by one from image to image."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class State:
    """The state of a loop between two rounds.

    `number`, `prompt` and `seed` belong to the round to generate now; once `done`, to the last one. `best` is
    the best round so far and `best_payload` the payload of its chosen candidate. `rounds_without_gain` counts
    the rounds since the last gain. `accepted` holds at most `settings.target_count` images, oldest first.
    `stop` is why the loop stopped, None while it runs.
    """

    request: str
    settings: LoopSettings
    prompt: str
    seed: int
    number: int = 1
    history: tuple[Round, ...] = ()
    best: Round | None = None
    best_payload: Any = None
    rounds_without_gain: int = 0
    accepted: tuple[Accepted, ...] = ()
    stop: Stop | None = None

    @property
    def done(self) -> bool:
        return self.stop is not None

    @property
    def stop_text(self) -> str:
        """Why the loop stopped, as an English sentence; empty while it runs."""
        return str(self.stop or "")

    def report(self) -> str:
        """One line per round, the accepted images if several were wanted, the best round, why the loop
        stopped."""
        lines = [past.line() for past in self.history]
        if self.settings.target_count > 1 and self.history:
            lines += [image.line() for image in self.accepted]
            lines.append(f"{len(self.accepted)} of {self.settings.target_count} wanted images are accepted.")
        if self.best is not None:
            lines.append(f"Best: round {self.best.number}. {self.stop_text}".rstrip())
        elif self.done:
            lines.append(self.stop_text)
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Plain data for JSON, without the payloads."""
        return {
            "request": self.request,
            "settings": asdict(self.settings),
            "rounds": [past.to_dict() for past in self.history],
            "best": self.best.number if self.best else None,
            "accepted": [{"round": image.number, "candidate": image.candidate} for image in self.accepted],
            "next": {"number": self.number, "prompt": self.prompt, "seed": self.seed},
            "rounds_without_gain": self.rounds_without_gain,
            "stop": self.stop and self.stop.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: object) -> State:
        """Inverse of `to_dict`, without payloads. Takes the decisions as they are written; `replay` checks
        them. ValueError names the field that is unknown, missing or wrong."""
        form = from_data(_HistoryForm, data, "history")
        history = form.history()
        rounds = {past.number: past for past in history}
        if missing := {form.best, *(image.round for image in form.accepted)} - {None, *rounds}:
            raise ValueError(f"history: there is no round {missing.pop()}.")
        accepted = []
        for image in form.accepted:
            past = rounds[image.round]
            if not 0 <= image.candidate < len(past.critiques):
                raise ValueError(f"history: round {past.number} has no candidate {image.candidate}.")
            critique = past.critiques[image.candidate]
            accepted.append(Accepted(past.number, image.candidate, past.prompt, past.seed, critique))
        return cls(
            request=form.request,
            settings=form.settings,
            prompt=form.next.prompt,
            seed=form.next.seed,
            number=form.next.number,
            history=history,
            best=rounds[form.best] if form.best is not None else None,
            rounds_without_gain=form.rounds_without_gain,
            accepted=tuple(accepted),
            stop=Stop.from_dict(form.stop) if form.stop is not None else None,
        )

    def __repr__(self):
        best = f", best {self.best.number}" if self.best else ""
        return f"State(round {self.number}{best}{', done' if self.done else ''})"


@dataclass(frozen=True)
class _AcceptedForm:
    round: Whole
    candidate: Whole


@dataclass(frozen=True)
class _NextForm:
    number: Whole
    prompt: Text
    seed: Whole


@dataclass(frozen=True)
class _HistoryForm:
    """A state in JSON."""

    request: Text
    settings: LoopSettings
    rounds: tuple[Any, ...]
    best: Whole | None
    accepted: tuple[_AcceptedForm, ...]
    next: _NextForm
    rounds_without_gain: Whole
    stop: Any

    def history(self) -> tuple[Round, ...]:
        names = (f"history.rounds[{index}]" for index in range(len(self.rounds)))
        return tuple(Round.from_dict(past, name) for past, name in zip(self.rounds, names, strict=True))


def start(request: str, seed: int, settings: LoopSettings | None = None) -> State:
    """The state before round 1, whose prompt is the request itself."""
    if not request.strip():
        raise ValueError("request is empty: write what the image should show.")
    return State(request=request, settings=settings or LoopSettings(), prompt=request, seed=seed % SEEDS)


def observe(
    state: State,
    critiques: Sequence[Critique],
    payloads: Sequence[object] = (),
    next_prompt: str | None = None,
    seconds: float = 0.0,
    thumbnails: Sequence[object] = (),
) -> State:
    """The state after a round, from one critique per candidate.

    `payloads`: one opaque value per candidate; the state keeps those of the best image and of accepted ones.
    `next_prompt` replaces the critique's own refined request. `seconds`: the time since the loop began.
    `thumbnails`: one opaque value per candidate; every round keeps that of its best one, so they should be
    small. ValueError if the loop has ended, or where critiques, payloads and request do not fit together.
    """
    if state.done:
        raise ValueError(
            f"The loop has ended ({state.stop_text}) and takes no further round; start a new one."
        )
    if not critiques:
        raise ValueError("There is no critique: judge at least one image per round.")
    for critique in critiques:
        if critique.request != state.request:
            raise ValueError(
                f"Judge every round by the loop's request, {short(state.request)}, not by "
                f"{short(critique.request)}; in ComfyUI, connect Refine Start's request to the critique, not "
                "its prompt."
            )
    if payloads and len(payloads) != len(critiques):
        raise ValueError(
            f"Give one critique for each image, not {len(critiques)} for {len(payloads)} images."
        )

    settings = state.settings
    order = rank(critiques, thresholds=settings.thresholds)
    chosen = order[0]
    proposal = critiques[chosen].refined_request if next_prompt is None else next_prompt
    if settings.prompt_policy == "as written":
        proposal = state.request
    latest = Round(
        state.number,
        state.prompt,
        state.seed,
        tuple(critiques),
        chosen,
        proposal.strip(),
        _changed(state),
        seconds,
        thumbnails[chosen] if thumbnails else None,
    )
    accepted = [
        Accepted(state.number, i, state.prompt, state.seed, critiques[i], payloads[i] if payloads else None)
        for i in order
        if settings.thresholds.reached(critiques[i])
    ][: settings.target_count - len(state.accepted)]
    # with several wanted, one more accepted image is a gain, whatever it scores
    gain = _gains(state, latest) or (accepted and settings.target_count > 1)
    after = replace(
        state,
        history=(*state.history, latest),
        accepted=(*state.accepted, *accepted),
        rounds_without_gain=0 if gain else state.rounds_without_gain + 1,
    )
    if _beats(state, latest):
        after = replace(after, best=latest, best_payload=payloads[chosen] if payloads else None)

    stop = _stop(after, latest)
    return replace(after, stop=stop) if stop else _propose(after, latest)


def end(state: State, reason: StopReason, details: str = "") -> State:
    """The state with the loop ended by the caller: `reason` is STOPPED or ROUND_FAILED.

    The best image and all accepted ones stay. `number`, `prompt` and `seed` are then those of the unfinished
    round.
    """
    if state.done:
        raise ValueError(f"The loop has ended already: {state.stop_text}")
    if not reason.is_external:
        raise ValueError(f"end: {reason} is for the loop itself to decide; use STOPPED or ROUND_FAILED.")
    return replace(state, stop=Stop(reason, {"round": state.number}, details))


def _changed(state: State) -> str:
    """Which of prompt and seed differ from the round before."""
    if not state.history:
        return ""
    before = state.history[-1]
    names = [name for name in ("prompt", "seed") if getattr(state, name) != getattr(before, name)]
    return " and ".join(names)


def _beats(state: State, latest: Round) -> bool:
    if state.best is None:
        return True
    # The earlier round comes first, and ranking keeps the order of equals.
    return rank((state.best.critique, latest.critique), thresholds=state.settings.thresholds)[0] == 1


def _gains(state: State, latest: Round) -> bool:
    new, old = latest.critique.overall, state.best and state.best.critique.overall
    if new is None or old is None:
        return new is not None
    return new > old and new - old >= state.settings.min_gain - _ROUNDING


def _stop(state: State, latest: Round) -> Stop | None:
    """Why the loop stops after its latest round; None if it goes on."""
    settings, critique = state.settings, latest.critique
    if critique.status != COMPLETE:
        failed = sum(past.critique.status != COMPLETE for past in state.history)
        if failed > settings.max_failed_rounds:
            parameters = {"round": latest.number, "status": critique.status}
            return Stop(StopReason.CRITIQUE_FAILED, parameters, " ".join(critique.notes))
    if len(state.accepted) >= settings.target_count:
        if settings.target_count > 1:
            return Stop(StopReason.TARGET_COUNT_REACHED, {"target_count": settings.target_count})
        parameters = {"round": latest.number, "thresholds": str(settings.thresholds)}
        return Stop(StopReason.THRESHOLDS_REACHED, parameters)
    if latest.number >= settings.rounds:
        return Stop(StopReason.ROUNDS_USED, {"rounds": settings.rounds})
    if settings.time_limit_seconds:
        ends = [0.0, *(past.seconds for past in state.history)]
        quickest = min(end - begin for begin, end in zip(ends, ends[1:], strict=False))
        if latest.seconds + quickest > settings.time_limit_seconds:
            parameters = {
                "seconds": f"{latest.seconds:.0f}",
                "time_limit_seconds": f"{settings.time_limit_seconds:g}",
                "quickest_round": f"{quickest:.0f}",
            }
            return Stop(StopReason.TIME_LIMIT, parameters)
    if settings.patience and state.rounds_without_gain >= settings.patience:
        parameters = {"min_gain": f"{settings.min_gain:g}", "rounds": state.rounds_without_gain}
        return Stop(StopReason.NO_GAIN, parameters)
    return None


def _propose(state: State, latest: Round) -> State:
    """The state with the next round's prompt and seed, or stopped if nothing new is left to try."""
    settings = state.settings
    sources = (state.best, latest) if settings.refine_from == "best" else (latest, state.best)
    prompts = [source.next_prompt for source in sources if source and source.next_prompt]
    # "New on stall" also means: nothing untried is left for this seed.
    for seed in _seeds(state):
        tried = {(past.prompt, past.seed) for past in state.history}
        # With a new seed the same prompt makes a new image, so it serves where the critic proposes none.
        for prompt in prompts or ([state.prompt] if seed != state.seed else []):
            if (prompt, seed) not in tried:
                return replace(state, number=state.number + 1, prompt=prompt, seed=seed)
    if prompts:
        return replace(state, stop=Stop(StopReason.SAME_IMAGE))
    notes = " ".join(latest.critique.notes)
    return replace(state, stop=Stop(StopReason.NO_NEW_PROMPT, {"round": latest.number}, notes))


def _seeds(state: State) -> tuple[int, ...]:
    policy, new = state.settings.seed_policy, (state.seed + SEED_STEP) % SEEDS
    if policy == "fixed":
        return (state.seed,)
    if policy == "new" or state.rounds_without_gain:
        return (new,)
    return (state.seed, new)
