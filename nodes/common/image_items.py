"""Pictures with all that belongs to each: taken apart from batches and lists, and put together again.

Nodes that choose among pictures take whole lists (`is_input_list`), so that pictures of different sizes can
be chosen among, and what was chosen stays with its latent, mask, prompt, seed and critique.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...rr_models.judgement.critique import Critique
from .batches import batch_size, check_pairs, join_latents, take_latents


@dataclass(frozen=True)
class ImageItem:
    """One picture [1, H, W, C] and what came with it; None is what did not. `batch` and `place` are its item
    of the list and its place in that, from 0."""

    image: torch.Tensor
    batch: int
    place: int
    critique: Critique | None = None
    latent: dict | None = None
    mask: torch.Tensor | None = None
    prompt: str | None = None
    seed: int | None = None


def provenance_inputs() -> list[io.Input]:
    """The inputs that say what pictures were made from, as `gather` takes them."""
    return [
        io.String.Input(
            "prompts",
            optional=True,
            force_input=True,
            tooltip="The prompts they were made from: one in all, one per batch or one per picture.",
        ),
        io.Int.Input(
            "seeds",
            optional=True,
            force_input=True,
            tooltip="The seeds they were made from: one in all, one per batch or one per picture.",
        ),
    ]


def aligned_outputs(those: str, each: str, prefix: str = "") -> list[io.Output]:
    """The outputs of a node that chooses for what belongs to some pictures: latent, mask, prompts, seeds.
    `those` and `each` are words for the pictures, `prefix` stands before the names."""
    listed = {"is_output_list": True}
    return [
        io.Latent.Output(display_name=f"{prefix}latent", tooltip=f"The latents of {those}.", **listed),
        io.Mask.Output(display_name=f"{prefix}mask", tooltip=f"The masks of {those}.", **listed),
        io.String.Output(
            display_name=f"{prefix}prompts", tooltip=f"The prompt of {each}, as a list.", **listed
        ),
        io.Int.Output(display_name=f"{prefix}seeds", tooltip=f"The seed of {each}, as a list.", **listed),
    ]


def index_output() -> io.Output:
    return io.Int.Output(
        display_name="index",
        is_output_list=True,
        tooltip="The place of each picture kept among all, from 0, as a list.",
    )


def single_value(values: Sequence, name: str):
    """The value of a widget of a node that takes lists; ValueError where a list of different ones came."""
    if any(value != values[0] for value in values[1:]):
        raise ValueError(f"{name}: one value is wanted for all pictures, not a list of {len(values)}.")
    return values[0]


def collect(
    images: Sequence[torch.Tensor],
    critiques: Sequence[tuple[Critique, ...]] | None = None,
    latents: Sequence[dict] | None = None,
    masks: Sequence[torch.Tensor] | None = None,
    prompts: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[ImageItem]:
    """All pictures of a list of batches, each with what belongs to it. Of masks, prompts and seeds there may
    be one in all, one per batch or one per picture; of latents and critiques one per picture."""
    sizes = [batch_size(image) for image in images]
    total = sum(sizes)
    told = None if critiques is None else [critique for batch in critiques for critique in batch]
    if told is not None:
        check_pairs(total, told)
    drawn = None
    if latents is not None:
        drawn = [(latent, place) for latent in latents for place in range(len(latent["samples"]))]
        if len(drawn) != total:
            raise ValueError(
                f"latent holds {len(drawn)} items for {total} pictures: connect the latents they came from."
            )
    if masks is not None:
        masks = [part for mask in masks for part in (mask if mask.ndim > 2 else mask[None]).split(1)]
    shared = [
        _spread(values, sizes, name)
        for values, name in ((masks, "mask"), (prompts, "prompts"), (seeds, "seeds"))
    ]
    entries = []
    for batch, image in enumerate(images):
        for place in range(sizes[batch]):
            at = len(entries)
            latent = None
            if drawn is not None:
                source, index = drawn[at]
                latent = take_latents(source, [index], len(source["samples"]))
            mask, prompt, seed = (values[at] for values in shared)
            critique = told[at] if told is not None else None
            entries.append(
                ImageItem(image[place : place + 1], batch, place, critique, latent, mask, prompt, seed)
            )
    return entries


def _spread(values: Sequence | None, sizes: Sequence[int], name: str) -> Sequence:
    """One value per picture."""
    total = sum(sizes)
    if values is None:
        return [None] * total
    if len(values) == total:
        return values
    if len(values) == 1:
        return list(values) * total
    if len(values) == len(sizes):
        return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]
    raise ValueError(
        f"{name} holds {len(values)} items for {total} pictures in {len(sizes)} batch(es): connect one in "
        "all, one per batch or one per picture."
    )


def group_items(entries: Sequence[ImageItem], singly: bool) -> list[list[ImageItem]]:
    """The groups, for `outputs`, in which entries go out: each for itself, or all as one batch."""
    return [[entry] for entry in entries] if singly else [list(entries)] if entries else []


def outputs(groups: Sequence[Sequence[ImageItem]], node: str, why: str | None) -> dict[str, list]:
    """What comes out of a `node` for these groups of entries, in this order: image, latent, mask, critiques
    (one item per group), prompts and seeds (one per picture). Without any group all are blocked, and say
    `why`; what was not connected is blocked and says so.
    """
    names = ("image", "latent", "mask", "critiques", "prompts", "seeds")
    if not groups:
        return {name: [ExecutionBlocker(why)] for name in names}

    def along(field: str, name: str, joined: Callable[[list], list]) -> list:
        values = [[getattr(entry, field) for entry in group] for group in groups]
        if any(value is None for group in values for value in group):
            return [ExecutionBlocker(f"{node}: connect its {name} input to use this output.")]
        return [item for group in values for item in joined(group)]

    return {
        "image": [torch.cat([entry.image for entry in group]) for group in groups],
        "latent": along("latent", "latent", lambda group: [join_latents(group)]),
        "mask": along("mask", "mask", lambda group: [torch.cat(group)]),
        "critiques": [tuple(entry.critique for entry in group) for group in groups],
        "prompts": along("prompt", "prompts", list),
        "seeds": along("seed", "seeds", list),
    }
