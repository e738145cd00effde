"""What one sequence may write, as a program: a generator of instructions that the scheduler carries out.

A program forces fixed tokens, samples the model's next token, measures the probability of several words, or
takes tokens back. The scheduler sends back a token for Sample, a Choice for Measure and nothing for the
others. By then the tokens of Force and Sample are part of the sequence, except a token of `Sample.stop`. The
sequence is finished when the program returns. Programs know nothing of tensors, and the scheduler nothing of
what the tokens mean.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Force:
    """Append these tokens."""

    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """Let the model write one token: any except the `banned`.

    A token of `stop` is sent to the program but not appended. Reuse one object for equal instructions: the
    scheduler caches the logit mask of each.
    """

    banned: tuple[int, ...] = ()
    stop: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Measure:
    """Report the probability of each of the trie's words here. Nothing is written.

    Tokens sampled or forced next cost no forward pass for as long as they follow the trie.
    """

    trie: Trie


@dataclass(frozen=True)
class Draft:
    """Guess the next tokens, and optionally a Measure after them (speculative decoding).

    A draft never changes what is written; every token of it that proves right saves a forward pass.
    """

    ids: tuple[int, ...]
    then: Measure | None = None


@dataclass(frozen=True)
class Rollback:
    """Take back all tokens of the answer after the first `length`."""

    length: int


@dataclass(frozen=True)
class Choice:
    """In `table` the probability of every word on offer; `word` is the one that constrained decoding writes,
    `ids` are its tokens.

    The probabilities sum to less than 1 by what the model would have put on any other text.
    """

    word: str
    ids: tuple[int, ...]
    table: Mapping[str, float]


Instruction = Force | Sample | Measure | Draft | Rollback
Program = Generator[Instruction, "int | Choice | None", None]


@dataclass
class Node:
    """One token of a trie; `parent` and `children` (by token) are indices in Trie.nodes."""

    token: int
    parent: int
    children: dict[int, int] = field(default_factory=dict)
    word: str | None = None


class Trie:
    """Words as token ids, arranged as a tree so that one forward pass measures all of them.

    A word may be a prefix of others ("3" of "3.5"). It is then written if the model continues with none of
    their tokens, nor with one of `continues`, which would make it another word that is not on offer ("35").
    `fed` lists the indices of the nodes that must be fed to the model, parents first: all except the root,
    whose logits are known already, and the leaves, which have no successors to measure.
    """

    def __init__(self, words: Mapping[str, tuple[int, ...]], continues: Collection[int] = ()):
        self.nodes = [Node(-1, -1)]
        for word, ids in words.items():
            index = 0
            for token in ids:
                if token not in self.nodes[index].children:
                    self.nodes[index].children[token] = len(self.nodes)
                    self.nodes.append(Node(token, index))
                index = self.nodes[index].children[token]
            if not index or self.nodes[index].word is not None:
                raise ValueError(f"The tokens of {word!r} are those of {self.nodes[index].word!r} or none.")
            self.nodes[index].word = word
        if not words:
            raise ValueError("A trie needs at least one word.")
        self.fed = [index for index, node in enumerate(self.nodes) if index and node.children]
        self.words = dict(words)
        self.continues = frozenset(continues)
