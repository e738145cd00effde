"""State of one sequence: its request, generated tokens, pending tokens and drafts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import GeneratorType
from typing import cast

import torch

from .kv_cache import cache_width
from .program import Choice, Draft, Force, Instruction, Measure, Program, Rollback, Sample, Trie
from .sampler import Sampler
from .trie_step import causal, measure, tree

MAX_STEP_TOKENS = 64
"""Tokens that one sequence may feed in one forward pass; longer runs of tokens take several passes."""


Tokens = list[int] | tuple[int, ...]


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

    `forced` says of each token whether it came from Force; `forwards` counts the forward passes after the
    prompt that the sequence took part in; `truncated` says that the token limit cut it off.
    """

    token_ids: list[int] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    forwards: int = 0
    truncated: bool = False
    finished: bool = False

    @property
    def forced_tokens(self) -> int:
        """How many of the tokens came from Force."""
        return sum(self.forced)


@dataclass
class Request:
    """One answer to generate: a program to run after a prompt, for at most `max_new_tokens` tokens.

    `prompt_tokens` is the length of the prompt, known before `prompt()` computes it. `sampler` draws
    the tokens; without one the likeliest is taken.
    """

    prompt: Callable[[], Prompt]
    program: Callable[[], Program]
    prompt_tokens: int
    max_new_tokens: int
    sampler: Sampler | None = None
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
    a draft, followed by the inner nodes of `trie`.
    """

    token_ids: list[int]
    depths: list[int]
    visible: torch.Tensor
    wanted: list[int]
    draft: tuple[int, ...] = ()
    trie: Trie | None = None

    @property
    def is_chain(self) -> bool:
        """Whether the tokens simply follow each other and only the last one's logits are needed."""
        return not self.draft and not self.trie


@dataclass
class Lookahead:
    """The logits of a trie's inner nodes, [nodes, vocabulary], and the node that has been written so far."""

    trie: Trie
    logits: torch.Tensor
    node: int = 0

    def follow(self, token: int) -> bool:
        """Go on to the node of `token`; False if the trie has none here."""
        child = self.trie.nodes[self.node].children.get(token)
        if child is None:
            return False
        self.node = child
        return True

    def node_logits(self) -> torch.Tensor | None:
        """What follows the present node; None for a leaf, and before the first token."""
        return self.logits[self.trie.fed.index(self.node)] if self.node in self.trie.fed else None


