"""Candidates: images with all that belongs to each of them, which travel through one socket.

Nodes that select images take whole lists of such bundles (`is_input_list`), so that the images may differ in
size, and each selected image keeps its latent, mask, prompt, seed and critique.
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
from .batches import batch_size, take_latents
from .socket_types import CandidatesSocket


@dataclass(frozen=True, eq=False)
class Candidate:
    """One image [1, H, W, C] and what belongs to it; None is what is not known.

    `sources` are the images [H, W, C] before an edit. Only a critique that was loaded from a JSON file is
    without its image.
    """

    image: torch.Tensor | None
    critique: Critique | None = None
    latent: dict | None = None
    mask: torch.Tensor | None = None
    prompt: str | None = None
    seed: int | None = None
    sources: tuple[torch.Tensor, ...] = ()

    @property
    def judged(self) -> Critique:
        """The critique. ValueError if there is none."""
        if self.critique is None:
            raise ValueError(
                "candidates: these images have not been judged; connect the candidates of Critique Image."
            )
        return self.critique

    @property
    def pixels(self) -> torch.Tensor:
        """The image. ValueError if there is none."""
        if self.image is None:
            raise ValueError(
                "candidates: this critique was loaded from a JSON file, without its image; load the image "
                "file that it was saved in."
            )
        return self.image


Candidates = tuple[Candidate, ...]
"""What one socket carries."""


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


def candidates_input(tooltip: str, **more) -> io.Input:
    return CandidatesSocket.Input("candidates", tooltip=tooltip, **more)


def image_or_candidates_input(tooltip: str, **more) -> io.Input:
    """The input `image`, which takes images, or candidates to keep what belongs to them."""
    return io.MultiType.Input(
        "image",
        types=[io.Image, CandidatesSocket],
        tooltip=f"{tooltip} Candidates, such as from Pack Images, keep their latents, masks, prompts and "
        "seeds.",
        **more,
    )


def as_candidates(image: torch.Tensor | Candidates) -> Candidates:
    """The candidates of an input that takes both forms. ValueError if there are none."""
    if isinstance(image, tuple):
        return image
    batch_size(image)
    return tuple(Candidate(single) for single in image.split(1))


def joined_image(candidates: Sequence[Candidate]) -> torch.Tensor:
    """All images as one batch. ValueError if they differ in size."""
    images = [candidate.pixels for candidate in candidates]
    if len(sizes := {tuple(image.shape[1:]) for image in images}) > 1:
        text = ", ".join(f"{width} x {height}" for height, width, *_ in sorted(sizes))
        raise ValueError(f"the images differ in size ({text}) and cannot be one batch.")
    return torch.cat(images)


def collect(
    images: Sequence[torch.Tensor],
    latents: Sequence[dict] | None = None,
    masks: Sequence[torch.Tensor] | None = None,
    prompts: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Candidates]:
    """The candidates of each batch of a list. There may be one mask, prompt and seed for all, one per batch
    or one per image; there is one latent per image."""
    sizes = [batch_size(image) for image in images]
    columns = {
        "image": [single for image in images for single in image.split(1)],
        "latent": _split_latents(latents, sum(sizes)),
        "mask": _one_per_image(_split_masks(masks), sizes, "mask"),
        "prompt": _one_per_image(prompts, sizes, "prompt"),
        "seed": _one_per_image(seeds, sizes, "seed"),
    }
    rows = iter(
        [Candidate(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    )
    return [tuple(next(rows) for _ in range(size)) for size in sizes]


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


def in_groups(candidates: Sequence[Candidate], singly: bool) -> list[Candidates]:
    """The groups in which candidates go out: each by itself, or all as one."""
    return [(candidate,) for candidate in candidates] if singly else [tuple(candidates)] if candidates else []


def selected_outputs(
    name: str, which: str, empty: str = "Blocks downstream nodes if empty."
) -> list[io.Output]:
    """The outputs `name` and `name`_candidates for some images; `which` says which ones, for the tooltips."""
    return [
        io.Image.Output(display_name=name, is_output_list=True, tooltip=f"{which} {empty}"),
        CandidatesSocket.Output(
            display_name=f"{name}_candidates",
            is_output_list=True,
            tooltip="The same with their critiques and all that came with them, for Unpack Images and other "
            "nodes.",
        ),
    ]


def selected_results(name: str, groups: Sequence[Candidates]) -> dict[str, list]:
    """The values of `selected_outputs`: one per group. Without any, both are blocked."""
    blocked = [ExecutionBlocker(None)]
    return {
        name: [joined_image(group) for group in groups] or blocked,
        f"{name}_candidates": list(groups) or blocked,
    }


def selection_results(
    candidates: Sequence[Candidate], selected: Sequence[int], rest: Sequence[int], *, singly: bool
) -> dict[str, list]:
    """The values of the outputs best, rest and index, for the indices of the selected and the other ones. A
    list comes out `singly`."""
    best, others = ([candidates[index] for index in part] for part in (selected, rest))
    return {
        **selected_results("best", in_groups(best, singly)),
        **selected_results("rest", in_groups(others, singly)),
        "index": list(selected) or [ExecutionBlocker(None)],
    }


def index_output() -> io.Output:
    return io.Int.Output(
        display_name="index",
        is_output_list=True,
        tooltip="Position of each selected image among all images, from 0.",
    )
