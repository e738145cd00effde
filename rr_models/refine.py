"""The refine loop as a pure state machine: propose prompt and seed, observe the critiques, go on or stop.

Knows nothing of models, pictures or ComfyUI; what is kept of a round's picture is an opaque value. The judge
always sees the original request; only the generator sees `State.prompt`.

Best is: complete before incomplete, at the bar before below it, then the higher overall; equal, the earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from .aspects import BEST, WORST
from .critique import COMPLETE, Critique
from .select import rank

SEED_POLICIES = ("fixed", "new", "new on stall")
NEXT_FROM = ("best", "latest")
SEEDS = 2**64
SEED_STEP = 1_000_003
"""From one new seed to the next: odd, so that no seed comes twice, and wider than any batch, since generators
count up by one from picture to picture."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Settings:
    """When to stop, and where the next prompt and seed come from.

    `bar`: every aspect that applies must reach it (paper: 3.0). `patience`: rounds in a row without a gain
    of at least `min_gain` in the best overall before giving up; 0 never gives up.
    """

    rounds: int = 4
    bar: float = 3.0
    seed_policy: str = "fixed"
    patience: int = 2
    min_gain: float = 0.05
    next_from: str = "best"

    def __post_init__(self):
        if self.rounds < 1:
            raise ValueError(f"rounds must be 1 or more, not {self.rounds}.")
        if not WORST <= self.bar <= BEST:
            raise ValueError(f"bar must lie between {WORST} (worst) and {BEST} (best), not at {self.bar}.")
        if self.seed_policy not in SEED_POLICIES:
            raise ValueError(
                f"seed_policy must be one of {', '.join(SEED_POLICIES)}, not {self.seed_policy!r}."
            )
        if self.patience < 0 or self.min_gain < 0:
            raise ValueError(
                f"patience and min_gain must be 0 or more, not {self.patience} and {self.min_gain}; "
                "0 switches them off."
            )
        if self.next_from not in NEXT_FROM:
            raise ValueError(f"next_from must be one of {', '.join(NEXT_FROM)}, not {self.next_from!r}.")


@dataclass(frozen=True)
class Round:
    """One finished round: `chosen` is its best candidate's index, `next_prompt` what that one calls for."""

    number: int
    prompt: str
    seed: int
    critiques: tuple[Critique, ...]
    chosen: int
    next_prompt: str = ""

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
        scores = self.critique.scores_line()
        return f"Round {self.number} (seed {self.seed}{several}): {scores} | {_short(self.prompt)}"

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
        }


@dataclass(frozen=True)
class State:
    """Where the loop stands.

    `number`, `prompt` and `seed` are those of the round to be generated now, or, once `done`, of the last
    one. `best` is the best round so far and `kept` what was handed in for its chosen candidate; `stale`
    counts the rounds since the last gain.
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

    def report(self) -> str:
        """One line per round, then which was best and why the loop stopped."""
        lines = [past.line() for past in self.history]
        if self.best is not None:
            lines.append(f"Best: round {self.best.number}. {self.reason}".rstrip())
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Plain data for JSON, without what was kept."""
        return {
            "request": self.request,
            "settings": asdict(self.settings),
            "rounds": [past.to_dict() for past in self.history],
            "best": self.best.number if self.best else None,
            "done": self.done,
            "reason": self.reason,
        }

    def __repr__(self):
        best = f", best {self.best.number}" if self.best else ""
        return f"State(round {self.number}{best}{', done' if self.done else ''})"


def start(request: str, seed: int, settings: Settings | None = None) -> State:
    """The state before round 1, whose prompt is the request itself."""
    if not request.strip():
        raise ValueError("request is empty: write what the picture should show.")
    return State(request=request, settings=settings or Settings(), prompt=request, seed=seed % SEEDS)


def observe(
    state: State, critiques: Sequence[Critique], keep: Sequence[object] = (), next_prompt: str | None = None
) -> State:
    """The state after the round's critiques, one per candidate.

    `keep` holds one opaque value per candidate; that of the best candidate of the best round is kept.
    `next_prompt` replaces the critique's own refined request.
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

    chosen = rank(critiques, bar=state.settings.bar)[0]
    proposal = critiques[chosen].refined_request if next_prompt is None else next_prompt
    latest = Round(state.number, state.prompt, state.seed, tuple(critiques), chosen, proposal.strip())
    after = replace(
        state, history=(*state.history, latest), stale=0 if _gains(state, latest) else state.stale + 1
    )
    if _beats(state, latest):
        after = replace(after, best=latest, kept=keep[chosen] if keep else None)

    stop = _reason_to_stop(after, latest)
    return replace(after, done=True, reason=stop) if stop else _propose(after, latest)


def _beats(state: State, latest: Round) -> bool:
    # The earlier round stands first, and ranking keeps the order of equals.
    return state.best is None or rank((state.best.critique, latest.critique), bar=state.settings.bar)[0] == 1


def _gains(state: State, latest: Round) -> bool:
    new, old = latest.critique.overall, state.best and state.best.critique.overall
    if new is None or old is None:
        return new is not None
    return new > old and new - old >= state.settings.min_gain - _ROUNDING


def _reason_to_stop(state: State, latest: Round) -> str:
    settings, critique = state.settings, latest.critique
    if critique.status != COMPLETE:
        return _with_notes(f"The critique of round {latest.number} is {critique.status}", critique)
    if critique.reaches(settings.bar):
        return f"Every aspect stands at {settings.bar:g} or above in round {latest.number}."
    if latest.number >= settings.rounds:
        return (
            f"All {settings.rounds} rounds are used."
            if settings.rounds > 1
            else "The one round asked for is used."
        )
    if settings.patience and state.stale >= settings.patience:
        return f"No gain of {settings.min_gain:g} or more in {_rounds(state.stale)}."
    return ""


def _propose(state: State, latest: Round) -> State:
    """The next round, or the end if nothing new is left to try."""
    sources = (state.best, latest) if state.settings.next_from == "best" else (latest, state.best)
    prompts = [source.next_prompt for source in sources if source.next_prompt]
    policy = state.settings.seed_policy
    # "New on stall" also means: nothing untried is left for this seed.
    for seed in _seeds(state, policy):
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


def _seeds(state: State, policy: str) -> tuple[int, ...]:
    new = (state.seed + SEED_STEP) % SEEDS
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
