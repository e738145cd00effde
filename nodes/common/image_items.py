"""Split batches and lists of images into single images with all that belongs to each, and join them again.

Nodes that select images take whole lists (`is_input_list`), so that the images may differ in size, and each
selected image keeps its latent, mask, prompt, seed and critique.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...rr_models.judgement.critique import Critique
from .batches import batch_size, check_pairs, join_latents, take_latents
from .socket_types import CritiqueSocket


@dataclass(frozen=True)
class ImageItem:
    """One image [1, H, W, C] and what came with it; None is what did not. `batch` is the index of its batch
    in the list."""

    image: torch.Tensor
    batch: int
    critique: Critique | None = None
    latent: dict | None = None
    mask: torch.Tensor | None = None
    prompt: str | None = None
    seed: int | None = None

    @property
    def judged(self) -> Critique:
        """The critique of an image that has one."""
        assert self.critique is not None
        return self.critique


def scalar_inputs(*names: str) -> Callable:
    """Around `execute` of a node with `is_input_list`: core hands over every input as a list; the inputs
    `names` arrive as their one value. ValueError if such a list holds different values."""

    def decorate(execute: Callable) -> Callable:
        @wraps(execute)
        def unwrapped(cls, **inputs: Any):
            scalars = {name: _single_value(inputs[name], name) for name in names if name in inputs}
            return execute(cls, **inputs | scalars)

        return unwrapped

    return decorate


def _single_value(values: Sequence, name: str):
    if any(value != values[0] for value in values[1:]):
        raise ValueError(f"{name} must be one value for all images, not a list of {len(values)}.")
    return values[0]


def latent_and_mask_inputs() -> list[io.Input]:
    return [
        io.Latent.Input("latent", optional=True, tooltip="The images' latents; each image keeps its own."),
        io.Mask.Input("mask", optional=True, tooltip="The images' masks; each image keeps its own."),
    ]


def provenance_inputs() -> list[io.Input]:
    """The inputs for what the images were made from."""
    return [
        io.String.Input(
            "prompts",
            optional=True,
            force_input=True,
            tooltip="The prompts the images were made from: one for all, one per batch or one per image.",
        ),
        io.Int.Input(
            "seeds",
            optional=True,
            force_input=True,
            tooltip="The seeds the images were made from: one for all, one per batch or one per image.",
        ),
    ]


def aligned_outputs(images: str, prefix: str = "", critiques: bool = False) -> list[io.Output]:
    """The outputs that go along with some images: latent, mask, critiques (if wanted), prompts, seeds.
    `images` says which images, for the tooltips; `prefix` starts the names."""
    outputs: list[io.Output] = [
        io.Latent.Output(
            is_output_list=True, display_name=f"{prefix}latent", tooltip=f"Latents of {images}."
        ),
        io.Mask.Output(is_output_list=True, display_name=f"{prefix}mask", tooltip=f"Masks of {images}."),
        io.String.Output(
            is_output_list=True,
            display_name=f"{prefix}prompts",
            tooltip=f"Prompts of {images}, one per image.",
        ),
        io.Int.Output(
            is_output_list=True, display_name=f"{prefix}seeds", tooltip=f"Seeds of {images}, one per image."
        ),
    ]
    if critiques:
        critique_output = CritiqueSocket.Output(
            is_output_list=True, display_name=f"{prefix}critiques", tooltip=f"Critiques of {images}."
        )
        outputs.insert(2, critique_output)
    return outputs


def index_output() -> io.Output:
    return io.Int.Output(
        display_name="index",
        is_output_list=True,
        tooltip="Position of each selected image among all images, from 0.",
    )


def collect(
    images: Sequence[torch.Tensor],
    critiques: Sequence[tuple[Critique, ...]] | None = None,
    latents: Sequence[dict] | None = None,
    masks: Sequence[torch.Tensor] | None = None,
    prompts: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[ImageItem]:
    """All images of a list of batches, each with what belongs to it. There may be one mask, prompt and seed
    for all, one per batch or one per image; latents and critiques are one per image."""
    sizes = [batch_size(image) for image in images]
    count = sum(sizes)
    columns = {
        "image": [single for image in images for single in image.split(1)],
        "batch": [batch for batch, size in enumerate(sizes) for _ in range(size)],
        "critique": _split_critiques(critiques, count),
        "latent": _split_latents(latents, count),
        "mask": _one_per_image(_split_masks(masks), sizes, "mask"),
        "prompt": _one_per_image(prompts, sizes, "prompts"),
        "seed": _one_per_image(seeds, sizes, "seeds"),
    }
    rows = zip(*columns.values(), strict=True)
    return [ImageItem(**dict(zip(columns, row, strict=True))) for row in rows]


def _split_critiques(critiques: Sequence[tuple[Critique, ...]] | None, count: int) -> Sequence:
    if critiques is None:
        return [None] * count
    singles = [critique for batch in critiques for critique in batch]
    check_pairs(count, singles)
    return singles


def _split_latents(latents: Sequence[dict] | None, count: int) -> Sequence:
    if latents is None:
        return [None] * count
    singles = [
        take_latents(latent, [index], size)
        for latent in latents
        for size in [len(latent["samples"])]
        for index in range(size)
    ]
    if len(singles) != count:
        raise ValueError(
            f"latent holds {len(singles)} items for {count} images: connect the latents of these images."
        )
    return singles


def _split_masks(masks: Sequence[torch.Tensor] | None) -> Sequence[torch.Tensor] | None:
    if masks is None:
        return None
    return [single for mask in masks for single in (mask if mask.ndim > 2 else mask[None]).split(1)]


def _one_per_image(values: Sequence | None, sizes: Sequence[int], name: str) -> Sequence:
    """One value per image, from one for all, one per batch or one per image."""
    count = sum(sizes)
    if values is None:
        return [None] * count
    if len(values) == count:
        return values
    if len(values) == 1:
        return list(values) * count
    if len(values) == len(sizes):
        return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]
    raise ValueError(
        f"{name} holds {len(values)} items for {count} images in {len(sizes)} batch(es): connect one for "
        "all, one per batch or one per image."
    )


def in_groups(items: Sequence[ImageItem], singly: bool) -> list[list[ImageItem]]:
    """The groups in which items go out: every item by itself, or all as one batch."""
    return [[item] for item in items] if singly else [list(items)] if items else []


def in_batches(items: Sequence[ImageItem]) -> list[list[ImageItem]]:
    """The items in the batches in which they came in."""
    return [[item for item in items if item.batch == batch] for batch in sorted({i.batch for i in items})]


def joined(
    groups: Sequence[Sequence[ImageItem]],
    node: str,
    reason: str | None = None,
    prefix: str = "",
    critiques: bool = False,
) -> dict[str, list]:
    """The values of "image" and of the `aligned_outputs` with the same prefix, for groups of items: image,
    latent, mask and critiques have one value per group, prompts and seeds one per image.

    Without any group all outputs are blocked, with the message `reason`. An output whose input was not
    connected is blocked with a message that names the input.
    """

    def along(field: str, name: str, join: Callable[[list], list]) -> list:
        if not groups:
            return [ExecutionBlocker(reason)]
        values = [[getattr(item, field) for item in group] for group in groups]
        if any(value is None for group in values for value in group):
            return [ExecutionBlocker(f"{node}: connect its {name} input to use this output.")]
        return [value for group in values for value in join(group)]

    results = {
        "image": along("image", "image", lambda group: [torch.cat(group)]),
        f"{prefix}latent": along("latent", "latent", lambda group: [join_latents(group)]),
        f"{prefix}mask": along("mask", "mask", lambda group: [torch.cat(group)]),
        f"{prefix}prompts": along("prompt", "prompts", list),
        f"{prefix}seeds": along("seed", "seeds", list),
    }
    if critiques:
        results[f"{prefix}critiques"] = along("critique", "critiques", lambda group: [tuple(group)])
    return results


def selection_results(
    items: Sequence[ImageItem],
    selected: Sequence[int],
    rest: Sequence[int],
    node: str,
    *,
    singly: bool,
    reason: str | None = None,
    critiques: bool = False,
) -> dict[str, list]:
    """The values of the outputs best and rest and of their `aligned_outputs`, for the indices of `items` that
    were selected and the rest; `reason` says why none was selected."""
    groups = [in_groups([items[index] for index in part], singly) for part in (selected, rest)]
    best = joined(groups[0], node, reason, critiques=critiques)
    others = joined(groups[1], node, prefix="rest_", critiques=critiques)
    return {"best": best.pop("image"), "rest": others.pop("image"), **best, **others}
