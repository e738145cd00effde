"""Unpack Images: take out of candidates what belongs to the images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from .common.batches import join_latents
from .common.candidates import Candidates, candidates_input, joined_image
from .common.results import node_output
from .common.socket_types import CATEGORY

NAME = "Unpack Images"


class RationalRewardsUnpackImages(io.ComfyNode):
    """Take candidates apart."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsUnpackImages",
            display_name=NAME,
            category=CATEGORY,
            description="Takes images, latents, masks, prompts and seeds out of candidates. An output of "
            "something that the candidates do not carry blocks the nodes behind it, with a message.",
            search_aliases=["reward", "bundle", "pipe", "candidates", "split", "latent", "解包"],
            inputs=[candidates_input("From Critique Image, Pick Best, Refine End and other nodes.")],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The images."),
                io.Latent.Output(display_name="latent", tooltip="Their latents."),
                io.Mask.Output(display_name="mask", tooltip="Their masks."),
                io.String.Output(
                    display_name="prompt", is_output_list=True, tooltip="Their prompts, one per image."
                ),
                io.Int.Output(
                    display_name="seed", is_output_list=True, tooltip="Their seeds, one per image."
                ),
                io.String.Output(
                    display_name="request", is_output_list=True, tooltip="What was asked for, one per image."
                ),
                io.Image.Output(
                    display_name="source_image", tooltip="For edits: the images before the edit."
                ),
            ],
        )

    @classmethod
    def execute(cls, candidates: Candidates) -> io.NodeOutput:
        requests = [candidate.critique and candidate.critique.request for candidate in candidates]
        not_judged = ExecutionBlocker(f"{NAME}: the candidates have no request, because they are not judged.")
        results = {
            "image": joined_image(candidates),
            "latent": _joined(candidates, "latent", join_latents),
            "mask": _joined(candidates, "mask", torch.cat),
            "prompt": _each(candidates, "prompt"),
            "seed": _each(candidates, "seed"),
            "request": [not_judged if request is None else request for request in requests],
            "source_image": _sources(candidates),
        }
        return node_output(cls, results)


def _each(candidates: Candidates, name: str) -> list:
    """One value of each candidate."""
    values = [getattr(candidate, name) for candidate in candidates]
    if any(value is None for value in values):
        return [ExecutionBlocker(f"{NAME}: the candidates carry no {name}; give it to Pack Images.")]
    return values


def _joined(candidates: Candidates, name: str, join: Callable[[list], Any]) -> Any:
    values = _each(candidates, name)
    return values[0] if isinstance(values[0], ExecutionBlocker) else join(values)


def _sources(candidates: Candidates) -> torch.Tensor | ExecutionBlocker:
    """The images before the edit as one batch."""
    sources = candidates[0].sources
    if not sources:
        return ExecutionBlocker(f"{NAME}: the candidates are not edits, so there is no source_image.")
    if len({source.shape for source in sources}) > 1:
        return ExecutionBlocker(f"{NAME}: the source images differ in size and cannot be one batch.")
    return torch.stack(list(sources))
