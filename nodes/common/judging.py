"""Judge candidates, as Critique Image and the nodes of a refine loop do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...rr_models.critics import judging
from ...rr_models.critics.base import Critic
from ...rr_models.judgement.verdict import Verdict
from . import display
from .candidates import Candidates, as_candidates
from .critique_cache import cached


@dataclass(frozen=True, eq=False)
class ComparedImages:
    """The images A and B [1, H, W, C], those before an edit [H, W, C], and the comparison."""

    verdict: Verdict
    images: tuple[torch.Tensor, torch.Tensor]
    sources: tuple[torch.Tensor, ...] = ()


def judge(
    critic: Critic,
    image: torch.Tensor | Candidates,
    request: str,
    sources: Sequence[torch.Tensor] = (),
    use_cache: bool = True,
    **options: Any,
) -> Candidates:
    """The candidates with their critiques. A critic that fails gives incomplete critiques, which say why; so
    a loop can still return its best image. `options` are those of rr_models.critics.judging.critique."""
    candidates = as_candidates(image)
    critiques = judging.try_critique(
        cached(critic, use_cache),
        [candidate.pixels[0] for candidate in candidates],
        request,
        sources,
        on_progress=display.live_progress(critic),
        **options,
    )
    return tuple(
        replace(candidate, critique=critique, sources=tuple(sources))
        for candidate, critique in zip(candidates, critiques, strict=True)
    )


def compare(
    critic: Critic,
    images: tuple[torch.Tensor, torch.Tensor],
    request: str,
    sources: Sequence[torch.Tensor] = (),
    use_cache: bool = True,
    **options: Any,
) -> ComparedImages:
    """A and B [1, H, W, C] with their comparison. `options` are those of
    rr_models.critics.judging.compare."""
    verdict = judging.compare(
        cached(critic, use_cache),
        images[0][0],
        images[1][0],
        request,
        sources,
        on_progress=display.live_progress(critic),
        **options,
    )
    return ComparedImages(verdict, images, tuple(sources))
