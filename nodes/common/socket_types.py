"""The pack's own socket types."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "RationalRewards"

CriticSocket = io.Custom("RATIONAL_REWARDS_CRITIC")
"""A critic: rr_models.critics.base.Critic."""
CritiqueSocket = io.Custom("RATIONAL_REWARDS_CRITIQUE")
"""One critique per image of a batch: tuple[rr_models.judgement.critique.Critique, ...]."""
VerdictSocket = io.Custom("RATIONAL_REWARDS_VERDICT")
"""One comparison of two images: rr_models.judgement.verdict.Verdict."""
LoopSocket = io.Custom("RATIONAL_REWARDS_LOOP")
"""The context of a refine loop: nodes.common.loop_context.LoopContext."""
HistorySocket = io.Custom("RATIONAL_REWARDS_HISTORY")
"""All rounds of a refine loop: rr_models.loop.state.State."""


def number(score: float | None) -> float:
    """A score for a number socket: NaN if there is none, because any number would look like a score."""
    return float("nan") if score is None else score
