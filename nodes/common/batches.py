"""Batches of images, latents and masks: checked, cut and joined."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def batch_size(image: torch.Tensor, name: str = "image") -> int:
    """The number of images in a batch [B, H, W, C]. ValueError if the tensor has another shape or is
    empty."""
    if image.ndim != 4:
        raise ValueError(
            f"{name} must be a batch of images [B, H, W, C], not a tensor of shape {list(image.shape)}."
        )
    if image.shape[0] == 0:
        raise ValueError(f"{name} is an empty batch: connect at least one image.")
    return image.shape[0]


def split(image: torch.Tensor | None, name: str) -> list[torch.Tensor]:
    """The images [H, W, C] of a batch; none if it is not connected."""
    if image is None:
        return []
    batch_size(image, name)
    return list(image)


def take_latents(latent: dict, indices: Sequence[int], count: int) -> dict:
    """The latents at `indices` of a LATENT that must hold `count`, with their noise masks and batch
    indices."""
    samples = latent["samples"]
    if len(samples) != count:
        raise ValueError(
            f"latent holds {len(samples)} items for {count} images: connect the latent of these images."
        )
    taken = dict(latent)
    for key in ("samples", "noise_mask"):
        if key in latent:
            taken[key] = _take(latent[key], indices)
    if "batch_index" in latent:
        taken["batch_index"] = [latent["batch_index"][i] for i in indices]
    return taken


def join_latents(latents: Sequence[dict]) -> dict:
    """One LATENT of several, with noise masks and batch indices if all of them have some."""
    joined = dict(latents[0])
    for key in ("samples", "noise_mask"):
        if all(key in latent for latent in latents):
            joined[key] = torch.cat([latent[key] for latent in latents])
        else:
            joined.pop(key, None)
    if all("batch_index" in latent for latent in latents):
        joined["batch_index"] = [index for latent in latents for index in latent["batch_index"]]
    else:
        joined.pop("batch_index", None)
    return joined


def _take(values: torch.Tensor, indices: Sequence[int]) -> torch.Tensor:
    # If there are fewer items than images, they are repeated, as core does.
    return values[[i % len(values) for i in indices]]
