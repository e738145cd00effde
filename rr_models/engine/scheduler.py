"""The decode loop: many scripts written by one model, a row of the cache each; a row that is done makes room
for the next script.

In 16 bit a matrix product of another shape rounds differently, so a token could depend on who shares the
batch. In the invariant way it does not: a prompt is read alone; a step always has all lines (spare ones are
filled up), a number of tokens that follows from what the row itself has to be fed, and a width of the cache
that follows from the row's own job. Whoever the neighbours are, a row sees the same shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from .cuda_graphs import CudaGraphCache
from .model_runner import SCRATCH_COLUMNS, ModelRunner
from .program import Sample
from .sequence import Job, NotANumber, Prompt, Row

CACHE_BUCKET = 512
"""The cache's width is a multiple of this, so that pictures of about one size make rows of one width."""
TOKEN_BUCKETS = (1, 16, 48)
"""Tokens that a stretch is filled up to, so that rows with stretches of other lengths share a forward."""
PADDED_BATCH_SIZE = 8
"""So many lines products should have in the invariant way, however few rows there are."""


class Engine:
    """Writes answers with `model`, up to `rows` at a time. With `lines`, no fewer than the rows, in the
    invariant way; without, in steps as small as they can be, which a CPU in 32 bit is faster with. With
    `graphs`, steps are recorded and replayed, see replay.py: for lines and a CUDA device only."""

    def __init__(self, model: torch.nn.Module, rows: int, lines: int = 0, graphs: bool = False):
        self.model, self.rows, self.lines, self.graphs = model, rows, lines, graphs
        self.forwards = 0

    @torch.inference_mode()
    def run(self, jobs: Sequence[Job], watch: Callable[[], None] | None = None) -> None:
        """Write all jobs; what they have written is in `job.written`. `watch` is called after every forward;
        what it raises ends the work, and jobs that are done stay done."""
        if not jobs:
            return
        # rows of different widths take no steps together: one width after the other
        jobs = sorted(jobs, key=width)
        runner = ModelRunner(self.model, min(self.rows, len(jobs)), width(jobs[-1]))
        for _ in _Scheduler(runner, self.lines, self.graphs).run(jobs):
            self.forwards += 1
            if watch:
                watch()


def width(job: Job) -> int:
    """Columns of the cache that a job takes: every token's, and those of words to choose from behind them."""
    return columns_of(job.length, job.budget)