class Sequence:
    """A request that occupies a row of the cache. `logits` follow its last token, None until they are
    computed."""

    def __init__(self, row: int, request: Request, prompt: Prompt, logits: torch.Tensor):
        self.row, self.request = row, request
        self.prompt_ids = prompt.token_ids
        self.cached = len(prompt.token_ids)  # tokens in the cache
        self.position = int(prompt.positions[:, -1].max()) + 1  # rotary position of the next one
        self.program = request.program()
        request.completion = Completion()  # an earlier attempt may have run out of memory
        self.pending: list[int] = []  # written, but not in the cache yet
        self.logits: torch.Tensor | None = logits
        self.instruction: Instruction | None = None
        self.draft: Draft | None = None  # goes into the next step
        self.drafted: list[tuple[int, torch.Tensor]] = []  # draft tokens in the cache, each with its logits
        self.lookahead: Lookahead | None = None  # after all of `drafted`
        self._step: Step | None = None
        self.advance()

    @property
    def finished(self) -> bool:
        return self.request.completion.finished

    @property
    def samples(self) -> bool:
        """Whether a Sample can be carried out now."""
        return isinstance(self.instruction, Sample) and self.logits is not None and not self.finished

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
                self.append(self.instruction.ids, forced=True)
            elif isinstance(self.instruction, Rollback):
                self._roll_back(self.instruction.length)
            elif isinstance(self.instruction, Sample):
                break
            elif (reply := self._measured()) is None:
                return
        if len(completion.token_ids) >= self.request.max_new_tokens:
            completion.finished = completion.truncated = True

    def sampled(self, token: int) -> None:
        """Take the token for the pending Sample."""
        assert isinstance(self.instruction, Sample)
        if token not in self.instruction.stop:
            self.append([token])
        self.advance(token)

    def append(self, token_ids: Tokens, forced: bool = False) -> None:
        """Write tokens; those that were drafted rightly are in the cache already."""
        completion = self.request.completion
        space = self.request.max_new_tokens - len(completion.token_ids)
        completion.token_ids += token_ids[:space]
        completion.forced += [forced] * len(token_ids[:space])
        for token in token_ids[:space]:
            if self.draft:
                right = self.draft.ids[:1] == (token,)
                self.draft = replace(self.draft, ids=self.draft.ids[1:]) if right else None
            if self.drafted and self.drafted[0][0] == token:
                self.logits = self.drafted.pop(0)[1]
                self.cached, self.position = self.cached + 1, self.position + 1
                continue
            self.pending.append(token)
            if not self.drafted and self.lookahead and self.lookahead.follow(token):
                self.logits = self.lookahead.node_logits()
            else:
                self.drafted, self.lookahead, self.logits = [], None, None
        if len(token_ids) > space:
            completion.finished = completion.truncated = True

    def _roll_back(self, length: int) -> None:
        """Take back all tokens after the first `length`. The last one that stays is fed once more, for its
        logits; what lies behind it in the cache will be overwritten, and until then no mask shows it."""
        completion = self.request.completion
        if length >= len(completion.token_ids):
            return
        del completion.token_ids[length:], completion.forced[length:]
        kept = [*self.prompt_ids[-1:], *completion.token_ids]
        total = len(self.prompt_ids) + length
        cached = min(self.cached, total - 1)
        self.pending = kept[cached - total :]
        self.position -= self.cached - cached
        self.cached = cached
        self.draft, self.drafted, self.lookahead, self.logits, self._step = None, [], None, None, None

    def _measured(self) -> Choice | None:
        """The reply to a Measure, if all its logits are known."""
        assert isinstance(self.instruction, Measure)
        trie, lookahead = self.instruction.trie, self.lookahead
        if self.logits is None:
            return None
        if not trie.fed:  # words of one token each
            inner_logits = self.logits[:0]
        elif lookahead and lookahead.trie is trie and not lookahead.node and not self.drafted:
            inner_logits = lookahead.logits
        else:
            return None
        return measure(trie, self.logits, inner_logits, self.request.sampler)

    @property
    def step(self) -> Step:
        """What to feed next. Depends on this sequence alone, never on its neighbours."""
        if self._step is None:
            self._step = self._plan()
        return self._step

    def _plan(self) -> Step:
        token_ids = self.pending[:MAX_STEP_TOKENS]
        if isinstance(self.instruction, Measure):  # comes next, so a draft is of no use
            self.draft = Draft((), self.instruction)
        draft, trie = self.draft.ids if self.draft else (), None
        if self.draft and self.draft.then:
            trie = self.draft.then.trie
        nodes = trie.fed if trie else ()
        too_long = self.pending and len(self.pending) + len(draft) + len(nodes) > MAX_STEP_TOKENS
        if too_long or not (draft or nodes):
            count = len(token_ids)
            return Step(token_ids, list(range(count)), causal(count), [count - 1])
        chain = [*token_ids, *draft]
        branches, branch_depths, branch_visible = tree(trie) if trie else ([], [], causal(0))
        visible = causal(len(chain) + len(branches))
        visible[len(chain) :, len(chain) :] = branch_visible
        depths = [*range(len(chain)), *(len(chain) + depth for depth in branch_depths)]
        first_wanted = max(len(token_ids) - 1, 0)
        wanted = list(range(first_wanted, len(depths)))
        return Step([*chain, *branches], depths, visible, wanted, draft, trie)

    def step_done(self, logits: torch.Tensor) -> None:
        """Take the logits that the step wanted, [wanted, vocabulary]."""
        step, self._step, self.draft = self.step, None, None
        fed = min(len(self.pending), MAX_STEP_TOKENS)
        self.cached, self.position = self.cached + fed, self.position + fed
        self.pending = self.pending[fed:]
        if fed:
            self.logits = None if self.pending else logits[0]
            logits = logits[1:]
        self.drafted = list(zip(step.draft, logits, strict=False))
        self.lookahead = Lookahead(step.trie, logits[len(step.draft) :]) if step.trie else None
        if isinstance(self.instruction, Measure) and (choice := self._measured()):
            self.advance(choice)
