"""Load Critic: a critic from the models folder, or the small one that comes with the pack."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io

from ..rr_models import custom, rubric, weights
from ..rr_models.critics import local
from ..rr_models.wording import choose
from .memory import PRECISIONS, ManagedCritic, critic_device, critic_precision
from .sockets import CATEGORY, CriticSocket

BUILT_IN = "Shapes critic"
SHAPES_CRITIC = f"{BUILT_IN} (built in, demo)"
FOLDER = "LLM"


class RationalRewardsLoadCritic(io.ComfyNode):
    """Load a critic."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsLoadCritic",
            display_name="Load Critic",
            category=CATEGORY,
            description="Loads a critic: a vision language model that judges pictures and explains its "
            "scores. Put models such as RationalRewards-8B-T2I into models/LLM, one folder each. The "
            "built-in Shapes critic judges nothing but pictures of simple coloured shapes.",
            search_aliases=["reward", "critic", "judge", "VLM", "Qwen3-VL", "RationalRewards"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[*_found(), SHAPES_CRITIC],
                    tooltip="The model's folder under models/LLM (a Qwen3-VL in Hugging Face form), or "
                    "the small built-in critic, which knows coloured shapes only.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *PRECISIONS],
                    default="auto",
                    tooltip="Bits per weight. auto: 16 bit on a graphics card, 32 bit on the processor. "
                    "16 bit needs half the memory of fp32.",
                ),
                io.Combo.Input(
                    "device",
                    options=["auto", "cpu"],
                    default="auto",
                    tooltip="Where the critic runs. auto: where ComfyUI runs its models. cpu: spares the "
                    "graphics card, but an 8B model then takes many minutes per picture.",
                ),
                io.Int.Input(
                    "max_pixels",
                    default=802816,
                    min=65536,
                    max=16777216,
                    step=1024,
                    tooltip="Pictures with more pixels are shown to the critic scaled down to this many. "
                    "802816 (about 896 x 896) is what RationalRewards was trained with; more may help it "
                    "read small writing and costs time and memory.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "style",
                    options=list(rubric.STYLES),
                    default=rubric.CARD,
                    tooltip="How the critic is asked. card: in the words of its own model card where the "
                    "model's folder has one, else in ours; reasons before scores. test-time: one turn, "
                    "scores before reasons, as in the paper's appendix. single: one turn, reasons before "
                    "scores.",
                    optional=True,
                    advanced=True,
                ),
                io.String.Input(
                    "aspects",
                    default="",
                    multiline=True,
                    tooltip="Aspects of your own, as JSON; empty: the four of RationalRewards. To add or "
                    'drop some: {"add": [{"name": "Woodcut Look", "question": "does it look cut in '
                    'wood?", "levels": ["a photo", "hints", "mostly", "throughout"]}], '
                    '"drop": ["text_rendering"]}. The levels run from the worst to the best.',
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                CriticSocket.Output(
                    display_name="critic",
                    tooltip="The critic, for Critique Image. ComfyUI moves it on and off the graphics "
                    "card as needed.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: str,
        precision: str,
        device: str,
        max_pixels: int = 802816,
        style: str = rubric.CARD,
        aspects: str = "",
    ) -> io.NodeOutput:
        target = critic_device(device)
        folder = _folder(model)
        wording = choose(folder, style=style, profile=custom.loads(aspects))
        # Prompts run in inference mode; tensors made there cannot be moved on and off the card later.
        with torch.inference_mode(False):
            critic = local.load(
                folder,
                "cpu",
                critic_precision(precision, target),
                max_pixels,
                name=BUILT_IN if model == SHAPES_CRITIC else model,
                wording=wording,
            )
        return io.NodeOutput(ManagedCritic(critic, target))


def _found() -> dict[str, Path]:
    known = folder_paths.folder_names_and_paths.get(FOLDER, ((), ()))[0]
    return weights.find(dict.fromkeys(map(Path, [*known, Path(folder_paths.models_dir, FOLDER)])))


def _folder(model: str) -> Path:
    if model == SHAPES_CRITIC:
        return weights.SHAPES_CRITIC
    found = _found()
    if model not in found:
        raise FileNotFoundError(
            f"model: {model!r} is not under models/{FOLDER}. Put the model's folder there and press R to "
            "refresh the list."
        )
    return found[model]