def columns_of(prompt: int, answer: int) -> int:
    """The same from the tokens of a prompt and the most that its answer may have."""
    return -(-(prompt + answer + SCRATCH_COLUMNS) // CACHE_BUCKET) * CACHE_BUCKET


class _Scheduler:
    """The rows of one cache. With `lines`, every step has so many."""

    def __init__(self, runner: ModelRunner, lines: int, graphs: bool):
        self.runner, self.lines = runner, lines
        self.replay = CudaGraphCache(runner.answer) if graphs else None
        self.rows: list[Row] = []
        self.shared: object = None  # the key of what the shared row holds
        self.masks: dict[Sample, torch.Tensor] = {}

    def run(self, jobs: Sequence[Job]) -> Iterable[None]:
        """Yields after every forward, and after every prompt that was read."""
        waiting = list(reversed(jobs))
        free = list(reversed(range(self.runner.rows)))
        while waiting or self.rows:
            while waiting and free:
                row = self._admit(free[-1], waiting.pop())
                if not row.done:
                    self.rows.append(row)
                    free.pop()
                yield
            self._pick()
            if group := self._next():
                self._forward(group)
                yield
            for row in [row for row in self.rows if row.done]:
                self.rows.remove(row)
                free.append(row.place)
            if not waiting and not self.lines:
                self._close_ranks()

    def _admit(self, place: int, job: Job) -> Row:
        """Read a job's prompt into a row of the cache."""
        prompt, runner = job.prompt(), self.runner
        start = 0
        if prompt.shared:
            # always in two stretches, whoever else shares the first one: each rounds by its own shape
            if self.shared != prompt.key:
                self._read(runner.shared, prompt, 0, prompt.shared)
                self.shared = prompt.key
            runner.copy(runner.shared, place, prompt.shared)
            start = prompt.shared
        hidden = self._read(place, prompt, start, len(prompt.ids))
        position = int(prompt.positions[:, -1].max()) + 1
        return Row(place, job, len(prompt.ids), position, runner.logits(hidden)[0])

    def _read(self, row: int, prompt: Prompt, start: int, end: int) -> torch.Tensor:
        runner, pictures = self.runner, prompt.pictures[start:end]
        hidden = runner.embed(prompt.ids[start:end])
        before = int(prompt.pictures[:start].sum())
        features = [each[before : before + int(pictures.sum())] for each in prompt.features]
        where = pictures.to(hidden.device)
        hidden[0, where] = features[0].to(hidden)
        positions = prompt.positions[:, None, start:end].to(hidden.device)
        return runner.prefill(row, start, hidden, positions, where, features[1:])

    def _pick(self) -> None:
        """Fulfil what can be fulfilled from the logits at hand: one token for every row that asks for one."""
        while True:
            asking = [row for row in self.rows if isinstance(row.request, Sample) and not row.feed]
            asking = [row for row in asking if not row.done]
            if not asking:
                return
            logits = torch.stack([row.logits for row in asking])
            logits += torch.stack([self._mask(row.request, logits) for row in asking])
            # one copy from the device a step: whatever is asked of it twice is waited for twice
            found = torch.stack([x.double() for x in logits.max(-1)]).cpu()
            if not torch.isfinite(found).all():
                raise NotANumber
            for scores, row, token in zip(logits, asking, found[1].tolist(), strict=True):
                row.take(row.job.draw(scores) if row.job.draw else int(token))

    def _mask(self, ask: Sample, like: torch.Tensor) -> torch.Tensor:
        if ask not in self.masks:
            mask = torch.full((like.shape[-1],), -torch.inf if ask.only else 0.0)
            mask[list(ask.only or ask.banned)] = 0.0 if ask.only else -torch.inf
            self.masks[ask] = mask.to(like)
        return self.masks[ask]

    def _next(self) -> list[Row]:
        """The rows of the next forward. Longer stretches go first, or their rows would lag behind and be the
        last ones left, with the steps of all others to themselves."""
        shapes: dict[tuple, list[Row]] = {}
        for row in self.rows:
            if not row.done:
                shapes.setdefault((*self._shape(row), width(row.job) if self.lines else 0), []).append(row)
        stretches = [rows for shape, rows in shapes.items() if shape[0] > 1]
        group = max(stretches or shapes.values(), key=len, default=[])
        return group[:1] if stretches and self._exact else group

    @property
    def _exact(self) -> bool:
        # where work counts and not the weights that are read for it, filling up costs more than a forward
        return not self.lines and self.runner.device.type == "cpu"

    def _shape(self, row: Row) -> tuple[int, int, bool]:
        """Tokens of a row's next step, those behind which logits are wanted, whether it is a plain chain."""
        sizes = len(row.step.ids), len(row.step.wanted)
        if not self._exact:
            sizes = tuple(next((n for n in TOKEN_BUCKETS if n >= size), size) for size in sizes)
        return *sizes, row.step.plain

    def _forward(self, group: list[Row]) -> None:
        """Feed these rows, all of one shape, and take what the model says."""
        (tokens, wanted, plain), device, columns = (
            self._shape(group[0]),
            self.runner.device,
            self.runner.width,
        )
        if self.lines:
            first, count, lines, read = 0, self.runner.rows, self.lines, width(group[0].job)
        else:
            first = min(row.place for row in group)
            count = lines = max(row.place for row in group) + 1 - first
            read = -(-max(row.length + len(row.step.ids) for row in group) // 64) * 64
        told = torch.zeros(3, lines, tokens, dtype=torch.long)  # ids, positions, columns
        told[2] = torch.arange(columns, columns + tokens)
        where = torch.zeros(lines, wanted, dtype=torch.long)
        seen = None if plain else torch.zeros(count, tokens, read, dtype=torch.bool)
        if not plain:
            seen[:, :, 0] = True  # what only fills up must see something
        for row in group:
            at, step = row.place - first, row.step
            n, end = len(step.ids), row.length + len(step.ids)
            told[0, at, :n] = torch.tensor(step.ids)
            told[1, at, :n] = row.position + torch.tensor(step.depths)
            told[2, at, :n] = torch.arange(row.length, end)
            where[at, : len(step.wanted)] = torch.tensor(step.wanted)
            if not plain:
                seen[at, :n, : row.length] = True
                seen[at, :n, row.length : end] = step.among
            row.job.written.forwards += 1
        ids, positions, columns = told.to(device)
        columns = columns[:count]
        if plain:  # a chain sees all that lies before it in its row
            mask = torch.arange(read, device=device) <= columns[..., None]
        else:
            mask = seen.to(device)
        if self.replay:
            logits = self.replay(ids, positions, columns, mask, where.to(device))
        else:
            logits = self.runner.answer(ids, positions, columns, mask, where.to(device), first)
        for row in group:  # a copy, or each row would keep the logits of all alive
            row.was_fed(logits[row.place - first, : len(row.step.wanted)].clone())

    def _close_ranks(self) -> None:
        """Move rows to the lowest places, so that steps get smaller as rows get done."""
        taken = {row.place for row in self.rows}
        for row in sorted(self.rows, key=lambda row: -row.place):
            lowest = min(set(range(len(self.rows))) - taken, default=row.place)
            if lowest < row.place:
                self.runner.copy(row.place, lowest, row.length + len(row.ahead))
                taken = taken - {row.place} | {lowest}
                row.place = lowest
