"""Where a local critic's weights are while it works: the hook for whoever manages the device's memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from ..engine.memory import MemoryEstimate

Result = TypeVar("Result")


class Residency(Protocol):
    """Sees to it that weights and working memory are there when a critic needs them."""

    def run(self, estimate: MemoryEstimate, limit: int, work: Callable[[int], Result]) -> Result:
        """Return `work(batch_size)`, with the weights loaded and memory free for `batch_size` answers at a
        time, 1 to `limit`. `work` may be called again, with a smaller batch, if memory runs out."""
        ...

    def hold(self) -> AbstractContextManager:
        """Around several runs that belong together: weights stay between them."""
        ...


class AlwaysLoaded:
    """For a critic whose owner has loaded its weights."""

    def run(self, estimate: MemoryEstimate, limit: int, work: Callable[[int], Result]) -> Result:
        return work(limit)

    def hold(self) -> AbstractContextManager:
        return nullcontext()
