"""State of one sequence: its request, generated tokens, pending tokens and drafts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import GeneratorType
from typing import cast

import torch

from .kv_cache import cache_width
from .program import Choice, Draft, Force, Instruction, Program, Sample, Select, Trie

MAX_STEP_TOKENS = 48
"""Tokens that one sequence may feed in one forward pass; longer runs of tokens take several passes."""


Tokens = list[int] | tuple[int, ...]


class NonFiniteLogits(ArithmeticError):
    """The model computes NaN or infinity, so none of its tokens mean anything."""


@dataclass
class Prompt:
    """Tokens that precede an answer.

    `positions` [3, n] are the rotary positions in time, height and width; `is_image` [n] marks image tokens.
    `image_features` are the vision tower's outputs for those, [image tokens, hidden] each: first their
    embeddings, then what each of the first layers adds. The first `prefix_tokens` tokens are the same in all
    prompts with an equal `prefix_key`; such a prefix is computed once for neighbouring requests.
    """

    token_ids: list[int]
    positions: torch.Tensor
    is_image: torch.Tensor
    image_features: list[torch.Tensor]
    prefix_tokens: int = 0
    prefix_key: object = None

    def extended(self, token_ids: Tokens) -> Prompt:
        """This prompt with text tokens appended."""
        start, added = int(self.positions[:, -1].max()) + 1, len(token_ids)
        return replace(
            self,
            token_ids=[*self.token_ids, *token_ids],
            positions=torch.cat([self.positions, torch.arange(start, start + added).expand(3, -1)], 1),
            is_image=torch.cat([self.is_image, torch.zeros(added, dtype=torch.bool)]),
        )


@dataclass
class Completion:
    """What a request has produced so far.

    `forced_tokens` counts the tokens that came from Force; `forwards` counts the forward passes after the
    prompt that the sequence took part in; `truncated` says that the token limit cut it off.
    """

    token_ids: list[int] = field(default_factory=list)
    forced_tokens: int = 0
    forwards: int = 0
    truncated: bool = False
    finished: bool = False


@dataclass
class Request:
    """One answer to generate: a program to run after a prompt, for at most `max_new_tokens` tokens.

    `prompt_tokens` is the length of the prompt, known before `prompt()` computes it. `sampler` picks an index
    from logits [n]; the default is the highest.
    """

    prompt: Callable[[], Prompt]
    program: Callable[[], Program]
    prompt_tokens: int
    max_new_tokens: int
    sampler: Callable[[torch.Tensor], int] | None = None
    completion: Completion = field(default_factory=Completion)

    @property
    def cache_width(self) -> int:
        """Columns of the cache that the sequence needs."""
        return cache_width(self.prompt_tokens, self.max_new_tokens)


# the method is not called by its name, which registries' scanners take for network use
_resume = cast(Callable[[Program, "int | Choice | None"], Instruction], GeneratorType.send)


@dataclass
class Step:
    """What one sequence feeds to the next forward pass.

    `depths` are the tokens' positions after the last cached token, `visible` [n, n] says which of the fed
    tokens each one attends to, and `wanted` lists the tokens whose logits are needed. The last tokens may be
    a draft, followed by the inner nodes of the trie of `select`.
    """

    token_ids: list[int]
    depths: list[int]
    visible: torch.Tensor
    wanted: list[int]
    draft: tuple[int, ...] = ()
    select: Select | None = None

    @property
    def is_chain(self) -> bool:
        """Whether the tokens simply follow each other and only the last one's logits are needed."""
        return not self.draft and not self.select


