"""Steps recorded as CUDA graphs, which launch all their kernels at once.

A decode step launches hundreds of small kernels one after the other from Python, and a fast GPU waits for
them. Replaying a graph gives the same result without the waiting. A card, a driver or another package may
break that, so every graph is compared with plain steps before it is trusted.

With ComfyUI's cudaMallocAsync, memory that is allocated during a capture belongs to the graph, and freeing it
anywhere else can end the process. So nothing that is allocated there outlives the capture.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..devices import out_of_memory
from ..errors import first_line

log = logging.getLogger(__name__)

Work = Callable[..., torch.Tensor]

WARMUP_CALLS = 3
"""Plain calls before capture: rare shapes are not worth a graph, and libraries initialise on first use."""
MAX_GRAPHS = 16
"""Graphs that are kept; beyond that, the one least recently used goes. Each holds its own logits."""
PROOFS = 2
"""Replays of each graph that are compared with plain calls: one for the arguments it was recorded with, and
one for others, which shows whether it reads them."""


class CudaGraph:
    """`work` recorded for arguments of one shape; its result is overwritten by the next replay."""

    def __init__(self, work: Work, arguments: tuple[torch.Tensor, ...], stream: Any, pool: Any):
        self.inputs, self.graph = [argument.clone() for argument in arguments], torch.cuda.CUDAGraph()
        self.device = arguments[0].device
        current = torch.cuda.current_stream(self.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):  # what libraries allocate for a stream, they keep: not in the graph
            plain = work(*self.inputs)
        current.wait_stream(stream)
        self.result = torch.empty_like(plain)
        del plain
        with torch.cuda.device(self.device), _capture(self.graph, stream, pool):
            self.result.copy_(work(*self.inputs))

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


@contextlib.contextmanager
def _capture(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, pool: Any) -> Iterator[None]:
    """Record what is launched in this context. Where that fails, stream and allocator are as before."""
    began = False
    try:
        # the outer context restores the stream where torch's does not: after an invalid capture.
        # Other threads may keep using the GPU, as ComfyUI's do.
        with (
            torch.cuda.stream(stream),
            torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
        ):
            began = True
            try:
                yield
            except BaseException as error:
                traceback.clear_frames(error.__traceback__)  # tensors in them were allocated in the capture
                raise
    except BaseException:
        # an invalid capture also leaves the allocator recording; cudaMallocAsync would free nothing any more
        end_recording = getattr(torch._C, "_cuda_endAllocateToPool", None)
        if began and end_recording:
            with contextlib.suppress(RuntimeError):  # it was not recording
                end_recording(stream.device_index, pool)
        raise


class CudaGraphCache:
    """Calls `work(*tensors) -> tensor`: plainly at first, then by replaying a graph for each set of shapes.

    `work` must have the same effects if it is called again with the same arguments. The result is overwritten
    by the next call with the same shapes. All other tensors that `work` reads or writes must stay at their
    addresses for as long as the cache is used.

    The first replays of a graph are followed by a plain call each, whose result is returned. If they differ
    in a single bit, or anything fails, the log says so, and all calls are plain from then on: `fault` is the
    reason, "" while there is none. `passing` faults lie in a lack of memory.
    """

    def __init__(self, work: Work):
        self.work = work
        self.plain_calls: Counter[tuple] = Counter()
        self.proofs: Counter[tuple] = Counter()
        self.graphs: OrderedDict[tuple, CudaGraph] = OrderedDict()
        self.captures = 0
        self.fault, self.passing = "", False
        self._stream: Any = None  # neither exists without a GPU
        self._pool: Any = None

    @property
    def nbytes(self) -> int:
        """Memory that the graphs hold."""
        return sum(graph.nbytes for graph in self.graphs.values())

    @property
    def proven(self) -> bool:
        """Whether steps are replayed by now."""
        return not self.fault and max(self.proofs.values(), default=0) >= PROOFS

    def __call__(self, *arguments: torch.Tensor) -> torch.Tensor:
        shapes = tuple(argument.shape for argument in arguments)
        if self.fault:
            return self.work(*arguments)
        if shapes not in self.graphs and self.plain_calls[shapes] < WARMUP_CALLS:
            self.plain_calls[shapes] += 1
            return self.work(*arguments)
        try:
            replayed = self._replayed(shapes, arguments)
        except Exception as error:  # compiled code of torch, the driver and others: anything can come of it
            self._give_up(f"fails ({first_line(error)})", passing=out_of_memory(error))
            return self.work(*arguments)
        if self.proofs[shapes] >= PROOFS:
            return replayed
        plain = self.work(*arguments)  # last, so that its effects stay, whatever the graph has written
        if not _bit_equal(plain, replayed):
            self._give_up("gives other results than a plain step")
        else:
            self.proofs[shapes] += 1
            if sum(self.proofs.values()) == PROOFS:
                log.info("Decode steps on %s are replayed from CUDA graphs", plain.device)
        return plain

    def _replayed(self, shapes: tuple, arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if shapes not in self.graphs:
            self._capture(shapes, arguments)
        self.graphs.move_to_end(shapes)
        result = self.graphs[shapes](*arguments)
        if self.proofs[shapes] >= PROOFS:
            return result
        if result.is_cuda:  # a failure that the GPU reports later would look like one of the plain call
            torch.cuda.synchronize(result.device)
        return result.clone()

    def _capture(self, shapes: tuple, arguments: tuple[torch.Tensor, ...]) -> None:
        if len(self.graphs) >= MAX_GRAPHS:
            self.graphs.popitem(last=False)
        if self._stream is None and arguments[0].is_cuda:
            self._stream = torch.cuda.Stream(arguments[0].device)
            self._pool = torch.cuda.graph_pool_handle()
        self.proofs[shapes] = 0
        self.captures += 1
        self.graphs[shapes] = CudaGraph(self.work, arguments, self._stream, self._pool)

    def _give_up(self, fault: str, passing: bool = False) -> None:
        self.fault, self.passing = fault, passing
        self.graphs.clear()
        log.warning(
            "A decode step replayed from a CUDA graph %s. The critic goes on with plain steps: its answers "
            "are the same, but take longer.",
            fault,
        )


def _bit_equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Also where both are NaN, as padding may be in 16 bit."""
    return a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8))
