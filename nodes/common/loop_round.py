"""One round of a refine loop, as Refine End and Refine Step take it in."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ...rr_models.critics.base import Critic
from ...rr_models.critics.options import BEST
from ...rr_models.judgement.answer_format import SCORES
from .batches import split
from .candidates import Candidates, as_candidates, image_or_candidates_input
from .inputs import critic_input
from .judging import judge
from .loop_context import LoopContext


def round_inputs(**more: Any) -> list[io.Input]:
    """The inputs that bring in a round; `more` are further arguments of each of them."""
    optional = {"optional": True, **more}
    return [
        image_or_candidates_input(
            "This round's images, from your generator, or their candidates from Critique Image. Of a batch, "
            "the best image is the round's result.",
            **more,
        ),
        critic_input(
            "From Load Critic: judges this round's images by the request of Refine Start. Not needed for the "
            "candidates of Critique Image.",
            **optional,
        ),
        io.Image.Input(
            "source_image", tooltip="For edits, with critic: the image before the edit.", **optional
        ),
        io.String.Input(
            "next_prompt",
            force_input=True,
            tooltip="The next round's prompt, such as from Revise Prompt. Not connected: the critic's "
            "refined request.",
            **optional,
        ),
    ]


def round_result(
    loop: LoopContext,
    image: torch.Tensor | Candidates | None,
    critic: Critic | None,
    source_image: torch.Tensor | None,
) -> Candidates:
    """This round's judged candidates. ValueError if the inputs do not fit together."""
    if image is None:
        raise ValueError("image is missing: connect the images of the round.")
    candidates = as_candidates(image)
    is_judged = any(candidate.critique is not None for candidate in candidates)
    if is_judged == (critic is not None):
        raise ValueError(
            "image holds candidates that are judged already: disconnect critic, or connect the images of "
            "your generator."
            if is_judged
            else "the images are not judged: connect Load Critic to critic, or the candidates of Critique "
            "Image to image."
        )
    if critic is None:
        return candidates
    # of several images, the best one alone gets a refined request, and none where the prompt stays
    detail = SCORES if loop.state.settings.prompt_policy == "as written" else BEST
    return judge(critic, candidates, loop.state.request, split(source_image, "source_image"), detail=detail)
