"""Scorecard: critiques, a comparison or a loop's history drawn as an image."""

from __future__ import annotations

from functools import partial

import torch
from comfy_api.latest import io, ui
from PIL import Image

from ..rr_models import scorecard
from ..rr_models.images import from_pil, to_pil
from ..rr_models.judgement.critique import Critique
from ..rr_models.judgement.verdict import Verdict
from ..rr_models.loop.state import State
from .common.batches import check_pairs, split
from .common.inputs import seed_input, threshold_input
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, VerdictSocket

LANGUAGES = {"auto": scorecard.AUTO, "English": "en", "中文": "zh"}


class RationalRewardsScorecard(io.ComfyNode):
    """Draw judgements as an image."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsScorecard",
            display_name="Scorecard",
            category=CATEGORY,
            description="Draws what the critic wrote: one critique with its justifications, a contact sheet "
            "of many, two images compared, or the rounds of a refine loop. Connect one of critiques, verdict "
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
                    tooltip="From Critique Image. One: a card with all justifications. Several: a contact "
                    "sheet, best first.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="The judged images, one per critique. For a verdict: A and B, or A with B in "
                    "image_b. A history has its own thumbnails.",
                ),
                VerdictSocket.Input("verdict", optional=True, tooltip="From Compare Images."),
                io.Image.Input("image_b", optional=True, tooltip="For a verdict: image B, of any size."),
                HistorySocket.Input(
                    "history", optional=True, tooltip="From Refine End: all rounds of the loop."
                ),
                io.Image.Input(
                    "source_image",
                    optional=True,
                    tooltip="For edits: the image before the edit, shown next to the result.",
                ),
                io.Combo.Input(
                    "theme",
                    options=list(scorecard.THEMES),
                    default="dark",
                    tooltip="Dark or light background.",
                ),
                threshold_input(
                    "The score that every aspect should reach, 1 (worst) to 4 (best): images below it are "
                    "tagged. A history has its own threshold."
                ),
                seed_input(
                    "The seed the images were made from, printed on the card.",
                    force_input=True,
                    optional=True,
                ),
                io.Combo.Input(
                    "language",
                    options=list(LANGUAGES),
                    default="auto",
                    optional=True,
                    tooltip="Language of the labels; auto: that of the request. What the critic wrote is not "
                    "translated.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="scorecard",
                    tooltip=f"One image, {scorecard.WIDTH} pixels wide and as high as needed.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        theme: str = "dark",
        threshold: float = 3.0,
        critiques: tuple[Critique, ...] | None = None,
        images: torch.Tensor | None = None,
        verdict: Verdict | None = None,
        image_b: torch.Tensor | None = None,
        history: State | None = None,
        source_image: torch.Tensor | None = None,
        seed: int | None = None,
        language: str = "auto",
    ) -> io.NodeOutput:
        _check_one_connected(critiques=critiques, verdict=verdict, history=history)
        draw = partial(scorecard.draw, theme=theme, language=LANGUAGES[language])
        first, sources = _pil_images(images, "images"), _pil_images(source_image, "source_image")
        if history is not None:
            card = draw(history)
        elif verdict is not None:
            card = draw(verdict, _pair(first + _pil_images(image_b, "image_b")), sources=sources)
        else:
            critiques = _matching(critiques, first)
            seeds = [seed] * len(critiques)
            card = draw(critiques, first, sources=sources, threshold=threshold, seeds=seeds)
        image = from_pil(card)[None]
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))


def _check_one_connected(**inputs: object) -> None:
    connected = [name for name, value in inputs.items() if value is not None]
    if len(connected) != 1:
        raise ValueError(
            f"Connect one of {', '.join(inputs)}, not {' and '.join(connected) or 'none'}: a scorecard shows "
            "one of them."
        )


def _matching(critiques: tuple[Critique, ...] | None, images: list[Image.Image]) -> tuple[Critique, ...]:
    assert critiques is not None, "one of the three is connected"
    if images:
        check_pairs(len(images), critiques)
    return critiques


def _pair(images: list[Image.Image]) -> list[Image.Image]:
    if len(images) not in (0, 2):
        raise ValueError(
            f"images and image_b hold {len(images)} images, but a verdict compares two: connect A to images "
            "and B to image_b."
        )
    return images


def _pil_images(images: torch.Tensor | None, name: str) -> list[Image.Image]:
    return [to_pil(image) for image in split(images, name)]
