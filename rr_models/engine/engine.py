"""The engine: runs requests with one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from .cuda_graphs import CudaGraphCache
from .kv_cache import KVCache
from .model_runner import ModelRunner
from .scheduler import Scheduler
from .sequence import Request


class Engine:
    """Generates with `model`, up to `max_sequences` sequences at a time.

    See Scheduler for `padded_batch_size`. `cuda_graphs` replays steps from CUDA graphs; it needs
    batch-invariant mode and a CUDA device.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        max_sequences: int,
        padded_batch_size: int = 0,
        cuda_graphs: bool = False,
    ):
        self.model, self.max_sequences = model, max_sequences
        self.padded_batch_size, self.cuda_graphs = padded_batch_size, cuda_graphs
        self.forwards = 0

    @torch.inference_mode()
    def run(self, requests: Iterable[Request], on_step: Callable[[], None] | None = None) -> None:
        """Run all requests; results are in `request.completion`.

        `on_step` is called after every forward pass. What it raises ends the run, and requests that are
        finished stay finished.
        """
        # sequences of different widths share no step: one width after the other
        requests = sorted(requests, key=lambda request: request.cache_width)
        if not requests:
            return
        rows = min(self.max_sequences, len(requests))
        runner = ModelRunner(self.model, KVCache(self.model, rows, requests[-1].cache_width))
        replay = CudaGraphCache(runner.forward) if self.cuda_graphs else None
        for _ in Scheduler(runner, rows, self.padded_batch_size, replay).run(requests):
            self.forwards += 1
            if on_step:
                on_step()
