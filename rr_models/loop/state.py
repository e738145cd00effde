"""The refine loop as a pure state machine: propose prompt and seed, observe the critiques, go on or stop.

Knows nothing of models, pictures or ComfyUI; what is kept of a round's picture is an opaque value. The judge
always sees the original request; only the generator sees `State.prompt`.

Best is: complete before incomplete, at the bars before below them, then the higher overall; equal, the
earlier. A history is plain data, and `replay` comes to the same decisions from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from ..judgement.critique import COMPLETE, Critique, known
from ..judgement.ranking import rank
from .settings import Settings

SEEDS = 2**64
SEED_STEP = 1_000_003
"""From one new seed to the next: odd, so that no seed comes twice, and wider than any batch, since generators
count up by one from picture to picture."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Round:
    """One finished round: `chosen` is its best candidate's index, `next_prompt` what that one calls for,
    `changed` what is new against the round before, `seconds` the time since the loop began when it ended.
    `thumbnail` is what was handed in to remember its best picture by; it is not written to JSON.
    """

    number: int
    prompt: str
    seed: int
    critiques: tuple[Critique, ...]
    chosen: int
    next_prompt: str = ""
    changed: str = ""
    seconds: float = 0.0
    thumbnail: object = field(default=None, compare=False, repr=False)

    @property
    def critique(self) -> Critique:
        return self.critiques[self.chosen]

    def line(self) -> str:
        """The round in one line."""
        several, count = "", len(self.critiques)
        if count > 1:
            several = f", candidate {self.chosen + 1} of {count}"
            if failed := sum(critique.status != COMPLETE for critique in self.critiques):
                several += f"; {failed} of {count} could not be judged"
        new = f"; new {self.changed}" if self.changed else ""
        scores = self.critique.scores_line()
        return f"Round {self.number} (seed {self.seed}{new}{several}): {scores} | {_short(self.prompt)}"

    def to_dict(self) -> dict:
        return {
            "number": self.number,
            "prompt": self.prompt,
            "seed": self.seed,
            "status": self.critique.status,
            "overall": self.critique.overall,
            "scores": {a.name: a.score for a in self.critique.aspects},
            "chosen": self.chosen,
            "candidates": [c.overall for c in self.critiques],
            "next_prompt": self.next_prompt,
            "critique": self.critique.to_dict(),
            "others": [c.to_dict() for i, c in enumerate(self.critiques) if i != self.chosen],
            "changed": self.changed,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, data: dict) -> Round:
        """Inverse of `to_dict`; what is worked out is worked out anew."""
        critiques = [Critique.from_dict(one) for one in data["others"]]
        critiques.insert(data["chosen"], Critique.from_dict(data["critique"]))
        return cls(**known(cls, data), critiques=tuple(critiques))


@dataclass(frozen=True)
class Accepted:
    """A picture at the bars: where it came from, and what was handed in for it."""

    number: int
    candidate: int
    prompt: str
    seed: int
    critique: Critique
    kept: object = None

    def line(self) -> str:
        return f"Accepted: round {self.number}, candidate {self.candidate + 1} (seed {self.seed})"


