"""Scorecard: critiques, a comparison or a loop's history as a picture to look at."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from PIL import Image

from ..rr_models import scorecard
from ..rr_models.images import from_pil, to_pil
from ..rr_models.judgement.critique import Critique
from ..rr_models.judgement.verdict import Verdict
from ..rr_models.loop.state import State
from .common.batches import batch_size, check_pairs
from .common.inputs import seed_input
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, VerdictSocket


class RationalRewardsScorecard(io.ComfyNode):
    """Draw what a critic found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsScorecard",
            display_name="Scorecard",
            category=CATEGORY,
            description="Draws what the critic found: one critique with its reasons, a contact sheet of "
            "many, two pictures compared, or the story of a refine loop. Connect one of critiques, verdict "
            "and history.",
            search_aliases=[
                "contact sheet",
                "grid",
                "chart",
                "report",
                "show scores",
                "plot",
                "history",
                "reward",
            ],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            inputs=[
                CritiqueSocket.Input(
                    "critiques",
                    optional=True,
                    tooltip="From Critique Image. One: a card with all reasons. Several: a contact sheet, "
                    "best first.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="The pictures that were judged, one per critique. For a verdict: A and B, or A "
                    "alone and B in image_b. A history has small pictures of its own.",
                ),
                VerdictSocket.Input("verdict", optional=True, tooltip="From Compare Images."),
                io.Image.Input("image_b", optional=True, tooltip="For a verdict: picture B, of any size."),
                HistorySocket.Input(
                    "history", optional=True, tooltip="From Refine End: the story of the loop."
                ),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For edits: the picture before the edit, shown beside.",
                ),
                io.Combo.Input(
                    "theme", options=list(scorecard.THEMES), default="light", tooltip="Light or dark paper."
                ),
                io.Float.Input(
                    "threshold",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="The score to reach, 1 (worst) to 4 (best): what lies below is told by colour "
                    "and, on a contact sheet, dimmed. A history has its own bar.",
                ),
                seed_input(
                    "The seed the pictures were made from, to be written on the card.",
                    force_input=True,
                    optional=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="scorecard",
                    tooltip=f"One picture, {scorecard.WIDTH} pixels wide and as high as it takes.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        theme: str = "light",
        threshold: float = 3.0,
        critiques: tuple[Critique, ...] | None = None,
        images: torch.Tensor | None = None,
        verdict: Verdict | None = None,
        image_b: torch.Tensor | None = None,
        history: State | None = None,
        source_image: torch.Tensor | None = None,
        seed: int | None = None,
    ) -> io.NodeOutput:
        given = [
            name
            for name, value in (("critiques", critiques), ("verdict", verdict), ("history", history))
            if value is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"Connect one of critiques, verdict and history, not {' and '.join(given) or 'none'}: a "
                "scorecard shows one thing."
            )
        sources = _pictures(source_image, "source_image")
        if history is not None:
            card = scorecard.draw(history, theme=theme)
        elif verdict is not None:
            pair = _pictures(images, "images") + _pictures(image_b, "image_b")
            if len(pair) not in (0, 2):
                raise ValueError(
                    f"images and image_b hold {len(pair)} pictures, a verdict is of two: connect A to "
                    "images and B to image_b."
                )
            card = scorecard.draw(verdict, pair, sources=sources, theme=theme)
        else:
            pictures = _pictures(images, "images")
            if pictures:
                check_pairs(len(pictures), critiques)
            seeds = [] if seed is None else [f"seed {seed}"] * len(critiques)
            card = scorecard.draw(
                critiques, pictures, sources=sources, threshold=threshold, seeds=seeds, theme=theme
            )
        drawn = from_pil(card)[None]
        return io.NodeOutput(drawn, ui=ui.PreviewImage(drawn, cls=cls))


def _pictures(images: torch.Tensor | None, name: str) -> list[Image.Image]:
    if images is None:
        return []
    batch_size(images, name)
    return [to_pil(image) for image in images]
