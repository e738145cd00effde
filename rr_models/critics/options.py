"""How a critic is to answer, and how far it has got: options, progress, statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..judgement.answer_format import DETAILS, FULL
from . import from_trace

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class JudgeOptions:
    """How answers are to be written; see `LocalCritic.judge`."""

    guided: bool = True
    detail: str = FULL
    score_mode: str = from_trace.WRITTEN
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0
    max_new_tokens: int = 2048
    batch_size: int = 8
    invariant: bool | None = None
    graphs: bool | None = None

    def __post_init__(self):
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be 0 (greedy) or more, not {self.temperature}.")
        for name in ("max_new_tokens", "batch_size", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if self.detail not in DETAILS:
            raise ValueError(f"detail must be one of {', '.join(DETAILS)}, not {self.detail!r}.")
        if self.score_mode not in from_trace.SCORE_MODES:
            modes = ", ".join(from_trace.SCORE_MODES)
            raise ValueError(f"score_mode must be one of {modes}, not {self.score_mode!r}.")
        if self.score_mode == from_trace.EXPECTED and not self.guided:
            raise ValueError(
                "score_mode 'expected' needs guided writing: only there it is known where a score stands. "
                "Switch guided on, or take the written scores."
            )
        if self.samples > 1 and not self.temperature:
            raise ValueError(
                f"samples is {self.samples}, but at temperature 0 every pass is the same. Set a temperature, "
                "such as 0.7, or samples to 1."
            )


@dataclass
class Stats:
    """What the last call took: forwards of the text half (a prompt counts as one), runs of the vision tower,
    tokens written, and how many of those were said and not decoded."""

    forwards: int = 0
    looks: int = 0
    tokens: int = 0
    said: int = 0


@dataclass(frozen=True)
class Progress:
    """Answers in the making: tokens that stand, how many answers there are and are done, and of the one that
    is furthest of the others the scores that stand, by aspect (one each, or A's and B's; None is N/A).
    `names` are the aspects' names by key."""

    tokens: int = 0
    answers: int = 0
    done: int = 0
    scores: Mapping[str, list[float | None]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
