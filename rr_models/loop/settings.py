"""Settings of a refine loop: budgets, thresholds, and where the next prompt and seed come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..judgement.from_data import Number, Text, Whole
from ..judgement.thresholds import OFF, Thresholds

SEED_POLICIES = ("fixed", "new", "new on stall")
REFINE_FROM = ("best", "latest")
PROMPT_POLICIES = ("refined", "as written")
PRESETS: Mapping[str, Mapping[str, object]] = {
    "balanced": {},
    "fast": {"patience": 1, "min_gain": 0.1},
    "careful": {"patience": 0},
    "collect": {"patience": 0, "seed_policy": "new", "prompt_policy": "as written"},
}
"""Fields of LoopSettings for common aims: a few rounds with the defaults; stop at the first round without
gain; use all rounds; draw new seeds until `target_count` images are good enough."""


@dataclass(frozen=True)
class LoopSettings:
    """When a loop stops, and where the next prompt and seed come from.

    An image is accepted when every applicable aspect reaches `threshold` (paper: 3.0), or its own threshold
    in `aspect_thresholds` (by key), and the overall score reaches `min_overall` (0: no minimum).

    `rounds`: the most rounds, at least 1. `target_count`: how many accepted images end the loop, at least 1.
    `patience`: end after this many rounds in a row that raise the best overall score by less than `min_gain`
    (0: never). `time_limit_seconds` (0: no limit): start no round that would end later even if it took only
    as long as the quickest round so far. `max_failed_rounds`: how many rounds without a complete critique the
    loop survives.

    `seed_policy` "new on stall" changes the seed after a round without gain, or when no untried prompt is
    left. `refine_from`: which round's proposed prompt is tried next. `prompt_policy` "as written" uses the
    request itself as the prompt of every round.

    ValueError for a value out of range.
    """

    rounds: Whole = 4
    threshold: Number = 3.0
    seed_policy: Text = "new on stall"
    patience: Whole = 3
    min_gain: Number = 0.05
    refine_from: Text = "best"
    aspect_thresholds: Mapping[Text, Number] = field(default_factory=dict)
    min_overall: Number = OFF
    target_count: Whole = 1
    prompt_policy: Text = "refined"
    time_limit_seconds: Number = 0.0
    max_failed_rounds: Whole = 0

    def __post_init__(self):
        for name in ("rounds", "target_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        for name in ("patience", "min_gain", "time_limit_seconds", "max_failed_rounds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}; 0 switches it off.")
        for name, choices in (
            ("seed_policy", SEED_POLICIES),
            ("refine_from", REFINE_FROM),
            ("prompt_policy", PROMPT_POLICIES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}.")
        if self.prompt_policy == "as written" and self.seed_policy == "fixed" and self.rounds > 1:
            raise ValueError(
                "prompt_policy 'as written' with seed_policy 'fixed' would make the same image in every "
                "round: set seed_policy to 'new'."
            )
        Thresholds(self.threshold, self.aspect_thresholds, self.min_overall)

    @property
    def thresholds(self) -> Thresholds:
        """What an image must reach to be accepted."""
        return Thresholds(self.threshold, self.aspect_thresholds, self.min_overall)
