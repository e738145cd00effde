"""What a critic is asked, and what it must offer to be one: `Image`, `Question`, `Critic`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..judgement.aspects import Profile
from ..judgement.critique import Critique
from ..judgement.task import Task
from ..judgement.verdict import Verdict
from .options import JudgeOptions

if TYPE_CHECKING:
    import torch

ProgressCallback = Callable[[int, int], None]
"""Called with (done, total), in tokens. An exception it raises ends the work and reaches the caller."""


@dataclass(frozen=True, eq=False)
class Image:
    """One image: `pixels` [H, W, 3], floats from 0 to 1, of any size."""

    pixels: torch.Tensor

    @classmethod
    def of(cls, image: Image | torch.Tensor) -> Image:
        return image if isinstance(image, Image) else cls(image)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the image's size and bytes, as `images.image_hash` computes it. ValueError for a tensor
        that is not an image."""
        from ..images import image_hash  # imports torch, which takes seconds

        return image_hash(self.pixels)


@dataclass(frozen=True, eq=False)
class Question:
    """What to judge against a request: one image, or for a pair task two, A and B.

    An edit brings its sources: the image before the edit, or all images that went into it. Tensors are
    wrapped as `Image`.
    """

    task: Task
    request: str
    images: tuple[Image, ...]
    sources: tuple[Image, ...] = ()

    def __post_init__(self):
        task = Task.parse(self.task)
        object.__setattr__(self, "task", task)
        if not self.request.strip():
            raise ValueError("request is empty. Write what the image should show, so that it can be judged.")
        expected = 2 if task.is_pair else 1
        if not isinstance(self.images, (tuple, list)) or len(self.images) != expected:
            raise ValueError(f"images must be a tuple of {expected} when task is '{task}'.")
        if task.has_source and not self.sources:
            raise ValueError(f"sources is empty: when task is '{task}', it holds the image before the edit.")
        if self.sources and not task.has_source:
            raise ValueError(
                f"sources must be empty when task is '{task}'. To judge an edit, set task to 'edit'."
            )
        object.__setattr__(self, "images", tuple(map(Image.of, self.images)))
        object.__setattr__(self, "sources", tuple(map(Image.of, self.sources)))

    @property
    def all_images(self) -> tuple[Image, ...]:
        """All images in the order in which the critic sees them."""
        return (*self.sources, *self.images)

    def __repr__(self):
        return f"Question({self.task}: {self.request[:40]!r}, {len(self.all_images)} image(s))"


@dataclass(frozen=True)
class Progress:
    """A snapshot of answers that are being written.

    `tokens` have been written, `finished` of `answers` are done. `scores` are those that stand so far in the
    longest unfinished answer, by aspect key (one each, or A's and B's; None is N/A); `names` are the aspects'
    names by key.
    """

    tokens: int = 0
    answers: int = 0
    finished: int = 0
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


class Critic(Protocol):
    """Anything that judges. Everything else - caching, pairs, best of N, tournaments, loops, nodes - is
    written once over `judge` (see judging.py).

    A critic may also offer:

    * `tasks`: the tasks it can judge; all if it does not say.
    * what `Identified`, `ReportsProgress`, `Resumes` and `Held` describe.
    """

    @property
    def name(self) -> str:
        """The name that judgements record."""
        ...

    @property
    def profile(self) -> Profile:
        """What the critic judges, and on which scale."""
        ...

    def judge(
        self,
        questions: Sequence[Question],
        options: JudgeOptions = ...,
        on_progress: ProgressCallback | None = None,
    ) -> list[Critique | Verdict]:
        """One critique, or for a pair task one verdict, for each question, in their order. CriticError if the
        critic cannot judge; ValueError for a task or option it does not know."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A critic whose answers may be cached."""

    def identity(self, task: Task) -> str:
        """Names everything, besides the question and the options, that the answers depend on: model,
        precision, device, prompt. "" if answers must not be cached."""
        ...


@runtime_checkable
class ReportsProgress(Protocol):
    """A critic that can say how far its current call is."""

    def progress(self) -> Progress:
        """To be called from a progress callback."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """A critic that continues an answer instead of writing it again."""

    def resume(
        self, question: Question, options: JudgeOptions, on_progress: ProgressCallback | None = None
    ) -> Critique:
        """The full critique of a question that this critic has just scored (detail "scores")."""
        ...


@runtime_checkable
class Held(Protocol):
    """A critic that does better if it knows which calls of `judge` belong together."""

    def hold(self) -> AbstractContextManager:
        """A context manager around these calls."""
        ...
