"""The engine: runs requests with one model, and keeps the KV cache and CUDA graphs for its next run."""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from ..devices import out_of_memory
from .cuda_graphs import CudaGraphCache
from .kv_cache import KVCache, cells
from .model_runner import ModelRunner
from .scheduler import Scheduler
from .sequence import Request

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

log = logging.getLogger(__name__)

CPU_IDLE_BYTES = 256 * 2**20
"""The largest cache that is kept between runs in main memory. On a GPU the owner of the weights can reclaim
an idle cache (see `Engine.release`), but ComfyUI reclaims no main memory. There, allocating a cache takes
milliseconds in runs of many seconds, and no CUDA graph is lost with it."""
OVERSIZE = 4
"""A cache this many times larger than a run needs counts as oversized."""
OVERSIZE_PATIENCE = 8
"""An oversized cache is replaced by a smaller one after this many runs that all could do with less, so that
batches of different sizes can alternate without an allocation each."""

GRAPHS, PLAIN = "CUDA graphs", "plain steps"
"""How decode steps run; see Engine."""


class _Buffers:
    """What is kept between runs: a cache, the runner over it, and the graphs that hold its addresses."""

    def __init__(self, model: Qwen3VLForConditionalGeneration, rows: int, width: int):
        self.cache = KVCache(model, rows, width)
        self.runner = ModelRunner(model, self.cache)
        self.graphs = CudaGraphCache(self.runner.forward)
        # a weak reference, so that the buffers do not keep weights alive
        self.weight = weakref.ref(model.lm_head.weight)

    @property
    def nbytes(self) -> int:
        return self.cache.nbytes + self.graphs.nbytes

    def belong_to(self, model: Qwen3VLForConditionalGeneration) -> bool:
        """Whether the model still has the same weights in the same place; graphs hold their addresses."""
        return self.weight() is model.lm_head.weight and self.cache.device == model.device


class Engine:
    """Generates with `model` for as long as the model lives.

    The KV cache and the CUDA graphs are kept between runs, so a loop of short calls allocates and captures
    once. A run that needs a larger cache replaces it. The owner of the weights must call `release` before
    they are moved or dropped; `nbytes` is what is held until then.

    `forwards`, `allocations` and `captures` count forward passes, caches and CUDA graphs since the engine was
    made. `graphs` says how decode steps run: "" before CUDA graphs were tried, then "CUDA graphs", or "plain
    steps" once a graph has failed; then the engine captures no more. `max_idle_bytes` is the most that stays
    between runs; None means no limit on a GPU, and CPU_IDLE_BYTES in main memory.
    """

    def __init__(self, model: Qwen3VLForConditionalGeneration, max_idle_bytes: int | None = None):
        self.model, self.max_idle_bytes = model, max_idle_bytes
        self.forwards = self.allocations = self.captures = 0
        self.graphs = ""
        self._kept: _Buffers | None = None
        self._running = threading.Lock()
        self._oversized_runs = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the cache and the graphs that the engine holds now."""
        return self._kept.nbytes if self._kept else 0

    @property
    def cache_bytes(self) -> int:
        """Bytes of the cache alone."""
        return self._kept.cache.nbytes if self._kept else 0

    def release(self) -> int:
        """Free the cache and the graphs; the next run makes new ones. Returns the number of bytes."""
        freed, self._kept, self._oversized_runs = self.nbytes, None, 0
        return freed

    @torch.inference_mode()
    def run(
        self,
        requests: Iterable[Request],
        max_sequences: int,
        padded_batch_size: int = 0,
        cuda_graphs: bool = False,
        on_step: Callable[[], None] | None = None,
    ) -> None:
        """Run all requests, up to `max_sequences` at a time; results are in `request.completion`.

        See Scheduler for `padded_batch_size`. `cuda_graphs` replays steps from CUDA graphs; it needs
        batch-invariant mode and a CUDA device. `on_step` is called after every forward pass. What it raises
        ends the run; requests that are finished stay finished, and the engine can be used again.
        """
        # sequences of different widths share no step: one width after the other
        requests = sorted(requests, key=lambda request: request.cache_width)
        if not requests:
            return
        rows = min(max_sequences, len(requests))
        with self._buffers(rows, requests[-1].cache_width) as buffers:
            captures = buffers.graphs.captures
            replay = buffers.graphs if cuda_graphs and self.graphs != PLAIN else None
            try:
                for _ in Scheduler(buffers.runner, rows, padded_batch_size, replay).run(requests):
                    self.forwards += 1
                    if on_step:
                        on_step()
            finally:
                self.captures += buffers.graphs.captures - captures
                self._note(buffers.graphs)

    def _note(self, graphs: CudaGraphCache) -> None:
        if graphs.fault and not graphs.passing:
            self.graphs = PLAIN
        elif graphs.proven and not self.graphs:
            self.graphs = GRAPHS
            log.info("Decode steps are replayed from CUDA graphs, which were found equal to plain steps.")

    @contextlib.contextmanager
    def _buffers(self, rows: int, width: int) -> Iterator[_Buffers]:
        if not self._running.acquire(blocking=False):
            # a run started by `on_step` or in another thread must not share the cache
            self.allocations += 1
            yield _Buffers(self.model, rows, width)
            return
        try:
            if not self._fits(rows, width):
                self.release()  # first, or both would be in memory at once
                self._kept = _Buffers(self.model, rows, width)
                self.allocations += 1
            assert self._kept is not None
            yield self._kept
        except BaseException as error:
            if out_of_memory(error):
                self.release()
            raise
        finally:
            if self._kept and self.nbytes > self._idle_limit():
                self.release()
            self._running.release()

    def _fits(self, rows: int, width: int) -> bool:
        """Whether the kept buffers serve such a run, and are not far too large for all recent ones."""
        kept = self._kept
        if kept is None or not kept.belong_to(self.model) or not kept.cache.fits(rows, width):
            return False
        oversized = kept.cache.cells > OVERSIZE * cells(rows, width)
        self._oversized_runs = self._oversized_runs + 1 if oversized else 0
        return self._oversized_runs < OVERSIZE_PATIENCE

    def _idle_limit(self) -> float:
        if self.max_idle_bytes is not None:
            return self.max_idle_bytes
        return CPU_IDLE_BYTES if self.model.device.type == "cpu" else float("inf")
