"""Sampling with a temperature, reproducible per answer and the same in any batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch


class Sampler:
    """How the tokens of one answer are drawn, and its own random numbers, so that neither the other answers
    of its batch nor torch's global state matter.

    `temperature` is above 0. `top_k` keeps the likeliest tokens only (0: all); `top_p` then keeps the fewest
    that together have this probability (1: all).
    """

    def __init__(self, temperature: float, seed: str, top_p: float = 1.0, top_k: int = 0):
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little", signed=True)
        self.temperature, self.top_p, self.top_k = temperature, top_p, top_k
        self.generator = torch.Generator().manual_seed(number)
        # of its own, so that measuring does not change what is sampled
        self._selecting = torch.Generator().manual_seed(number ^ 1)

    def uniform(self) -> float:
        """The next random number, from 0 to below 1. Each token takes one."""
        return float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def __call__(self, logits: torch.Tensor) -> int:
        """Select one of a few words by their `logits` [n]."""
        cumulative = torch.softmax(self.prepare(logits), -1).cumsum(-1)
        uniform = torch.rand((), generator=self._selecting, dtype=cumulative.dtype).to(logits.device)
        selected = torch.searchsorted(cumulative, uniform * cumulative[-1], right=True)
        return min(int(selected), len(logits) - 1)

    def prepare(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [vocabulary] at this temperature, without what top_k and top_p leave out."""
        logits = logits / self.temperature
        if not self.top_k and self.top_p >= 1:
            return logits
        highest, tokens = logits.topk(min(self.top_k or len(logits), len(logits)))
        probabilities = torch.softmax(highest, -1)
        before = probabilities.cumsum(-1) - probabilities
        kept = highest.where(before < self.top_p, -torch.inf)  # the likeliest always stays
        return torch.full_like(logits, -torch.inf).scatter(0, tokens, kept)


def draw(logits: torch.Tensor, samplers: Sequence[Sampler]) -> torch.Tensor:
    """One index per row of `logits` [rows, vocabulary], on their device and without waiting for it.

    Each row's random number is looked up in its cumulative probabilities.
    """
    prepared = [sampler.prepare(row) for row, sampler in zip(logits.float(), samplers, strict=True)]
    cumulative = torch.softmax(torch.stack(prepared), -1).cumsum(-1)
    uniform = torch.tensor([[sampler.uniform()] for sampler in samplers], dtype=cumulative.dtype)
    # of equal sums the last: a token of probability 0 is never drawn
    drawn = torch.searchsorted(cumulative, uniform.to(logits.device) * cumulative[:, -1:], right=True)[:, 0]
    return drawn.clamp(max=logits.shape[-1] - 1)
