"""Batches of images, latents and masks: checked, cut and joined."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def batch_size(image: torch.Tensor, name: str = "image") -> int:
    """How many pictures there are; an error where there is none."""
    if image.ndim != 4:
        raise ValueError(
            f"{name} must be a batch of pictures [B, H, W, C], not a tensor {list(image.shape)}."
        )
    if image.shape[0] == 0:
        raise ValueError(f"{name} is an empty batch: there is no picture in it. Connect at least one.")
    return image.shape[0]


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
