"""Work on tensors that is recorded as a CUDA graph once its shapes have come a few times, and replayed then.

A decode step launches about a thousand small kernels, one after the other from Python, and a fast card waits
for them. A graph launches them all at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

WARMUP_CALLS = 3
"""So often work is done as it is before it is recorded: what comes seldom is not worth it, and libraries set
up what they need in their first calls."""


class CudaGraphCache:
    """`work(*tensors) -> tensor`, with the same result, and what it writes elsewhere written alike. The
    result is overwritten by the next call of these shapes. Everything that `work` reads and writes beside its
    arguments must stay where it is."""

    def __init__(self, work: Callable[..., torch.Tensor]):
        self.work = work
        self.met: Counter[tuple] = Counter()
        self.recorded: dict[tuple, tuple[torch.cuda.CUDAGraph, list[torch.Tensor], torch.Tensor]] = {}
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        with torch.cuda.device(tensors[0].device):  # a graph holds what the current card does
            return self._replayed(*tensors)

    def _replayed(self, *tensors: torch.Tensor) -> torch.Tensor:
        shapes = tuple(tensor.shape for tensor in tensors)
        if shapes not in self.recorded:
            self.met[shapes] += 1
            if self.met[shapes] <= WARMUP_CALLS:
                return self.work(*tensors)
            self.recorded[shapes] = self._record(tensors)
        graph, inputs, result = self.recorded[shapes]
        for ours, given in zip(inputs, tensors, strict=True):
            ours.copy_(given)
        graph.replay()
        return result

    def _record(self, tensors: tuple[torch.Tensor, ...]):
        inputs, graph = [tensor.clone() for tensor in tensors], torch.cuda.CUDAGraph()
        # other threads may go on using the card, as ComfyUI's do
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            result = self.work(*inputs)
        return graph, inputs, result
