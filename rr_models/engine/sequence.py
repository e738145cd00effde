"""One answer in the making: what it follows, what it has written, what has to be fed to the model next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import GeneratorType

import torch

from .program import Choice, Draft, Force, Program, Request, Select, Trie

LONGEST = 48
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
    script: Callable[[], Program]
    length: int
    budget: int
    draw: Callable[[torch.Tensor], int] | None = None
    written: Written = field(default_factory=Written)


_resume = GeneratorType.send


@dataclass
class Step:
    """What a row gets in the next forward: tokens, their depth behind what is in the cache, which of them
    each one sees [n, n], and behind which of them logits are wanted. The last ones may be guessed tokens, and
    the nodes of a choice behind those."""

    ids: list[int]
    depths: list[int]
    among: torch.Tensor
    wanted: list[int]
    guessed: tuple[int, ...] = ()
    words: Select | None = None

    @property
    def plain(self) -> bool:
        """Whether it is a chain, with logits behind its end only."""
        return not self.guessed and not self.words


class Row:
    """A job that has a place in the cache."""

    def __init__(self, place: int, job: Job, length: int, position: int, logits: torch.Tensor):
        self.place, self.job = place, job
        self.length, self.position = length, position  # tokens in the cache; place of the next in the text
        self.script = job.script()
        job.written = Written()  # an earlier try may have run out of memory
        self.feed: list[int] = []  # written, but not in the cache yet
        self.logits: torch.Tensor = logits  # behind the last token written that is in the cache
        self.request: Request | None = None
        self.guess: Draft | None = None  # goes with the next step
        self.ahead: list[tuple[int, torch.Tensor]] = []  # guessed tokens in the cache, logits behind each
        self.looked: tuple[Select, torch.Tensor] | None = None  # a choice's logits, behind all that is ahead
        self._step: Step | None = None
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
            answer = None
            if isinstance(self.request, Draft):
                self.guess = self.request
            elif isinstance(self.request, Force):
                self.put(self.request.ids)
                written.said += len(self.request.ids)
            elif not self._choose_at_once():
                break
            else:
                return
        if len(written.ids) >= self.job.budget:
            written.done = written.cut = True

    def take(self, token: int) -> None:
        """A token that was asked for."""
        if token not in self.request.stop:
            self.put([token])
        self.go_on(token)

    def put(self, ids: Sequence[int]) -> None:
        written = self.job.written
        room = self.job.budget - len(written.ids)
        written.ids += ids[:room]
        for token in ids[:room]:
            if self.guess:
                hit = self.guess.ids[:1] == (token,)
                self.guess = replace(self.guess, ids=self.guess.ids[1:]) if hit else None
            if self.ahead and self.ahead[0][0] == token:
                self.logits = self.ahead.pop(0)[1]
                self.length, self.position = self.length + 1, self.position + 1
            else:
                self.ahead, self.looked = [], None
                self.feed.append(token)
        if len(ids) > room:
            written.done = written.cut = True

    def _choose_at_once(self) -> bool:
        """Choose, if nothing has to be fed for it."""
        if not isinstance(self.request, Select) or self.feed:
            return False
        trie = self.request.trie
        if self.looked and self.looked[0] is self.request and not self.ahead:
            inner = self.looked[1]
        elif not trie.fed:  # words of one token each
            inner = self.logits[:0]
        else:
            return False
        self.choose(inner)
        return True

    def choose(self, inner: torch.Tensor) -> None:
        """Choose a word by the logits behind the inner nodes [nodes, vocabulary]."""
        choice, ids = choose(self.request.trie, self.logits, inner, self.job.draw)
        self.put(ids)
        self.go_on(choice)

    @property
    def step(self) -> Step:
        """What the next forward brings: the row's own doing alone, whoever its neighbours are."""
        if self._step is None:
            self._step = self._plan()
        return self._step

    def _plan(self) -> Step:
        ids = self.feed[:LONGEST]
        if isinstance(self.request, Select):  # so what follows is a word, and no guess
            self.guess = None
        guessed, words = (self.guess.ids, self.guess.then) if self.guess else ((), self.request)
        words = words if isinstance(words, Select) else None
        nodes = words.trie.fed if words else ()
        beyond = self.feed and len(self.feed) + len(guessed) + len(nodes) > LONGEST
        if beyond or not (guessed or nodes):
            return Step(ids, list(range(len(ids))), tril(len(ids)), [len(ids) - 1])
        line = [*ids, *guessed]
        branches, depths, among = tree(words.trie) if nodes else ([], [], tril(0))
        seen = tril(len(line) + len(branches))
        seen[len(line) :, len(line) :] = among
        depths = [*range(len(line)), *(len(line) + depth for depth in depths)]
        first = max(len(ids) - 1, 0)
        return Step([*line, *branches], depths, seen, list(range(first, len(depths))), guessed, words)

    def was_fed(self, logits: torch.Tensor) -> None:
        """The step has been made; these are the logits that it wanted."""
        step, self._step, self.guess = self._step, None, None
        fed = min(len(self.feed), LONGEST)
        self.length, self.position = self.length + fed, self.position + fed
        self.feed = self.feed[fed:]
        if fed:
            self.logits, logits = logits[0], logits[1:]
        self.ahead = list(zip(step.guessed, logits, strict=False))
        self.looked = (step.words, logits[len(step.guessed) :]) if step.words else None
        self._choose_at_once()


def tril(n: int) -> torch.Tensor:
    """Which tokens of a chain each one sees."""
    return torch.ones(n, n, dtype=torch.bool).tril()


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
