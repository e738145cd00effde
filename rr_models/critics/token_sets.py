"""What constrained decoding must know of a tokenizer: the tokens that end answers, lines and texts, and every
score as token ids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from ..engine.program import Measure, Sample, Trie
from ..engine.sequence import MAX_STEP_TOKENS
from ..judgement.answer_format import NOT_APPLICABLE_TEXTS

_MAX_NODES = MAX_STEP_TOKENS - 16  # of a trie, so that a heading before it fits into the same step


class TokenSets:
    """The tokens of one tokenizer. `eos` are those that end an answer."""

    def __init__(self, tokenizer, eos: Sequence[int]):
        self.tokenizer = tokenizer
        self.encode = lru_cache(4096)(lambda text: tuple(tokenizer(text, add_special_tokens=False).input_ids))
        self.decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
        self.text = lru_cache(None)(lambda token: self.decode([token]))
        self.eos = frozenset(eos)
        added = tokenizer.get_added_vocab()
        thinking = {added[tag] for tag in ("<think>", "</think>") if tag in added}
        banned = tuple(sorted(set(added.values()) - self.eos - thinking))
        vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        heading_starts = {token for token, text in enumerate(vocabulary) if text and text.startswith("#")}
        self.unconstrained = Sample(stop=self.eos)
        self.any_text = Sample(banned, stop=self.eos)
        self.no_heading = Sample(banned, stop=self.eos | heading_starts)
        self.ending = Measure(Trie({str(token): (token,) for token in self.eos}))
        self.newline = self.encode("\n")
        self._digits = [ids[-1] for ids in map(self.encode, "0123456789")]
        self.measure = lru_cache(64)(self._measure)

    def _measure(self, scale: tuple[float, float], optional: bool, blank: bool) -> Measure | None:
        """The scores of a scale that an answer may go on with, and N/A if the aspect is `optional`; after a
        `blank` or not. Whole numbers, tenths and hundredths as far as one step can measure them; None if it
        cannot even measure the whole numbers."""
        prefix = " " if blank else ""
        for decimals in (2, 1, 0):
            words = [*score_words(scale, decimals), *(NOT_APPLICABLE_TEXTS if optional else ())]
            trie = Trie({word: self.encode(prefix + word) for word in words}, self._digits) if words else None
            if trie and len(trie.fed) <= _MAX_NODES:
                return Measure(trie)
        return None


def score_words(scale: tuple[float, float], decimals: int) -> list[str]:
    """All scores of a scale as a critic may write them: "3", "3.", "3.5" and "3.25", with at most so many
    decimals."""
    worst, best = scale
    words = []
    for places in range(decimals + 1):
        step = 10**places
        first, last = math.ceil(worst * step - 1e-6), math.floor(best * step + 1e-6)
        if last - first > 1000:
            break  # more than any step can measure
        for number in range(first, last + 1):
            word = f"{number / step:.{places}f}"
            words += [word, f"{word}."] if not places and decimals else [word]
    return words
