"""Muon (K. Jordan 2024) for the weight matrices of a small transformer: momentum, orthogonalised.

torch.optim.Muon does the same in bfloat16, which is very slow on CPUs without bfloat16 arithmetic, and does
all of the work in every process.
"""

from __future__ import annotations

from typing import Any

import torch

A, B, C = 3.4445, -4.7750, 2.0315  # coefficients of Muon's quintic Newton-Schulz iteration
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Every step has the same size in all directions that have a gradient at all.

    In a process group the workers share the work: each computes the updates of some matrices for all.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.rank, self.workers = 0, 1
        if torch.distributed.is_initialized():
            self.rank, self.workers = torch.distributed.get_rank(), torch.distributed.get_world_size()

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for p in (p for p in group["params"] if p.grad is not None):
                by_shape.setdefault(p.shape, []).append(p)
            for (rows, columns), matrices in by_shape.items():
                size = group["lr"] * max(1, rows / columns) ** 0.5
                for p, update in zip(matrices, self._updates(matrices, group["momentum"]), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=size)

    def _updates(self, matrices: list[torch.Tensor], momentum: float) -> torch.Tensor:
        """The updates [n, rows, columns] of n matrices of one shape."""
        gradients = torch.stack([self._with_momentum(p, momentum) for p in matrices])
        share = -(-len(matrices) // self.workers)
        own = slice(self.rank * share, (self.rank + 1) * share)
        updates = torch.zeros_like(gradients)
        if len(gradients[own]):
            updates[own] = orthogonalize(gradients[own])
        if self.workers > 1:
            torch.distributed.all_reduce(updates)
        return updates

    def _with_momentum(self, p: torch.Tensor, momentum: float) -> torch.Tensor:
        assert p.grad is not None
        buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
        buffer.lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(buffer, momentum)


def orthogonalize(x: torch.Tensor) -> torch.Tensor:
    """Matrices [n, rows, columns] with their singular values brought close to 1."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x.mT if tall else x
