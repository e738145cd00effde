"""One answer in the making: what it follows, what it has written, what has to be fed to the model next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import GeneratorType

import torch

from .script import Choice, Choose, Request, Say, Script, Trie

SHAPES = (1, 4, 12, 24, 48)
"""Tokens per row that a step may have; longer stretches are fed in several steps."""


class NotANumber(ArithmeticError):
    """The model computes NaN or infinity, so no token of it means anything."""


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

    def followed_by(self, ids: Sequence[int]) -> Prompt:
        """The same with text behind it."""
        start = int(self.positions[:, -1].max()) + 1
        return replace(
            self,
            ids=[*self.ids, *ids],
            positions=torch.cat([self.positions, torch.arange(start, start + len(ids)).expand(3, -1)], 1),
            pictures=torch.cat([self.pictures, torch.zeros(len(ids), dtype=torch.bool)]),
        )


@dataclass
class Written:
    """What became of a job: its tokens, how many of them were said and not asked for, the forwards it took
    part in behind its prompt, and whether it is whole or its budget cut it off."""

    ids: list[int] = field(default_factory=list)
    said: int = 0
    forwards: int = 0
    cut: bool = False
    done: bool = False


@dataclass
class Job:
    """One answer to write: a script behind a prompt of `length` tokens. After `budget` tokens it is cut off.
    `draw` picks an index of logits [n], by default that of the highest."""

    prompt: Callable[[], Prompt]
    script: Callable[[], Script]
    length: int
    budget: int
    draw: Callable[[torch.Tensor], int] | None = None
    written: Written = field(default_factory=Written)


_resume = GeneratorType.send


class Row:
    """A job that has a place in the cache."""

    def __init__(self, place: int, job: Job, length: int, position: int, logits: torch.Tensor):
        self.place, self.job = place, job
        self.length, self.position = length, position  # tokens in the cache; place of the next in the text
        self.script = job.script()
        job.written = Written()  # an earlier try may have run out of memory
        self.feed: list[int] = []  # written, but not in the cache yet
        self.logits: torch.Tensor = logits  # behind the last token fed
        self.choosing: Choose | None = None  # its words are being looked at
        self.request: Request | None = None
        self.go_on()

    @property
    def done(self) -> bool:
        return self.job.written.done

    def go_on(self, answer: int | Choice | None = None) -> None:
        """Let the script run until it needs the model, is done or is cut off."""
        written = self.job.written
        while not written.done:
            try:
                self.request = _resume(self.script, answer)
            except StopIteration:
                written.done = True
                return
            if not isinstance(self.request, Say):
                break
            answer = None
            self.put(self.request.ids)
            written.said += len(self.request.ids)
        if len(written.ids) >= self.job.budget:
            written.done = written.cut = True
        if not written.done and isinstance(self.request, Choose) and not self.feed:
            self.choosing = self.request

    def take(self, token: int) -> None:
        """A token that was asked for."""
        if token not in self.request.stop:
            self.put([token])
        self.go_on(token)

    def put(self, ids: Sequence[int]) -> None:
        written = self.job.written
        room = self.job.budget - len(written.ids)
        written.ids += ids[:room]
        self.feed += ids[:room]
        if len(ids) > room:
            written.done = written.cut = True

    def was_fed(self, tokens: int, logits: torch.Tensor) -> None:
        """The first `tokens` of the feed are in the cache; these logits stand behind them."""
        fed = min(tokens, len(self.feed))
        self.length, self.position = self.length + fed, self.position + fed
        self.feed, self.logits = self.feed[fed:], logits
        if isinstance(self.request, Choose) and not self.feed:
            self.choosing = self.request

    @property
    def shape(self) -> tuple[bool, int]:
        """Whether a tree is fed next, and the tokens per row of that step."""
        tokens = len(self.choosing.trie.fed) if self.choosing else min(len(self.feed), SHAPES[-1])
        return self.choosing is not None, next((n for n in SHAPES if n >= tokens), tokens)

    @property
    def end(self) -> int:
        """The row's length in the cache after the next forward."""
        ahead = len(self.choosing.trie.fed) if self.choosing else min(len(self.feed), SHAPES[-1])
        return self.length + ahead


def chain(ids: list[int]) -> tuple[list[int], list[int], torch.Tensor]:
    """Tokens one behind the other: ids, their depth, and which of them each one sees."""
    return ids, list(range(len(ids))), torch.ones(len(ids), len(ids), dtype=torch.bool).tril()


def tree(trie: Trie) -> tuple[list[int], list[int], torch.Tensor]:
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


def choose(trie: Trie, root: torch.Tensor, inner: torch.Tensor, draw) -> tuple[Choice, list[int]]:
    """The word that decoding would write if it could write nothing else, token by token, and all their
    probabilities. `root` [vocabulary] are the logits in front of the words, `inner` [nodes, vocabulary] those
    behind each inner node."""
    places = [0, *trie.fed]
    logits = torch.cat([root[None], inner[: len(trie.fed)]])
    shares = torch.log_softmax(logits, -1)
    if not torch.isfinite(shares).all():
        raise NotANumber
    chances, picked = {0: 1.0}, {}
    for at, scores, share in zip(places, logits, shares, strict=True):
        children = trie.nodes[at].children
        allowed = list(children)
        likely = share[allowed].exp().tolist()
        chances |= {child: chances[at] * p for child, p in zip(children.values(), likely, strict=True)}
        index = draw(scores[allowed]) if draw and len(children) > 1 else int(scores[allowed].argmax())
        picked[at] = list(children.values())[index]
    table = {node.word: chances[at] for at, node in enumerate(trie.nodes) if node.word is not None}
    at = picked[0]
    while at in picked:
        at = picked[at]
    word = trie.nodes[at].word
    return Choice(word, table), list(trie.words[word])
