"""What one sequence may write, as a program: a generator of instructions that the scheduler carries out.

A program forces fixed tokens, samples the model's next token, or lets the model select one of several words.
The scheduler sends back a token for Sample, a Choice for Select and nothing for Force and Draft. By then the
token or word is part of the sequence, except a token of `Sample.stop`. The sequence is finished when the
program returns. Programs know nothing of tensors, and the scheduler nothing of what the tokens mean.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Force:
    """Append these tokens."""

    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """Let the model write one token: any except the `banned`, or, if `only` is given, one of those.

    A token of `stop` is sent to the program but not appended. Reuse one object for equal instructions: the
    scheduler caches the logit mask of each.
    """

    banned: tuple[int, ...] = ()
    only: tuple[int, ...] = ()
    stop: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Select:
    """Let the model write one of the trie's words, and report the probability of each of them."""

    trie: Trie


@dataclass(frozen=True)
class Draft:
    """Guess the next tokens, and optionally the Select after them (speculative decoding).

    A draft never changes what is written; every token of it that proves right saves a forward pass.
    """

    ids: tuple[int, ...]
    then: Select | None = None


@dataclass(frozen=True)
class Choice:
    """The selected `word`, and in `table` the probability of every word on offer.

    The probabilities sum to less than 1 by what the model would have put on any other text.
    """

    word: str
    table: Mapping[str, float]


Instruction = Force | Sample | Select | Draft
Program = Generator[Instruction, "int | Choice | None", None]


@dataclass
class _Node:
    token: int
    parent: int  # index in Trie.nodes
    children: dict[int, int] = field(default_factory=dict)  # token -> index
    word: str | None = None


class Trie:
    """Words as token ids, arranged as a tree so that one forward pass scores all of them.

    No word may be a prefix of another. `fed` lists the indices of the nodes that must be fed to the model,
    parents first: all except the root, whose logits are known already, and the leaves, which have no
    successors to score.
    """

    def __init__(self, words: Mapping[str, tuple[int, ...]]):
        self.nodes = [_Node(-1, -1)]
        for word, ids in words.items():
            index = 0
            for token in ids:
                if token not in self.nodes[index].children:
                    self.nodes[index].children[token] = len(self.nodes)
                    self.nodes.append(_Node(token, index))
                index = self.nodes[index].children[token]
            if self.nodes[index].word is not None:
                raise ValueError(f"{word!r} and {self.nodes[index].word!r} have the same tokens.")
            self.nodes[index].word = word
        self.fed = [index for index, node in enumerate(self.nodes) if index and node.children]
        self.words = dict(words)
        if not words or any((node.word is None) == (not node.children) for node in self.nodes):
            raise ValueError("Select needs at least one word; no word may be empty or a prefix of another.")
