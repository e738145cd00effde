"""What a critic is asked: one `Question` per picture.

Beside it stands one module per way to run a critic. Each has a class with `name`, `judge(questions, ...)`
and, for many pictures of one request, `critique(images, request, task, sources, ...)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..critique import ASPECTS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Question:
    """One picture to judge against what was asked for.

    Pictures are [H, W, C] with floats 0..1, of any size. An edit brings its source, the picture before the
    change.
    """

    task: str
    request: str
    image: torch.Tensor
    sources: tuple[torch.Tensor, ...] = ()

    def __post_init__(self):
        if self.task not in ASPECTS:
            raise ValueError(f"task must be one of {', '.join(ASPECTS)}, not {self.task!r}.")
        if not self.request.strip():
            raise ValueError(
                "request is empty. Write what the picture should show, so that it can be judged."
            )
        if self.task == "edit" and len(self.sources) != 1:
            raise ValueError(
                "sources must hold 1 picture, the one before the edit, when task is 'edit'; "
                f"it holds {len(self.sources)}."
            )
        if self.task != "edit" and self.sources:
            raise ValueError(
                f"sources must be empty when task is {self.task!r}. To judge an edit, set task to 'edit'."
            )

    @property
    def pictures(self) -> tuple[torch.Tensor, ...]:
        """All pictures in the order in which the critic sees them."""
        return (*self.sources, self.image)

    def __repr__(self):
        return f"Question({self.task}: {self.request[:40]!r}, {len(self.pictures)} picture(s))"
