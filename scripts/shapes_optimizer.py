"""An optimizer for the matrices of a small transformer: momentum, made orthogonal (Muon, K. Jordan 2024).

torch.optim.Muon does the same in bfloat16, which processors without bfloat16 arithmetic emulate at a crawl,
and does all of it in every process.
"""

from __future__ import annotations

import torch

A, B, C = 3.4445, -4.7750, 2.0315  # the quintic iteration of Muon
ROUNDS = 5


class Orthogonal(torch.optim.Optimizer):
    """Each step has the same size in every direction in which there is a gradient at all.

    In a process group the workers share the work: each one computes the steps of some matrices for all.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.rank, self.workers = 0, 1
        if torch.distributed.is_initialized():
            self.rank, self.workers = torch.distributed.get_rank(), torch.distributed.get_world_size()

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.Tensor]] = {}
            for p in (p for p in group["params"] if p.grad is not None):
                alike.setdefault(p.shape, []).append(p)
            for (rows, columns), same in alike.items():
                size = group["lr"] * max(1, rows / columns) ** 0.5
                for p, way in zip(same, self._ways(same, group["momentum"]), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(way, alpha=size)

    def _ways(self, same: list[torch.Tensor], momentum: float) -> torch.Tensor:
        """Where to go, for matrices of one shape."""
        pushes = torch.stack([self._push(p, momentum) for p in same])
        share = -(-len(same) // self.workers)
        mine = slice(self.rank * share, (self.rank + 1) * share)
        ways = torch.zeros_like(pushes)
        if len(pushes[mine]):
            ways[mine] = orthogonal(pushes[mine])
        if self.workers > 1:
            torch.distributed.all_reduce(ways)
        return ways

    def _push(self, p: torch.Tensor, momentum: float) -> torch.Tensor:
        held = self.state[p].setdefault("momentum", torch.zeros_like(p))
        held.lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(held, momentum)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """Matrices [n, rows, columns] with their singular values brought near 1."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = A * x + (B * square + C * square @ square) @ x
    return x.mT if tall else x
