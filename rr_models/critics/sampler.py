"""Sampling with a temperature, reproducible per answer."""

from __future__ import annotations

import hashlib

import torch


class Sampler:
    """Draws token indices from logits. Each answer has a generator of its own, so that neither the other
    answers of its batch nor torch's global state matter."""

    def __init__(self, temperature: float, seed: str):
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little", signed=True)
        self.temperature = temperature
        self.generator = torch.Generator().manual_seed(number)

    def __call__(self, logits: torch.Tensor) -> int:
        probabilities = torch.softmax(logits.float() / self.temperature, -1).cpu()
        return int(torch.multinomial(probabilities, 1, generator=self.generator))
