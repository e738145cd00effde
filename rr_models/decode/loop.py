"""The decode loop: many scripts written by one model, a row of the cache each; a row that is done makes room
for the next script.

In 16 bit a matrix product of another shape rounds differently, so a token could depend on who shares the
batch. Here it does not: a prompt is read alone; a step always has all rows (idle ones are filled up) and
one fixed number of tokens, which follows from what the row itself has to be fed; the cache is as wide as
the row's own prompt and budget need, in large steps. Whoever the neighbours are, a row sees the same shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import GeneratorType

import torch

from .script import Ask, Choice, Choose, Request, Say, Script, Trie
from .text import TextRunner

SHAPES = (1, 8, 24, 48)
"""Tokens per row that a step may have; longer stretches are fed in several steps."""
WIDTH = 512
"""The cache's width is a multiple of this."""


@dataclass
class Prompt:
    """What an answer follows: token ids, positions [3, n], which tokens are a picture's [n], and features for
    those, [pictures, hidden] each: first their embeddings, then what the first layers get added. The first
    `shared` tokens are the same in all prompts with the same `key`."""

    ids: list[int]
    positions: torch.Tensor
    pictures: torch.Tensor
    features: Sequence[torch.Tensor]
    shared: int = 0
    key: object = None


@dataclass
class Job:
    """One answer to write: a script behind a prompt. `length` tokens are the prompt's, at most `budget`
    follow. `draw` picks an index of logits [n], by default that of the highest."""

    prompt: Callable[[], Prompt]
    script: Script
    length: int
    budget: int
    draw: Callable[[torch.Tensor], int] | None = None


@dataclass
class Written:
    """What became of a job: its tokens, how many of them were said and not asked for, and the forwards it
    took part in behind its prompt."""

    ids: list[int] = field(default_factory=list)
    said: int = 0
    forwards: int = 0


class NotANumber(ArithmeticError):
    """The model computes NaN or infinity, so no token of it means anything."""


_resume = GeneratorType.send


class _Row:
    """An answer in the making."""

    def __init__(self, place: int, job: Job, written: Written, length: int, position: int, logits):
        self.place, self.job, self.written = place, job, written
        self.length, self.position = length, position  # tokens in the cache; place of the next in the text
        self.feed: list[int] = []  # written, but not in the cache yet
        self.logits: torch.Tensor | None = logits  # behind the last token fed
        self.choosing: Choose | None = None  # its words are being looked at
        self.request: Request | None = None
        self.done = False
        self.go_on()

    def go_on(self, answer: int | Choice | None = None) -> None:
        """Let the script run until it needs the model."""
        try:
            self.request = _resume(self.job.script, answer)
            while isinstance(self.request, Say):
                self.put(self.request.ids)
                self.written.said += len(self.request.ids)
                self.request = _resume(self.job.script, None)
        except StopIteration:
            self.done = True
        if not self.done and isinstance(self.request, Choose) and not self.feed:
            self.choosing = self.request

    def put(self, ids: Sequence[int]) -> None:
        self.written.ids += ids
        self.feed += ids
        if len(self.written.ids) > self.job.budget:
            raise ValueError("A script has written more than its job's budget.")

    @property
    def shape(self) -> tuple[bool, int]:
        """Whether a tree is fed next, and the tokens per row of that step."""
        tokens = len(self.choosing.trie.fed) if self.choosing else len(self.feed)
        return self.choosing is not None, next((n for n in SHAPES if n >= tokens), SHAPES[-1])


