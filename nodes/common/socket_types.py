"""The pack's own socket types, and what its nodes share: cutting batches and counting them."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "RationalRewards"

CriticSocket = io.Custom("RATIONAL_REWARDS_CRITIC")
"""A critic that judges images; see rr_models/critics/base.py."""
CritiqueSocket = io.Custom("RATIONAL_REWARDS_CRITIQUE")
"""One critique per picture of a batch: tuple[Critique, ...]."""
VerdictSocket = io.Custom("RATIONAL_REWARDS_VERDICT")
"""One comparison of two pictures: rr_models.verdict.Verdict."""
LoopSocket = io.Custom("RATIONAL_REWARDS_LOOP")
"""Where a refine loop stands: nodes.loop_parts.Carried."""
HistorySocket = io.Custom("RATIONAL_REWARDS_HISTORY")
"""All rounds of a finished refine loop: rr_models.loop_state.State."""


def number(score: float | None) -> float:
    """A score for a number socket: NaN where there is none, since any number would be taken for a score."""
    return float("nan") if score is None else score