class Sequence:
    """A request that occupies a row of the cache. `logits` follow its last cached token."""

    def __init__(self, row: int, request: Request, cached: int, position: int, logits: torch.Tensor):
        self.row, self.request = row, request
        self.cached, self.position = cached, position  # tokens in the cache; rotary position of the next
        self.program = request.program()
        request.completion = Completion()  # an earlier attempt may have run out of memory
        self.pending: list[int] = []  # written, but not in the cache yet
        self.logits = logits
        self.instruction: Instruction | None = None
        self.draft: Draft | None = None  # goes into the next step
        self.drafted: list[tuple[int, torch.Tensor]] = []  # draft tokens in the cache, each with its logits
        self.lookahead: tuple[Select, torch.Tensor] | None = None  # a Select's logits, after all of `drafted`
        self._step: Step | None = None
        self.advance()

    @property
    def finished(self) -> bool:
        return self.request.completion.finished

    def advance(self, reply: int | Choice | None = None) -> None:
        """Run the program until it needs the model, returns, or is truncated."""
        completion = self.request.completion
        while not completion.finished:
            try:
                self.instruction = _resume(self.program, reply)
            except StopIteration:
                completion.finished = True
                return
            reply = None
            if isinstance(self.instruction, Draft):
                self.draft = self.instruction
            elif isinstance(self.instruction, Force):
                self.append(self.instruction.ids)
                completion.forced_tokens += len(self.instruction.ids)
            elif not self._select_now():
                break
            else:
                return
        if len(completion.token_ids) >= self.request.max_new_tokens:
            completion.finished = completion.truncated = True

    def sampled(self, token: int) -> None:
        """Take the token for the pending Sample."""
        assert isinstance(self.instruction, Sample)
        if token not in self.instruction.stop:
            self.append([token])
        self.advance(token)

    def append(self, token_ids: Tokens) -> None:
        """Write tokens; those that were drafted rightly are in the cache already."""
        completion = self.request.completion
        space = self.request.max_new_tokens - len(completion.token_ids)
        completion.token_ids += token_ids[:space]
        for token in token_ids[:space]:
            if self.draft:
                right = self.draft.ids[:1] == (token,)
                self.draft = replace(self.draft, ids=self.draft.ids[1:]) if right else None
            if self.drafted and self.drafted[0][0] == token:
                self.logits = self.drafted.pop(0)[1]
                self.cached, self.position = self.cached + 1, self.position + 1
            else:
                self.drafted, self.lookahead = [], None
                self.pending.append(token)
        if len(token_ids) > space:
            completion.finished = completion.truncated = True

    def _select_now(self) -> bool:
        """Carry out a Select if all its logits are known."""
        if not isinstance(self.instruction, Select) or self.pending:
            return False
        trie = self.instruction.trie
        if self.lookahead and self.lookahead[0] is self.instruction and not self.drafted:
            inner_logits = self.lookahead[1]
        elif not trie.fed:  # words of one token each
            inner_logits = self.logits[:0]
        else:
            return False
        choice, token_ids = select(trie, self.logits, inner_logits, self.request.sampler)
        self.append(token_ids)
        self.advance(choice)
        return True

    @property
    def step(self) -> Step:
        """What to feed next. Depends on this sequence alone, never on its neighbours."""
        if self._step is None:
            self._step = self._plan()
        return self._step

    def _plan(self) -> Step:
        token_ids = self.pending[:MAX_STEP_TOKENS]
        if isinstance(self.instruction, Select):  # a word comes next, so a draft of other tokens is wrong
            self.draft = None
        draft, upcoming = (self.draft.ids, self.draft.then) if self.draft else ((), self.instruction)
        upcoming = upcoming if isinstance(upcoming, Select) else None
        nodes = upcoming.trie.fed if upcoming else ()
        too_long = self.pending and len(self.pending) + len(draft) + len(nodes) > MAX_STEP_TOKENS
        if too_long or not (draft or nodes):
            count = len(token_ids)
            return Step(token_ids, list(range(count)), causal(count), [count - 1])
        chain = [*token_ids, *draft]
        branches, branch_depths, branch_visible = tree(upcoming.trie) if upcoming else ([], [], causal(0))
        visible = causal(len(chain) + len(branches))
        visible[len(chain) :, len(chain) :] = branch_visible
        depths = [*range(len(chain)), *(len(chain) + depth for depth in branch_depths)]
        first_wanted = max(len(token_ids) - 1, 0)
        wanted = list(range(first_wanted, len(depths)))
        return Step([*chain, *branches], depths, visible, wanted, draft, upcoming)

    def step_done(self, logits: torch.Tensor) -> None:
        """Take the logits that the step wanted, [wanted, vocabulary]."""
        step, self._step, self.draft = self.step, None, None
        fed = min(len(self.pending), MAX_STEP_TOKENS)
        self.cached, self.position = self.cached + fed, self.position + fed
        self.pending = self.pending[fed:]
        if fed:
            self.logits, logits = logits[0], logits[1:]
        self.drafted = list(zip(step.draft, logits, strict=False))
        self.lookahead = (step.select, logits[len(step.draft) :]) if step.select else None
        self._select_now()


def causal(count: int) -> torch.Tensor:
    """[count, count]: which tokens of a chain each one attends to."""
    return torch.ones(count, count, dtype=torch.bool).tril()


def tree(trie: Trie) -> tuple[list[int], list[int], torch.Tensor]:
    """Token ids, depths and visibility [n, n] of a trie's inner nodes: each sees itself and its ancestors."""
    index_of = {node: index for index, node in enumerate(trie.fed)}
    visible = torch.eye(len(trie.fed), dtype=torch.bool)
    depths = [0] * len(trie.fed)
    for index, node in enumerate(trie.fed):
        parent = trie.nodes[node].parent
        if parent:
            visible[index] |= visible[index_of[parent]]
            depths[index] = depths[index_of[parent]] + 1
    return [trie.nodes[node].token for node in trie.fed], depths, visible


def select(
    trie: Trie,
    root_logits: torch.Tensor,
    inner_logits: torch.Tensor,
    sampler: Callable[[torch.Tensor], int] | None,
) -> tuple[Choice, list[int]]:
    """The word that constrained decoding would write token by token, its ids, and all words' probabilities.

    `root_logits` [vocabulary] precede the words; `inner_logits` [nodes, vocabulary] follow each inner node.
    Raises NonFiniteLogits.
    """
    nodes = [0, *trie.fed]
    logits = torch.cat([root_logits[None], inner_logits[: len(trie.fed)]])
    log_probabilities = torch.log_softmax(logits, -1)
    if not torch.isfinite(log_probabilities).all():
        raise NonFiniteLogits
    probability, picked = {0: 1.0}, {}
    for node, node_logits, node_log_probabilities in zip(nodes, logits, log_probabilities, strict=True):
        children = trie.nodes[node].children
        tokens = list(children)
        conditional = node_log_probabilities[tokens].exp().tolist()
        probability |= {
            child: probability[node] * p for child, p in zip(children.values(), conditional, strict=True)
        }
        scores = node_logits[tokens]
        index = sampler(scores) if sampler and len(children) > 1 else int(scores.argmax())
        picked[node] = list(children.values())[index]
    table = {node.word: probability[index] for index, node in enumerate(trie.nodes) if node.word is not None}
    node = picked[0]
    while node in picked:
        node = picked[node]
    word = trie.nodes[node].word
    return Choice(word, table), list(trie.words[word])
