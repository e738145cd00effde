"""Scorecard: critiques, a comparison or a loop's history drawn as an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from comfy_api.latest import io, ui
from PIL import Image

from ..rr_models import scorecard
from ..rr_models.images import from_pil, to_pil
from ..rr_models.loop.state import State
from .common.candidates import Candidates
from .common.inputs import threshold_input
from .common.judging import ComparedImages
from .common.loop_context import LoopContext
from .common.socket_types import CATEGORY, CandidatesSocket, HistorySocket, LoopSocket, VerdictSocket

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
            "of many, two images compared, or the rounds of a refine loop.",
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
                io.MultiType.Input(
                    "judged",
                    types=[CandidatesSocket, VerdictSocket, HistorySocket, LoopSocket],
                    tooltip="The candidates of Critique Image (one: a card with all justifications; several: "
                    "a contact sheet, best first), the verdict of Judge A vs B, or the history of Refine "
                    "End.",
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
        judged: Candidates | ComparedImages | State | LoopContext,
        theme: str = "dark",
        threshold: float = 3.0,
        language: str = "auto",
    ) -> io.NodeOutput:
        draw = partial(scorecard.draw, theme=theme, language=LANGUAGES[language])
        image = from_pil(_card(judged, threshold, draw))[None]
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))


def _card(
    judged: Candidates | ComparedImages | State | LoopContext,
    threshold: float,
    draw: Callable[..., Image.Image],
) -> Image.Image:
    if isinstance(judged, State | LoopContext):
        return draw(judged if isinstance(judged, State) else judged.state)
    if isinstance(judged, ComparedImages):
        images = [to_pil(image[0]) for image in judged.images]
        return draw(judged.verdict, images, sources=_pil(judged.sources))
    return draw(
        [one.judged for one in judged],
        [] if judged[0].image is None else _pil(one.pixels[0] for one in judged),
        threshold=threshold,
        seeds=[one.seed for one in judged],
        sources=_pil(judged[0].sources),
    )


def _pil(images: Iterable[torch.Tensor]) -> list[Image.Image]:
    return [to_pil(image) for image in images]
