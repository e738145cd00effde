"""When is an image good enough? Thresholds for every aspect, for single aspects, and for the overall score.

Pure rules over critiques; knows nothing of loops, images or ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .critique import COMPLETE, Critique

OFF = 0.0
"""No minimum for the overall score."""


@dataclass(frozen=True)
class Thresholds:
    """Every applicable aspect must reach `threshold`, or its own threshold in `aspect_thresholds` (by key);
    the overall score must reach `min_overall` unless that is 0.

    ValueError for a threshold that is not a finite number.
    """

    threshold: float = 3.0
    aspect_thresholds: Mapping[str, float] = field(default_factory=dict)
    min_overall: float = OFF

    def __post_init__(self):
        for name, value in self._by_name():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a score, not {value}.")

    def _by_name(self) -> list[tuple[str, float]]:
        of_aspects = [(f"aspect_thresholds: {key}", value) for key, value in self.aspect_thresholds.items()]
        return [("threshold", self.threshold), *of_aspects, ("min_overall", self.min_overall)]

    def __str__(self) -> str:
        """In short and free of language: "3, text_faithfulness=2.5, overall=3.2"."""
        of_aspects = (f", {key}={value:g}" for key, value in self.aspect_thresholds.items())
        overall = f", overall={self.min_overall:g}" if self.min_overall != OFF else ""
        return f"{self.threshold:g}{''.join(of_aspects)}{overall}"

    def of(self, key: str) -> float:
        """The threshold of the aspect with this key."""
        return self.aspect_thresholds.get(key, self.threshold)

    def check(self, critique: Critique) -> None:
        """ValueError for a threshold off the critique's scale, which every image or none would reach, and for
        one of an aspect that is not judged."""
        worst, best = critique.scale
        for name, value in self._by_name():
            if not worst <= value <= best and not (name == "min_overall" and value == OFF):
                off = ", or be 0 for no minimum" if name == "min_overall" else ""
                raise ValueError(
                    f"{name} must lie between {worst:g} (worst) and {best:g} (best){off}; it is {value:g}."
                )
        keys = [aspect.key for aspect in critique.aspects]
        for key in self.aspect_thresholds:
            if key not in keys:
                raise ValueError(
                    f"aspect_thresholds: {key!r} is not judged here; the aspects are {', '.join(keys)}."
                )

    def low_aspects(self, critique: Critique) -> tuple[str, ...]:
        """Names of the scored aspects below their threshold."""
        return tuple(a.name for a in critique.aspects if a.score is not None and a.score < self.of(a.key))

    def missed(self, critique: Critique) -> tuple[str, ...]:
        """What falls short, in words; empty for an image that is good enough. ValueError as for `check`."""
        self.check(critique)
        if critique.status != COMPLETE:
            return (f"the critique is {critique.status}",)
        low = [
            f"{a.name} {_exact(a.score)} (threshold {self.of(a.key):g})"
            for a in critique.aspects
            if a.score is not None and a.score < self.of(a.key)
        ]
        overall = critique.overall
        if self.min_overall != OFF and overall is None:
            low.append("there is no overall score")
        elif self.min_overall != OFF and overall is not None and overall < self.min_overall:
            low.append(f"overall {_exact(overall)} (minimum {self.min_overall:g})")
        return tuple(low)

    def reached(self, critique: Critique) -> bool:
        return not self.missed(critique)


def _exact(score: float) -> str:
    """2.8 or 2.9604: never rounded up to the threshold that it misses."""
    return f"{score:.1f}" if round(score, 1) == score else f"{score:.5g}"
