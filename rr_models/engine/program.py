"""What a row may write, as requests that a script (a generator) yields and the loop fulfils.

A script says fixed tokens, asks for the model's next one, or lets it choose among words. It is sent a token
for Ask, a Choice for Choose and nothing for Say and Guess; what was asked for or chosen has been written by
then, but for tokens at which the Ask stops. When the script ends, the row is done. A script knows nothing of
tensors, the loop nothing of what is written.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Force:
    """Write these tokens."""

    ids: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """Let the model write one token: any but the `banned`, or if `only` is given, one of those. A token of
    `stop` is told to the script, but not written. Ask with the same object again and again: the loop keeps
    what it works out for one."""

    banned: tuple[int, ...] = ()
    only: tuple[int, ...] = ()
    stop: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Select:
    """Let the model write one of the trie's words, and tell how likely each of them was."""

    trie: Trie


@dataclass(frozen=True)
class Draft:
    """These tokens will probably follow, and behind them the choice. Changes nothing of what is written; what
    was guessed rightly takes no forward of its own."""

    ids: tuple[int, ...]
    then: Select | None = None


@dataclass(frozen=True)
class Choice:
    """`word` as chosen; `table` has the probability of every word there was to choose from. They sum up to
    less than 1 by what the model would rather have written instead."""

    word: str
    table: Mapping[str, float]


Request = Force | Sample | Select | Draft
Program = Generator[Request, "int | Choice | None", None]


@dataclass
class _Node:
    token: int
    parent: int  # its place in Trie.nodes
    children: dict[int, int] = field(default_factory=dict)  # token -> place
    word: str | None = None


class Trie:
    """Words as token ids, laid out as a tree so that one forward sees all of them.

    No word may be the beginning of another. `fed` are the places of the nodes that have to be fed to the
    model, in an order in which parents come first: all but the root, whose logits are there already, and the
    leaves, behind which nothing is asked.
    """

    def __init__(self, words: Mapping[str, tuple[int, ...]]):
        self.nodes = [_Node(-1, -1)]
        for word, ids in words.items():
            at = 0
            for token in ids:
                if token not in self.nodes[at].children:
                    self.nodes[at].children[token] = len(self.nodes)
                    self.nodes.append(_Node(token, at))
                at = self.nodes[at].children[token]
            if self.nodes[at].word is not None:
                raise ValueError(f"{word!r} and {self.nodes[at].word!r} have the same tokens.")
            self.nodes[at].word = word
        self.fed = [i for i, node in enumerate(self.nodes) if i and node.children]
        self.words = dict(words)
        if not words or any((node.word is None) == (not node.children) for node in self.nodes):
            raise ValueError("A choice needs words, none of them empty or the beginning of another.")