@dataclass(frozen=True)
class State:
    """Where the loop stands.

    `number`, `prompt` and `seed` are those of the round to be generated now, or, once `done`, of the last
    one. `best` is the best round so far and `kept` what was handed in for its chosen candidate; `stale`
    counts the rounds since the last gain. `accepted` holds at most `settings.want` pictures, in the order in
    which they came. `ended` says why it was ended from outside, see `end`.
    """

    request: str
    settings: Settings
    prompt: str
    seed: int
    number: int = 1
    history: tuple[Round, ...] = ()
    best: Round | None = None
    kept: object = None
    stale: int = 0
    done: bool = False
    reason: str = ""
    accepted: tuple[Accepted, ...] = ()
    ended: str = ""

    def report(self) -> str:
        """One line per round, then what was accepted if several were wanted, the best, and why it stopped."""
        lines = [past.line() for past in self.history]
        if self.settings.want > 1 and self.history:
            lines += [one.line() for one in self.accepted]
            lines.append(f"{len(self.accepted)} of {self.settings.want} wanted pictures are accepted.")
        if self.best is not None:
            lines.append(f"Best: round {self.best.number}. {self.reason}".rstrip())
        elif self.reason:
            lines.append(self.reason)
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Plain data for JSON, without what was kept."""
        return {
            "request": self.request,
            "settings": asdict(self.settings),
            "rounds": [past.to_dict() for past in self.history],
            "best": self.best.number if self.best else None,
            "accepted": [{"round": one.number, "candidate": one.candidate} for one in self.accepted],
            "next": {"number": self.number, "prompt": self.prompt, "seed": self.seed},
            "stale": self.stale,
            "done": self.done,
            "reason": self.reason,
            "ended": self.ended,
        }

    @classmethod
    def from_dict(cls, data: dict) -> State:
        """Inverse of `to_dict`, which is believed (`replay` checks it); without what was kept."""
        rounds = {past["number"]: Round.from_dict(past) for past in data["rounds"]}
        accepted = []
        for told in data.get("accepted", ()):
            past, candidate = rounds[told["round"]], told["candidate"]
            critique = past.critiques[candidate]
            accepted.append(Accepted(past.number, candidate, past.prompt, past.seed, critique))
        return cls(
            **known(cls, data)
            | known(cls, data["next"])
            | {
                "settings": Settings(**known(Settings, data["settings"])),
                "history": tuple(rounds.values()),
                "best": rounds.get(data["best"]),
                "accepted": tuple(accepted),
            }
        )

    def __repr__(self):
        best = f", best {self.best.number}" if self.best else ""
        return f"State(round {self.number}{best}{', done' if self.done else ''})"


def start(request: str, seed: int, settings: Settings | None = None) -> State:
    """The state before round 1, whose prompt is the request itself."""
    if not request.strip():
        raise ValueError("request is empty: write what the picture should show.")
    return State(request=request, settings=settings or Settings(), prompt=request, seed=seed % SEEDS)


def observe(
    state: State,
    critiques: Sequence[Critique],
    keep: Sequence[object] = (),
    next_prompt: str | None = None,
    seconds: float = 0.0,
    thumbnails: Sequence[object] = (),
) -> State:
    """The state after the round's critiques, one per candidate.

    `keep` holds one opaque value per candidate; those of the best candidate of the best round and of the
    accepted ones are kept. `next_prompt` replaces the critique's own refined request. `seconds` is the time
    since the loop began. `thumbnails` holds one small opaque value per candidate; the best one's stays with
    the round, so let it be small.
    """
    if state.done:
        raise ValueError(f"The loop has ended ({state.reason}) and takes no further round; start a new one.")
    if not critiques:
        raise ValueError(f"Round {state.number}: there is no critique; judge at least one picture per round.")
    for critique in critiques:
        if critique.request != state.request:
            raise ValueError(
                f"Round {state.number}: the critique judges by {_short(critique.request)}, but the loop's "
                f"request is {_short(state.request)}; connect the critic to the request of the loop's "
                "start, not to the round's prompt."
            )
    if keep and len(keep) != len(critiques):
        raise ValueError(
            f"Round {state.number}: {len(keep)} pictures but {len(critiques)} critiques; hand in one "
            "critique each."
        )

    settings = state.settings
    order = rank(critiques, bar=settings.goal)
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
    fresh = [
        Accepted(state.number, i, state.prompt, state.seed, critiques[i], keep[i] if keep else None)
        for i in order
        if settings.goal.reached(critiques[i])
    ][: settings.want - len(state.accepted)]
    after = replace(
        state,
        history=(*state.history, latest),
        accepted=(*state.accepted, *fresh),
        # one more picture of those wanted is a gain, whatever it scores
        stale=0 if _gains(state, latest) or (fresh and settings.want > 1) else state.stale + 1,
    )
    if _beats(state, latest):
        after = replace(after, best=latest, kept=keep[chosen] if keep else None)

    stop = _reason_to_stop(after, latest)
    return replace(after, done=True, reason=stop) if stop else _propose(after, latest)


def end(state: State, why: str) -> State:
    """The state with the loop ended from outside, such as by Stop or a generator that failed; what was gained
    stays. `number`, `prompt` and `seed` are then those of the round that was not finished."""
    if state.done:
        raise ValueError(f"The loop has ended already: {state.reason}")
    return replace(state, done=True, reason=why, ended=why)


def replay(data: dict) -> State:
    """The state that a history came from (`State.to_dict`, read back from JSON), without what was kept.

    Every decision is made anew; ValueError where it is not the one that the history tells of.
    """
    settings = Settings(**known(Settings, data["settings"]))
    rounds = data["rounds"]
    state = start(data["request"], (rounds[0] if rounds else data["next"])["seed"], settings)
    for told in rounds:
        _agree(state, told, f"round {told['number']}")
        past = Round.from_dict(told)
        # the round's own proposal may have come from elsewhere, such as Revise Prompt
        state = observe(state, past.critiques, (), past.next_prompt, past.seconds)
    if why := data.get("ended"):
        state = end(state, why)
    _agree(state, data["next"], "what comes next")
    _agree(state, {"done": data["done"], "reason": data["reason"]}, "the end")
    return state


def _agree(state: State, told: dict, where: str) -> None:
    for name in ("number", "prompt", "seed", "done", "reason"):
        if name in told and told[name] != getattr(state, name):
            raise ValueError(
                f"The history does not replay: {where} has {name} {told[name]!r}, but by its settings and "
                f"critiques it would be {getattr(state, name)!r}. Was it edited, or made by another version?"
            )


def _changed(state: State) -> str:
    """Which of prompt and seed the round has new."""
    if not state.history:
        return ""
    before = state.history[-1]
    names = [name for name in ("prompt", "seed") if getattr(state, name) != getattr(before, name)]
    return " and ".join(names)


def _beats(state: State, latest: Round) -> bool:
    # The earlier round stands first, and ranking keeps the order of equals.
    return state.best is None or rank((state.best.critique, latest.critique), bar=state.settings.goal)[0] == 1


def _gains(state: State, latest: Round) -> bool:
    new, old = latest.critique.overall, state.best and state.best.critique.overall
    if new is None or old is None:
        return new is not None
    return new > old and new - old >= state.settings.min_gain - _ROUNDING


def _reason_to_stop(state: State, latest: Round) -> str:
    settings, critique = state.settings, latest.critique
    if critique.status != COMPLETE:
        failed = sum(past.critique.status != COMPLETE for past in state.history)
        if failed > settings.failures:
            return _with_notes(f"The critique of round {latest.number} is {critique.status}", critique)
    if len(state.accepted) >= settings.want:
        return _reached(settings, latest)
    if latest.number >= settings.rounds:
        return (
            f"All {settings.rounds} rounds are used."
            if settings.rounds > 1
            else "The one round asked for is used."
        )
    if settings.max_seconds:
        ends = [0.0, *(past.seconds for past in state.history)]
        quickest = min(end - begin for begin, end in zip(ends, ends[1:], strict=False))
        if latest.seconds + quickest > settings.max_seconds:
            return (
                f"{latest.seconds:.0f} of {settings.max_seconds:g} seconds are used, and another round takes "
                f"at least {quickest:.0f}."
            )
    if settings.patience and state.stale >= settings.patience:
        return f"No gain of {settings.min_gain:g} or more in {_rounds(state.stale)}."
    return ""


def _reached(settings: Settings, latest: Round) -> str:
    if settings.want > 1:
        return f"All {settings.want} wanted pictures are accepted."
    named = [f", {key} at {bar:g}" for key, bar in settings.bars.items()]
    overall = f", overall at {settings.overall_bar:g}" if settings.overall_bar else ""
    others = "".join([*named, overall])
    return f"Every aspect stands at {settings.bar:g} or above{others} in round {latest.number}."


def _propose(state: State, latest: Round) -> State:
    """The next round, or the end if nothing new is left to try."""
    settings = state.settings
    sources = (state.best, latest) if settings.next_from == "best" else (latest, state.best)
    prompts = [source.next_prompt for source in sources if source.next_prompt]
    # "New on stall" also means: nothing untried is left for this seed.
    for seed in _seeds(state):
        tried = {(past.prompt, past.seed) for past in state.history}
        # With a new seed the same prompt makes a new picture, so it will do where the critic proposes none.
        for prompt in prompts or ([state.prompt] if seed != state.seed else []):
            if (prompt, seed) not in tried:
                return replace(state, number=state.number + 1, prompt=prompt, seed=seed)
    if not prompts:
        reason = _with_notes(f"The critic gave no refined request in round {latest.number}", latest.critique)
        return replace(state, done=True, reason=reason)
    return replace(
        state,
        done=True,
        reason="The refined request was tried before with this seed and would make the same picture again.",
    )


def _seeds(state: State) -> tuple[int, ...]:
    policy, new = state.settings.seed_policy, (state.seed + SEED_STEP) % SEEDS
    if policy == "fixed":
        return (state.seed,)
    if policy == "new" or state.stale:
        return (new,)
    return (state.seed, new)


def _with_notes(reason: str, critique: Critique) -> str:
    return f"{reason}: {' '.join(critique.notes)}".rstrip(" .:") + "."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= 200 else f'"{line[:199]}…"'


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds in a row"
