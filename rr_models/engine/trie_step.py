"""A trie in one forward pass: what its tokens see, and what the logits after them say."""

from __future__ import annotations

import torch

from .program import Choice, Trie
from .sampler import Sampler


class NonFiniteLogits(ArithmeticError):
    """The model computes NaN or infinity, so none of its tokens mean anything."""


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


def measure(
    trie: Trie,
    root_logits: torch.Tensor,
    inner_logits: torch.Tensor,
    sampler: Sampler | None,
) -> Choice:
    """The probabilities of all words, and the word that constrained decoding would write token by token.

    `root_logits` [vocabulary] precede the words; `inner_logits` [nodes, vocabulary] follow each inner node.
    Raises NonFiniteLogits.
    """
    # in 64 bit: of 150,000 numbers in 32 bit, sums are wrong in the sixth digit
    logits = torch.cat([root_logits[None], inner_logits[: len(trie.fed)]]).double()
    probabilities = torch.softmax(logits, -1)
    if not torch.isfinite(probabilities).all():
        raise NonFiniteLogits
    probability, table, following = {0: 1.0}, {}, {}
    for index, row in zip([0, *trie.fed], probabilities, strict=True):
        node = trie.nodes[index]
        tokens = list(node.children)
        options = row[tokens]
        reach = probability[index]
        for child, share in zip(node.children.values(), options.tolist(), strict=True):
            probability[child] = reach * share
        if node.word is not None:  # a prefix of other words: ends here if the model writes anything else
            others = row.clone()
            others[[*tokens, *trie.continues]] = 0.0
            ending = others.sum()
            table[node.word] = reach * float(ending)
            end = ending if sampler else others.max()
            options = torch.cat([options, end[None]])
        pick = sampler(options.log()) if sampler and len(options) > 1 else int(options.argmax())
        following[index] = [*node.children.values(), -1][pick]
    for index, node in enumerate(trie.nodes):
        if node.word is not None and not node.children:
            table[node.word] = probability[index]
    index = 0
    while (onward := following.get(index, -1)) >= 0:
        index = onward
    word = trie.nodes[index].word
    assert word is not None
    return Choice(word, trie.words[word], table)
