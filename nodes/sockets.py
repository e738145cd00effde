"""The pack's own socket types, and what its nodes share: cutting batches and counting them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy_api.latest import io

from ..rr_models.loop_state import SEEDS
from ..rr_models.written import SCORE_MODES, WRITTEN

CATEGORY = "RationalRewards"
MAX_SEED = SEEDS - 1

CriticSocket = io.Custom("RATIONAL_REWARDS_CRITIC")
"""A critic that judges pictures: nodes.memory.ManagedCritic."""
CritiqueSocket = io.Custom("RATIONAL_REWARDS_CRITIQUE")
"""One critique per picture of a batch: tuple[Critique, ...]."""
VerdictSocket = io.Custom("RATIONAL_REWARDS_VERDICT")
"""One comparison of two pictures: rr_models.verdict.Verdict."""
LoopSocket = io.Custom("RATIONAL_REWARDS_LOOP")
"""Where a refine loop stands: nodes.loop_parts.Carried."""
HistorySocket = io.Custom("RATIONAL_REWARDS_HISTORY")
"""All rounds of a finished refine loop: rr_models.loop_state.State."""


def bars_of_aspects() -> io.Input:
    """The input of bars of single aspects, read by rr_models.bars.read."""
    return io.String.Input(
        "bars",
        default="",
        optional=True,
        tooltip="Bars of single aspects in place of bar, such as text_faithfulness=3.5, "
        "physical_quality=2.5.",
        advanced=True,
    )


def seed_input(tooltip: str, **more) -> io.Input:
    return io.Int.Input("seed", default=0, min=0, max=MAX_SEED, tooltip=tooltip, **more)


def chance_inputs() -> list[io.Input]:
    """The inputs `temperature` and `seed` of a critic's answer."""
    return [
        io.Float.Input(
            "temperature",
            default=0.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="0: always the same answer to the same picture. Above 0 the wording and the scores vary "
            "with the seed; RationalRewards was published with 0.1.",
            advanced=True,
        ),
        seed_input(
            "Seed of the critic's own chance; without effect at temperature 0.",
            control_after_generate=io.ControlAfterGenerate.fixed,
            advanced=True,
        ),
    ]


def max_new_tokens_input(cut_off: str) -> io.Input:
    """How long an answer may be; `cut_off` says what becomes of one that is cut off."""
    return io.Int.Input(
        "max_new_tokens",
        default=2048,
        min=64,
        max=20480,
        tooltip=f"Longest answer, in tokens (about 4 letters each). An answer that is cut off {cut_off}; "
        "raise this if the report says truncated.",
        advanced=True,
    )


def score_mode_input() -> io.Input:
    return io.Combo.Input(
        "score_mode",
        options=list(SCORE_MODES),
        default=WRITTEN,
        tooltip="written: the score in the answer. expected: the mean of all scores the critic might have "
        "written, by its own probabilities; finer, for ranking. Needs guided.",
        optional=True,
        advanced=True,
    )


def batch_size(image: torch.Tensor, name: str = "image") -> int:
    """How many pictures there are; an error where there is none."""
    if image.ndim != 4:
        raise ValueError(
            f"{name} must be a batch of pictures [B, H, W, C], not a tensor {list(image.shape)}."
        )
    if image.shape[0] == 0:
        raise ValueError(f"{name} is an empty batch: there is no picture in it. Connect at least one.")
    return image.shape[0]


def number(score: float | None) -> float:
    """A score for a number socket: NaN where there is none, since any number would be taken for a score."""
    return float("nan") if score is None else score


def check_pairs(count: int, critiques: Sequence[object]) -> None:
    """Every picture must come with its critique."""
    if count != len(critiques):
        raise ValueError(
            f"image holds {count} pictures, critiques holds {len(critiques)}: connect the critiques that "
            "Critique Image made of these very pictures."
        )


def take_latents(latent: dict, indices: Sequence[int], count: int) -> dict:
    """The latents of the pictures at `indices`, with everything that goes along per picture."""
    samples = latent["samples"]
    if len(samples) != count:
        raise ValueError(
            f"latent holds {len(samples)} items for {count} pictures: connect the latent they came from."
        )
    taken = dict(latent)
    for key in ("samples", "noise_mask"):
        if key in latent:
            taken[key] = _take(latent[key], indices)
    if "batch_index" in latent:
        taken["batch_index"] = [latent["batch_index"][i] for i in indices]
    return taken


def join_latents(latents: Sequence[dict]) -> dict:
    """One batch of several, with everything that goes along per picture and stands on each of them."""
    joined = dict(latents[0])
    for key in ("samples", "noise_mask"):
        if all(key in one for one in latents):
            joined[key] = torch.cat([one[key] for one in latents])
        else:
            joined.pop(key, None)
    if all("batch_index" in one for one in latents):
        joined["batch_index"] = [index for one in latents for index in one["batch_index"]]
    else:
        joined.pop("batch_index", None)
    return joined


def take_masks(mask: torch.Tensor, indices: Sequence[int], count: int) -> torch.Tensor:
    """The masks of the pictures at `indices`; one mask may serve the whole batch."""
    mask = mask if mask.ndim > 2 else mask[None]
    if len(mask) not in (1, count):
        raise ValueError(
            f"mask holds {len(mask)} items for {count} pictures: connect one in all or one per picture."
        )
    return _take(mask, indices)


def _take(values: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    # What has fewer items than there are pictures is repeated, as core does it.
    return values[[i % len(values) for i in indices]]
