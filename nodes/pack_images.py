"""Pack Images: put images and all that belongs to them into one bundle of candidates."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from .common.candidates import collect
from .common.results import node_output
from .common.socket_types import CATEGORY, CandidatesSocket


class RationalRewardsPackImages(io.ComfyNode):
    """Pack images with their latents, masks, prompts and seeds."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsPackImages",
            display_name="Pack Images",
            category=CATEGORY,
            description="Bundles images with their latents, masks, prompts and seeds, so that one wire "
            "carries all of them through Critique Image, Pick Best, Reward Gate, Tournament and Refine End. "
            "Unpack Images takes them out again.",
            search_aliases=["reward", "bundle", "pipe", "candidates", "combine", "latent", "打包"],
            # Prompts and seeds may come one per batch or one per image.
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="The images: a batch, or a list."),
                io.Latent.Input("latent", optional=True, tooltip="The images' latents, one per image."),
                io.Mask.Input(
                    "mask", optional=True, tooltip="The images' masks: one for all, or one per image."
                ),
                io.String.Input(
                    "prompt",
                    optional=True,
                    force_input=True,
                    tooltip="The prompt the images were made from: one for all, one per batch or one per "
                    "image.",
                ),
                io.Int.Input(
                    "seed",
                    optional=True,
                    force_input=True,
                    tooltip="The seed the images were made from: one for all, one per batch or one per "
                    "image.",
                ),
            ],
            outputs=[
                CandidatesSocket.Output(
                    display_name="candidates",
                    is_output_list=True,
                    tooltip="The images with all that belongs to them, one bundle per batch.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        image: list[torch.Tensor],
        latent: list[dict] | None = None,
        mask: list[torch.Tensor] | None = None,
        prompt: list[str] | None = None,
        seed: list[int] | None = None,
    ) -> io.NodeOutput:
        return node_output(cls, {"candidates": collect(image, latent, mask, prompt, seed)})