class Decoder:
    """Writes answers with `model`, up to `rows` at a time. `invariant`: always with all rows, see above;
    without it, steps are as small as they can be, which a CPU in 32 bit is faster with."""

    def __init__(self, model: torch.nn.Module, rows: int, invariant: bool):
        self.model, self.rows, self.invariant = model, rows, invariant
        self.forwards = 0

    @torch.inference_mode()
    def run(self, jobs: Sequence[Job], watch: Callable[[int], None] | None = None) -> list[Written]:
        """Write all jobs. `watch(tokens)` hears after every forward how many tokens are written in all; what
        it raises ends the work."""
        written = [Written() for _ in jobs]
        widths: dict[int, list[int]] = {}
        for number, job in enumerate(jobs):
            widths.setdefault(-(-(job.length + job.budget) // WIDTH) * WIDTH, []).append(number)
        for width, numbers in widths.items():
            rows = self.rows if self.invariant else min(self.rows, len(numbers))
            pool = _Pool(self, TextRunner(self.model, rows, width))
            for _ in pool.run([(jobs[number], written[number]) for number in numbers]):
                self.forwards += 1
                if watch:
                    watch(sum(len(one.ids) for one in written))
        return written


class _Pool:
    """Rows of one width."""

    def __init__(self, decoder: Decoder, runner: TextRunner):
        self.runner, self.invariant = runner, decoder.invariant
        self.rows: list[_Row] = []
        self.shared: object = None  # the key of what the shared row holds

    def run(self, jobs: list[tuple[Job, Written]]) -> Iterable[None]:
        """Yields after every forward, and after every prompt that was read."""
        waiting = list(reversed(jobs))
        free = list(reversed(range(self.runner.rows)))
        while waiting or self.rows:
            while waiting and free:
                row = self._admit(free[-1], *waiting.pop())
                yield
                if not row.done:
                    self.rows.append(row)
                    free.pop()
            self._pick()
            if group := self._next():
                self._forward(group)
                yield
            for row in [row for row in self.rows if row.done]:
                self.rows.remove(row)
                free.append(row.place)
            if not waiting and not self.invariant:
                self._close_ranks()

    def _admit(self, place: int, job: Job, written: Written) -> _Row:
        """Read a job's prompt into a row of the cache."""
        prompt, runner = job.prompt(), self.runner
        start = 0
        if prompt.shared:
            if self.shared != prompt.key:
                self._read(runner.shared, prompt, 0, prompt.shared)
                self.shared = prompt.key
            runner.copy(runner.shared, place, prompt.shared)
            start = prompt.shared
        hidden = self._read(place, prompt, start, len(prompt.ids))
        position = int(prompt.positions[:, -1].max()) + 1
        return _Row(place, job, written, len(prompt.ids), position, runner.logits(hidden)[0])

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
        for row in self.rows:
            if row.choosing and not row.choosing.trie.fed:  # words of one token each
                self._chosen(row, row.logits[:0])
        asking = [row for row in self.rows if isinstance(row.request, Ask) and not row.feed and not row.done]
        if not asking:
            return
        logits = torch.stack([row.logits for row in asking])
        for scores, row in zip(logits, asking, strict=True):
            if row.request.only:
                allowed = scores[list(row.request.only)]
                scores.fill_(-torch.inf)
                scores[list(row.request.only)] = allowed
            elif row.request.banned:
                scores[list(row.request.banned)] = -torch.inf
        highest, tokens = logits.max(-1)
        if not torch.isfinite(highest).all():
            raise NotANumber
        for scores, row, token in zip(logits, asking, tokens.tolist(), strict=True):
            token = row.job.draw(scores) if row.job.draw else token
            row.put([token])
            row.go_on(token)

    def _next(self) -> list[_Row]:
        """The rows of the next forward: all that are fed one token; others once they are many, or alone where
        rows need not be filled up."""
        shapes: dict[tuple[bool, int], list[_Row]] = {}
        for row in self.rows:
            if not row.done:
                shapes.setdefault(row.shape, []).append(row)
        singles = shapes.pop((False, 1), [])
        largest = max(shapes.values(), key=len, default=[])
        if not self.invariant:
            return largest[:1] or singles
        return largest if 2 * len(largest) >= len(self.rows) or not singles else singles

    def _forward(self, group: list[_Row]) -> None:
        """Feed these rows, all of one shape, and take what the model says."""
        tree, tokens = group[0].shape
        if self.invariant or tokens == 1:
            first, count = 0, self.runner.rows
            if not self.invariant:
                count = 1 + max(row.place for row in self.rows)
        else:
            first, count = group[0].place, 1
        width = self.runner.width
        ids = torch.zeros(count, tokens, dtype=torch.long)
        positions = torch.zeros(count, tokens, dtype=torch.long)
        columns = torch.arange(width, width + tokens).repeat(count, 1)
        mask = torch.zeros(count, tokens, width, dtype=torch.bool)
        mask[:, :, 0] = True  # what only fills up must see something
        for row in group:
            at = row.place - first
            fed, depths, seen = _tree(row.choosing.trie) if tree else _chain(row.feed[:tokens])
            n, end = len(fed), row.length + len(fed)
            ids[at, :n] = torch.tensor(fed)
            positions[at, :n] = row.position + torch.tensor(depths)
            columns[at, :n] = torch.arange(row.length, end)
            mask[at, :n, : row.length] = True
            mask[at, :n, row.length : end] = seen
            row.written.forwards += 1
        device = self.runner.device
        hidden = self.runner.step(
            ids.to(device), positions.to(device), columns.to(device), mask.to(device), first
        )
        last = torch.tensor([0] * count)
        for row in group:
            last[row.place - first] = len(row.feed[:tokens]) - 1
        logits = self.runner.logits(hidden if tree else hidden[torch.arange(count), last])
        for row in group:
            self._take(row, tokens, logits[row.place - first])

    def _take(self, row: _Row, tokens: int, logits: torch.Tensor) -> None:
        if row.choosing:
            self._chosen(row, logits)
            return
        fed = min(tokens, len(row.feed))
        row.length, row.position = row.length + fed, row.position + fed
        row.feed, row.logits = row.feed[fed:], logits
        if isinstance(row.request, Choose) and not row.feed:
            row.choosing = row.request

    def _chosen(self, row: _Row, inner: torch.Tensor) -> None:
        choice, ids = _choose(row.choosing.trie, row.logits, inner, row.job.draw)
        row.choosing = None
        row.put(ids)
        row.go_on(choice)

    def _close_ranks(self) -> None:
        """Move rows to the lowest places, so that steps get smaller as rows get done."""
        taken = {row.place for row in self.rows}
        for row in sorted(self.rows, key=lambda row: -row.place):
            lowest = min(set(range(len(self.rows))) - taken, default=row.place)
            if lowest < row.place:
                self.runner.copy(row.place, lowest, row.length)
                taken = taken - {row.place} | {lowest}
                row.place = lowest


def _chain(ids: list[int]) -> tuple[list[int], list[int], torch.Tensor]:
    """Tokens one behind the other: ids, their depth, and which of them each one sees."""
    return ids, list(range(len(ids))), torch.ones(len(ids), len(ids), dtype=torch.bool).tril()


def _tree(trie: Trie) -> tuple[list[int], list[int], torch.Tensor]:
    """The same for the inner nodes of a trie: a node sees itself and those on its way from the root."""
    place = {node: at for at, node in enumerate(trie.fed)}
    seen = torch.eye(len(trie.fed), dtype=torch.bool)
    depths = [0] * len(trie.fed)
    for at, node in enumerate(trie.fed):
        parent = trie.nodes[node].parent
        if parent:
            seen[at] |= seen[place[parent]]
            depths[at] = depths[place[parent]] + 1
    return [trie.nodes[node].token for node in trie.fed], depths, seen


def _choose(trie: Trie, root: torch.Tensor, inner: torch.Tensor, draw) -> tuple[Choice, list[int]]:
    """The word that decoding would write if it could write nothing else, token by token, and all their
    probabilities. `root` [vocabulary] are the logits in front of the words, `inner` [nodes, vocabulary] those
    behind each inner node."""
    logits = {0: root} | dict(zip(trie.fed, inner, strict=False))
    chances, picked = {0: 1.0}, {}
    for at, scores in logits.items():
        children = trie.nodes[at].children
        allowed = scores[list(children)]
        if not torch.isfinite(allowed).all():
            raise NotANumber
        shares = torch.softmax(scores, -1)[list(children)].tolist()
        chances |= {
            child: chances[at] * share for child, share in zip(children.values(), shares, strict=True)
        }
        index = draw(allowed) if draw and len(children) > 1 else int(allowed.argmax())
        picked[at] = list(children.values())[index]
    table = {node.word: chances[at] for at, node in enumerate(trie.nodes) if node.word is not None}
    at = picked[0]
    while at in picked:
        at = picked[at]
    word = trie.nodes[at].word
    return Choice(word, table), list(trie.words[word])
