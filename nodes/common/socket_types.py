"""The pack's own socket types."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "RationalRewards"

CriticSocket = io.Custom("RATIONAL_REWARDS_CRITIC")
"""A critic: rr_models.critics.base.Critic."""
CandidatesSocket = io.Custom("RATIONAL_REWARDS_CANDIDATES")
"""Images with their critiques and all that belongs to them: nodes.common.candidates.Candidates."""
VerdictSocket = io.Custom("RATIONAL_REWARDS_VERDICT")
"""Two images and their comparison: nodes.common.judging.ComparedImages."""
LoopSocket = io.Custom("RATIONAL_REWARDS_LOOP")
"""The context of a refine loop: nodes.common.loop_context.LoopContext."""
HistorySocket = io.Custom("RATIONAL_REWARDS_HISTORY")
"""All rounds of a refine loop: rr_models.loop.state.State."""

PROMPT_SLOT = 1
"""The number of Refine Start's output `prompt`."""


def number(score: float | None) -> float:
    """A score for a number socket: NaN if there is none, because any number would look like a score."""
    return float("nan") if score is None else score
