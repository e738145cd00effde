"""What a refine loop may spend and what it is after: rounds, time, bars, seeds, prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..judgement.thresholds import OFF, Thresholds

SEED_POLICIES = ("fixed", "new", "new on stall")
NEXT_FROM = ("best", "latest")
PROMPT_POLICIES = ("refined", "as written")


@dataclass(frozen=True)
class Settings:
    """When to stop, and where the next prompt and seed come from.

    `bar`: every aspect that applies must reach it (paper: 3.0), save those that `bars` names (by key), and
    the overall score must reach `overall_bar` (0: no bar). `patience`: rounds in a row without a gain of at
    least `min_gain` in the best overall before giving up; 0 never gives up. `want`: how many pictures must
    reach the bars. `prompt_policy` "as written" keeps the request as the prompt of every round. `max_seconds`
    (0: no limit): no round begins that would, were it as quick as the quickest so far, end later.
    `failures`: how many rounds whose pictures could not be judged are passed over.
    """

    rounds: int = 4
    bar: float = 3.0
    seed_policy: str = "new on stall"
    patience: int = 3
    min_gain: float = 0.05
    next_from: str = "best"
    bars: Mapping[str, float] = field(default_factory=dict)
    overall_bar: float = OFF
    want: int = 1
    prompt_policy: str = "refined"
    max_seconds: float = 0.0
    failures: int = 0

    def __post_init__(self):
        for name in ("rounds", "want"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        for name in ("patience", "min_gain", "max_seconds", "failures"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}; 0 switches it off.")
        for name, choices in (
            ("seed_policy", SEED_POLICIES),
            ("next_from", NEXT_FROM),
            ("prompt_policy", PROMPT_POLICIES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}.")
        if self.prompt_policy == "as written" and self.seed_policy == "fixed" and self.rounds > 1:
            raise ValueError(
                "prompt_policy 'as written' with seed_policy 'fixed' would draw one picture again and again: "
                "set seed_policy to 'new'."
            )
        Thresholds(self.bar, self.bars, self.overall_bar)

    @property
    def goal(self) -> Thresholds:
        """What a picture must reach to be accepted."""
        return Thresholds(self.bar, self.bars, self.overall_bar)
