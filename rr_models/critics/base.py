"""What a critic is asked: one `Question` per image, or per pair of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..judgement.task import Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Question:
    """What to judge against a request: one picture, or for a pair task two, A and B.

    Pictures are [H, W, C] with floats 0..1, of any size. An edit brings its sources: the picture before the
    change, or all that went into it.
    """

    task: Task
    request: str
    images: tuple[torch.Tensor, ...]
    sources: tuple[torch.Tensor, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "task", Task.parse(self.task))
        if not self.request.strip():
            raise ValueError(
                "request is empty. Write what the picture should show, so that it can be judged."
            )
        wanted = 2 if self.task.is_pair else 1
        if not isinstance(self.images, (tuple, list)) or len(self.images) != wanted:
            raise ValueError(f"images must be a tuple of {wanted} when task is '{self.task}'.")
        if self.task.has_source and not self.sources:
            raise ValueError(
                f"sources is empty: when task is '{self.task}', it holds the picture before the edit."
            )
        if self.sources and not self.task.has_source:
            raise ValueError(
                f"sources must be empty when task is '{self.task}'. To judge an edit, set task to 'edit'."
            )

    @property
    def pictures(self) -> tuple[torch.Tensor, ...]:
        """All pictures in the order in which the critic sees them."""
        return (*self.sources, *self.images)

    def __repr__(self):
        return f"Question({self.task}: {self.request[:40]!r}, {len(self.pictures)} picture(s))"
