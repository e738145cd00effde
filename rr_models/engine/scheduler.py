"""The decode loop: many sequences of one model, a row of the cache each; finished ones make way for the next.

In 16 bit a matrix product of another shape rounds differently, so a token could depend on which sequences
share the batch. In batch-invariant mode it does not: prompts are prefilled one by one; every step is padded
to `padded_batch_size`, to a number of tokens that depends only on what the sequence itself has to feed, and
to a cache width that depends only on the sequence's own request. Whatever its neighbours are, a sequence sees
the same shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch

from .model_runner import ModelRunner
from .program import Sample
from .sampler import Sampler, draw
from .sequence import Prompt, Request, Sequence
from .trie_step import NonFiniteLogits

TOKEN_BUCKETS = (1, 16, 64)
"""Tokens per sequence that a step is padded to, so that sequences feeding different numbers share it."""
PADDED_BATCH_SIZE = 8
"""Batch size of the matrix products in batch-invariant mode, however few sequences there are."""


class Scheduler:
    """Assigns requests to rows of the cache and runs their programs.

    `padded_batch_size` of at least `rows` selects batch-invariant mode; 0 makes steps as small as possible,
    which is faster on a CPU in 32 bit. `replay` stands in for the runner's `forward` and may replay CUDA
    graphs; batch-invariant mode only.
    """

    def __init__(
        self,
        runner: ModelRunner,
        rows: int,
        padded_batch_size: int,
        replay: Callable[..., torch.Tensor] | None = None,
    ):
        self.runner, self.cache, self.rows = runner, runner.cache, rows
        self.padded_batch_size, self.replay = padded_batch_size, replay
        self.sequences: list[Sequence] = []
        self.prefix_key: object = None  # of what the prefix row holds
        self.masks: dict[Sample, torch.Tensor] = {}

    def run(self, requests: list[Request]) -> Iterator[None]:
        """Yields after every forward pass: of a step, or of a prompt."""
        waiting = list(reversed(requests))
        free_rows = list(reversed(range(self.rows)))
        while waiting or self.sequences:
            while waiting and free_rows:
                sequence = self._admit(free_rows[-1], waiting.pop())
                if not sequence.finished:
                    self.sequences.append(sequence)
                    free_rows.pop()
                yield
            self._sample()
            if group := self._next_group():
                self._step(group)
                yield
            for sequence in [sequence for sequence in self.sequences if sequence.finished]:
                self.sequences.remove(sequence)
                free_rows.append(sequence.row)
            if not waiting and not self.padded_batch_size:
                self._compact()

    def _admit(self, row: int, request: Request) -> Sequence:
        """Prefill a request's prompt into a row of the cache."""
        prompt, runner, cache = request.prompt(), self.runner, self.cache
        cache.start_row(row)
        start = 0
        if prompt.prefix_tokens:
            # always in two parts, even if no neighbour shares the first: each rounds by its own shape
            if self.prefix_key != prompt.prefix_key:
                self._prefill(cache.prefix_row, prompt, 0, prompt.prefix_tokens)
                self.prefix_key = prompt.prefix_key
            cache.copy(cache.prefix_row, row, prompt.prefix_tokens)
            start = prompt.prefix_tokens
        hidden = self._prefill(row, prompt, start, len(prompt.token_ids))
        return Sequence(row, request, prompt, runner.logits(hidden)[0])

    def _prefill(self, row: int, prompt: Prompt, start: int, end: int) -> torch.Tensor:
        is_image = prompt.is_image[start:end]
        hidden = self.runner.embed(prompt.token_ids[start:end])
        before = int(prompt.is_image[:start].sum())
        features = [part[before : before + int(is_image.sum())] for part in prompt.image_features]
        is_image = is_image.to(hidden.device)
        hidden[0, is_image] = features[0].to(hidden)
        positions = prompt.positions[:, None, start:end].to(hidden.device)
        return self.runner.prefill(row, start, hidden, positions, is_image, features[1:])

    def _sample(self) -> None:
        """Carry out every Sample whose logits are known."""
        while True:
            ready = [
                (sequence, cast(Sample, sequence.instruction), cast(torch.Tensor, sequence.logits))
                for sequence in self.sequences
                if sequence.samples
            ]
            if not ready:
                return
            logits = torch.stack([known for _, _, known in ready])
            logits += torch.stack([self._mask(sample, logits) for _, sample, _ in ready])
            highest, tokens = logits.max(-1)
            drawn = [row for row, (sequence, *_) in enumerate(ready) if sequence.request.sampler]
            if drawn:
                samplers = [cast(Sampler, ready[row][0].request.sampler) for row in drawn]
                tokens[drawn] = draw(logits[drawn], samplers)
            # one copy from the device per step: every further one would wait for it again
            known = torch.stack([highest.double(), tokens.double()]).cpu()
            if not torch.isfinite(known).all():
                raise NonFiniteLogits
            for (sequence, *_), token in zip(ready, known[1].tolist(), strict=True):
                sequence.sampled(int(token))

    def _mask(self, sample: Sample, like: torch.Tensor) -> torch.Tensor:
        """[vocabulary]: 0 for tokens that `sample` admits, -inf for the others."""
        if sample not in self.masks:
            mask = torch.zeros(like.shape[-1])
            mask[list(sample.banned)] = -torch.inf
            self.masks[sample] = mask.to(like)
        return self.masks[sample]

    def _next_group(self) -> list[Sequence]:
        """The sequences of the next step, all of one shape.

        Runs of several tokens go first. Otherwise their sequences would fall behind and finish last, with all
        remaining steps to themselves.
        """
        by_shape: dict[tuple, list[Sequence]] = {}
        for sequence in self.sequences:
            if not sequence.finished:
                width = sequence.request.cache_width if self.padded_batch_size else 0
                by_shape.setdefault((*self._shape(sequence), width), []).append(sequence)
        runs = [sequences for shape, sequences in by_shape.items() if shape[0] > 1]
        group = max(runs or by_shape.values(), key=len, default=[])
        return group[:1] if runs and self._unpadded else group

    @property
    def _unpadded(self) -> bool:
        # a CPU is bound by arithmetic, not by reading weights: padding costs more than another forward pass
        return not self.padded_batch_size and self.runner.device.type == "cpu"

    def _shape(self, sequence: Sequence) -> tuple[int, int, bool]:
        """Tokens of a sequence's next step, tokens whose logits are wanted, and whether it is a chain."""
        step = sequence.step
        tokens, wanted = len(step.token_ids), len(step.wanted)
        if not self._unpadded:
            tokens, wanted = _bucket(tokens), _bucket(wanted)
        return tokens, wanted, step.is_chain

    def _step(self, group: list[Sequence]) -> None:
        """One forward pass for these sequences, which all have the same shape."""
        (tokens, wanted_tokens, is_chain), device = self._shape(group[0]), self.runner.device
        if self.padded_batch_size:
            first_row, rows, batch = 0, self.rows, self.padded_batch_size
            read = group[0].request.cache_width
        else:
            first_row = min(sequence.row for sequence in group)
            rows = batch = max(sequence.row for sequence in group) + 1 - first_row
            read = -(-max(sequence.cached + len(sequence.step.token_ids) for sequence in group) // 64) * 64
        inputs = torch.zeros(3, batch, tokens, dtype=torch.long)  # token ids, positions, columns
        inputs[2] = torch.arange(self.cache.width, self.cache.width + tokens)  # scratch
        wanted = torch.zeros(batch, wanted_tokens, dtype=torch.long)
        visible = torch.zeros(rows, tokens, 0 if is_chain else read, dtype=torch.bool)
        if not is_chain:
            visible[:, :, 0] = True  # padding must attend to something
        for sequence in group:
            row, step = sequence.row - first_row, sequence.step
            count, end = len(step.token_ids), sequence.cached + len(step.token_ids)
            inputs[0, row, :count] = torch.tensor(step.token_ids)
            inputs[1, row, :count] = sequence.position + torch.tensor(step.depths)
            inputs[2, row, :count] = torch.arange(sequence.cached, end)
            wanted[row, : len(step.wanted)] = torch.tensor(step.wanted)
            if not is_chain:
                visible[row, :count, : sequence.cached] = True
                visible[row, :count, sequence.cached : end] = step.visible
            sequence.request.completion.forwards += 1
        token_ids, positions, columns = inputs.to(device)
        columns = columns[:rows]
        if is_chain:  # a token of a chain attends to everything before it in its row
            mask = torch.arange(read, device=device) <= columns[..., None]
        else:
            mask = visible.to(device)
        arguments = token_ids, positions, columns, mask, wanted.to(device)
        logits = self.replay(*arguments) if self.replay else self.runner.forward(*arguments, first_row)
        for sequence in group:  # a copy, or each sequence would keep the logits of all alive
            row_logits = logits[sequence.row - first_row, : len(sequence.step.wanted)]
            sequence.step_done(row_logits.clone())

    def _compact(self) -> None:
        """Move sequences to the lowest rows, so that steps shrink as sequences finish."""
        used = {sequence.row for sequence in self.sequences}
        for sequence in sorted(self.sequences, key=lambda sequence: -sequence.row):
            lowest = min(set(range(len(self.sequences))) - used, default=sequence.row)
            if lowest < sequence.row:
                self.cache.start_row(lowest)
                self.cache.copy(sequence.row, lowest, sequence.cached + len(sequence.drafted))
                used = used - {sequence.row} | {lowest}
                sequence.row = lowest


def _bucket(count: int) -> int:
    return next((size for size in TOKEN_BUCKETS if size >= count), count)
