"""When is a picture good enough? Bars for every aspect, for some of them, and for the overall score.

Pure rules over critiques; knows nothing of loops, pictures or ComfyUI.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .aspects_json import numbers_by_aspect
from .critique import COMPLETE, Critique

OFF = 0.0
"""No bar for the overall score."""


@dataclass(frozen=True)
class Thresholds:
    """`every` aspect that applies must reach its bar, save where `named` has another for it (by key); and the
    overall score must reach `overall`, unless that is 0."""

    every: float = 3.0
    named: Mapping[str, float] = field(default_factory=dict)
    overall: float = OFF

    def __post_init__(self):
        for name, bar in self._by_name():
            if not math.isfinite(bar):
                raise ValueError(f"{name} must be a score, not {bar}.")

    def _by_name(self) -> list[tuple[str, float]]:
        named = [(f"bars: {key}", bar) for key, bar in self.named.items()]
        return [("bar", self.every), *named, ("overall_bar", self.overall)]

    def check(self, critique: Critique) -> None:
        """ValueError where a bar lies off the critique's scale, or is named for an aspect that is not judged:
        it could never be reached, or never be missed."""
        worst, best = critique.scale
        for name, bar in self._by_name():
            if not worst <= bar <= best and not (name == "overall_bar" and bar == OFF):
                off = " (0: no bar)" if name == "overall_bar" else ""
                raise ValueError(
                    f"{name} must lie between {worst:g} (worst) and {best:g} (best){off}, not at {bar:g}."
                )
        keys = [aspect.key for aspect in critique.aspects]
        for key in self.named:
            if key not in keys:
                raise ValueError(f"bars: {key!r} is not judged here; there are: {', '.join(keys)}.")

    def missed(self, critique: Critique) -> tuple[str, ...]:
        """What falls short, in words; nothing for a picture that is good enough."""
        self.check(critique)
        if critique.status != COMPLETE:
            return (f"the critique is {critique.status}",)
        low = [
            f"{a.name} {_exact(a.score)} (bar {bar:g})"
            for a in critique.aspects
            if a.score is not None and a.score < (bar := self.named.get(a.key, self.every))
        ]
        if self.overall != OFF and critique.overall is None:
            low.append("there is no overall score")
        elif self.overall != OFF and critique.overall < self.overall:
            low.append(f"overall {_exact(critique.overall)} (bar {self.overall:g})")
        return tuple(low)

    def reached(self, critique: Critique) -> bool:
        return not self.missed(critique)


def _exact(score: float) -> str:
    """2.8 or 2.9604: never rounded up to the bar that it misses."""
    return f"{score:.1f}" if round(score, 1) == score else f"{score:.5g}"


def read(text: str) -> dict[str, float]:
    """Bars by aspect: "text_faithfulness=3.5, physical_quality=2", with commas or line ends between."""
    return numbers_by_aspect(text.replace("，", ","), "bars", "a score, such as text_faithfulness=3.5")
