"""Steps recorded as CUDA graphs, which launch all their kernels at once.

A decode step launches about a thousand small kernels one after the other from Python, and a fast GPU waits
for them. Replaying a graph gives the same result without the waiting.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

import torch

WARMUP_CALLS = 3
"""Eager calls before capture: rare shapes are not worth a graph, and libraries initialise on first use."""
MAX_GRAPHS = 16
"""Graphs that are kept; beyond that, the one least recently used goes. Each holds its own logits."""


class CudaGraph:
    """`work` recorded for arguments of one shape; its result is overwritten by the next replay."""

    def __init__(self, work: Callable[..., torch.Tensor], arguments: tuple[torch.Tensor, ...], pool):
        self.inputs, self.graph = [argument.clone() for argument in arguments], torch.cuda.CUDAGraph()
        self.device = arguments[0].device
        # other threads may keep using the GPU, as ComfyUI's do
        with (
            torch.cuda.device(self.device),
            torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"),
        ):
            self.result = work(*self.inputs)

    @property
    def nbytes(self) -> int:
        """GPU memory of the inputs and the result; intermediates share one pool with all other graphs."""
        return sum(tensor.nbytes for tensor in (*self.inputs, self.result))

    def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
        with torch.cuda.device(self.device):
            for recorded, argument in zip(self.inputs, arguments, strict=True):
                recorded.copy_(argument)
            self.graph.replay()
        return self.result


class CudaGraphCache:
    """Calls `work(*tensors) -> tensor`: eagerly at first, then by replaying a graph for each set of shapes.

    The result is overwritten by the next call with the same shapes. All other tensors that `work` reads or
    writes must stay at their addresses for as long as the cache is used.
    """

    def __init__(self, work: Callable[..., torch.Tensor]):
        self.work = work
        self.eager_calls: Counter[tuple] = Counter()
        self.graphs: OrderedDict[tuple, CudaGraph] = OrderedDict()
        self.captures = 0
        self.pool = None

    @property
    def nbytes(self) -> int:
        """Memory that the graphs hold."""
        return sum(graph.nbytes for graph in self.graphs.values())

    def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
        shapes = tuple(argument.shape for argument in arguments)
        if shapes not in self.graphs:
            self.eager_calls[shapes] += 1
            if self.eager_calls[shapes] <= WARMUP_CALLS:
                return self.work(*arguments)
            self._capture(shapes, arguments)
        self.graphs.move_to_end(shapes)
        return self.graphs[shapes](*arguments)

    def _capture(self, shapes: tuple, arguments: tuple[torch.Tensor, ...]) -> None:
        if len(self.graphs) >= MAX_GRAPHS:
            self.graphs.popitem(last=False)
        if self.pool is None and arguments[0].is_cuda:
            self.pool = torch.cuda.graph_pool_handle()
        self.graphs[shapes] = CudaGraph(self.work, arguments, self.pool)
        self.captures += 1
