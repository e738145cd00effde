"""Shapes Generator: a demo generator of coloured shapes, so that a refine loop runs on any machine."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from .common.inputs import seed_input
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY


class RationalRewardsShapesGenerator(io.ComfyNode):
    """Draw coloured shapes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsShapesGenerator",
            display_name="Shapes Generator (demo)",
            category=CATEGORY,
            description="Draws simple coloured shapes from a request and, like a real generator, makes "
            "mistakes: fewer if the prompt is firm. For trying the refine loop without any model.",
            hidden=[io.Hidden.dynprompt],
            search_aliases=["demo", "test image", "shapes", "reward"],
            inputs=[
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="a large red circle on the left and a small blue square on the right",
                    tooltip="What to draw: sizes (small, large), colours, shapes and positions, in plain "
                    "English.",
                ),
                seed_input(
                    "Determines the mistakes. The same prompt and seed give the same image.",
                    control_after_generate=io.ControlAfterGenerate.fixed,
                ),
                io.Int.Input(
                    "size",
                    default=256,
                    min=64,
                    max=1024,
                    step=32,
                    tooltip="Width and height of the image, in pixels.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Number of images; each one adds 1 to the seed.",
                ),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The images.")],
        )

    @classmethod
    @with_round_in_errors
    def execute(cls, prompt: str, seed: int, size: int = 256, batch_size: int = 1) -> io.NodeOutput:
        from ..rr_models.images import from_pil
        from ..rr_models.shapes import generator

        images = [generator.generate(prompt, seed + index, size) for index in range(batch_size)]
        return io.NodeOutput(torch.stack([from_pil(image) for image in images]))
