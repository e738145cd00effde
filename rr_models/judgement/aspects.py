"""What images are judged on: aspects, and profiles that hold the aspects and the scale of a critic family.

A profile is all that the prompt (rubric.py) and the parser (parse.py) need to know about a family, so another
family, or a custom aspect, is data. Knows nothing of prompts or models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .task import Task

_SINGLE = (Task.T2I, Task.EDIT)

WORST, BEST = 1.0, 4.0
"""The scale of RationalRewards (paper, section 3)."""


@dataclass(frozen=True)
class Aspect:
    """One thing an image is judged on.

    `levels` describe the scores from the worst to the best, evenly spaced on the scale: four levels on the
    scale 1-4 describe 1, 2, 3 and 4. An `optional` aspect may be answered N/A. `aliases` are other names that
    critics use for it.
    """

    key: str
    name: str
    question: str
    levels: tuple[str, ...]
    optional: bool = False
    aliases: tuple[str, ...] = ()


TEXT_FAITHFULNESS = Aspect(
    "text_faithfulness",
    "Text Faithfulness",
    "does the result show what the request says?",
    (
        "it shows something else.",
        "important parts are missing or wrong.",
        "the main things are right, a detail is not.",
        "everything asked for is there and right.",
    ),
    aliases=("文本忠实度", "文本一致性"),
)
IMAGE_FAITHFULNESS = Aspect(
    "image_faithfulness",
    "Image Faithfulness",
    "is everything that the edit should not touch still as it was in the source?",
    (
        "the source can hardly be recognised.",
        "important parts were changed or lost.",
        "a detail was changed without need.",
        "all that should stay has stayed.",
    ),
    aliases=("图像忠实度", "图像一致性"),
)
PHYSICAL_QUALITY = Aspect(
    "physical_quality",
    "Physical and Visual Quality",
    "is it well made: light, geometry, anatomy, clean and sharp, nothing broken?",
    (
        "broken throughout.",
        "faults that catch the eye at once.",
        "small faults on a closer look.",
        "no fault to be found.",
    ),
    aliases=("物理与视觉质量", "物理和视觉质量"),
)
TEXT_RENDERING = Aspect(
    "text_rendering",
    "Text Rendering",
    "is the writing that the request asks for there, spelled right and legible? N/A if it asks for none.",
    (
        "missing or unreadable.",
        "wrong words or broken letters.",
        "readable with a small flaw.",
        "exactly as asked.",
    ),
    optional=True,
    aliases=("文字渲染", "文本渲染"),
)


def _check(aspects: Sequence[Aspect], where: str) -> None:
    if not any(not a.optional for a in aspects):
        raise ValueError(
            f"{where}: at least one aspect must always apply, or there may be nothing to score. "
            "Add an aspect that is not optional."
        )
    for aspect in aspects:
        if len(aspect.levels) < 2:
            raise ValueError(f"{aspect.name}: levels must describe at least the worst and the best score.")
        if not re.match(r"[^\W\d_]", aspect.name) or not re.fullmatch(r"[\w &'-]{1,60}", aspect.name):
            raise ValueError(
                f"{aspect.name!r} cannot be used as a heading. A name is 1 to 60 letters, digits, spaces, "
                "&, ' or -, and begins with a letter."
            )
    names = [name.lower() for a in aspects for name in (a.name, *a.aliases)]
    if duplicates := _duplicates(names) or _duplicates([aspect.key for aspect in aspects]):
        raise ValueError(f"{where}: there are two aspects named {duplicates[0]!r}. Rename one.")


def _duplicates(values: Sequence[str]) -> list[str]:
    return sorted(value for value, count in Counter(values).items() if count > 1)


@dataclass(frozen=True)
class Profile:
    """The aspects of each task, in the order in which the critic judges them, and the scale of the scores."""

    name: str
    t2i: tuple[Aspect, ...]
    edit: tuple[Aspect, ...]
    worst: float = WORST
    best: float = BEST

    def __post_init__(self):
        if not -math.inf < self.worst < self.best < math.inf:
            raise ValueError(f"{self.name}: worst ({self.worst:g}) must lie below best ({self.best:g}).")
        for task in _SINGLE:
            _check(self.aspects(task), f"{self.name}, {task}")

    def aspects(self, task: str) -> tuple[Aspect, ...]:
        """The aspects of a task; those of a pair are the same as those of one image."""
        return self.edit if Task.parse(task).has_source else self.t2i

    @property
    def scale(self) -> tuple[float, float]:
        return self.worst, self.best

    def changed(self, add: Sequence[Aspect] = (), drop: Sequence[str] = ()) -> Profile:
        """This profile without the aspects in `drop` (keys), and with `add` at the end of every task."""
        keys = {a.key for task in _SINGLE for a in self.aspects(task)}
        if unknown := sorted(set(drop) - keys):
            raise ValueError(
                f"drop: {unknown[0]!r} is no aspect of {self.name}. It has: {', '.join(sorted(keys))}."
            )
        if not add and not drop:
            return self
        t2i, edit = ((*(a for a in self.aspects(task) if a.key not in drop), *add) for task in _SINGLE)
        return replace(self, name=f"{self.name}, changed", t2i=t2i, edit=edit)


RATIONAL_REWARDS = Profile(
    "rational-rewards",
    t2i=(TEXT_FAITHFULNESS, PHYSICAL_QUALITY, TEXT_RENDERING),
    edit=(TEXT_FAITHFULNESS, IMAGE_FAITHFULNESS, PHYSICAL_QUALITY, TEXT_RENDERING),
)
"""Paper, section 3: four aspects, 1-4; Image Faithfulness is for edits only."""

_SEMANTICS = Aspect(
    "semantic_consistency",
    "Semantic Consistency",
    "does the result do what the request asks, no less and no more?",
    ("not at all.", "in part.", "entirely."),
)
_PERCEPTION = Aspect(
    "perceptual_quality",
    "Perceptual Quality",
    "does it look natural and free of artefacts?",
    ("it does not.", "with visible faults.", "entirely."),
)
VIESCORE = Profile("viescore", (_SEMANTICS, _PERCEPTION), (_SEMANTICS, _PERCEPTION), 0.0, 10.0)
"""Two aspects, 0-10, as VIEScore (arXiv 2312.14867) has them, for general vision language models."""

PROFILES = {profile.name: profile for profile in (RATIONAL_REWARDS, VIESCORE)}
