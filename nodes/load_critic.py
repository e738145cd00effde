"""Load Critic: a critic from the models folders, or the small built-in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..rr_models.checkpoints import catalog, model_folder
from ..rr_models.checkpoints.download import download
from ..rr_models.checkpoints.precision import NAMES
from ..rr_models.critics import local
from ..rr_models.judgement import aspects_json
from ..rr_models.judgement.answer_format import CARD, STYLES
from ..rr_models.prompting.wording import choose
from .common import display
from .common.model_memory import (
    AUTO,
    KEEP,
    critic_device,
    critic_precision,
    devices,
    manage,
    node_progress,
)
from .common.socket_types import CATEGORY, CriticSocket

BUILT_IN = "Shapes critic"
SHAPES_CRITIC = f"{BUILT_IN} (built in, demo)"
MODEL_CATEGORIES = ("LLM", "text_encoders")
"""ComfyUI's model categories that may hold critics; new ones go into the first."""


class RationalRewardsLoadCritic(io.ComfyNode):
    """Load a critic."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsLoadCritic",
            display_name="Load Critic",
            category=CATEGORY,
            description="Loads a critic: a vision language model that judges images and explains its "
            "scores. Put models such as RationalRewards-8B-T2I into models/LLM, one folder each. The "
            "built-in Shapes critic judges only images of simple coloured shapes.",
            search_aliases=["reward", "critic", "judge", "VLM", "Qwen3-VL", "RationalRewards"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=_options(),
                    tooltip="A Qwen3-VL in Hugging Face format: a folder under models/LLM or "
                    "models/text_encoders, or a model in the Hugging Face cache; or the small built-in "
                    "critic, which only knows coloured shapes.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *NAMES],
                    default="auto",
                    tooltip="Precision of the weights. auto: 16 bit on a GPU, or int8 or 4-bit if 16 bit "
                    "does not fit; 32 bit on the CPU. The node shows the choice and the reason, and every "
                    "critique records it. fp8, int8: about half the memory of 16 bit. 4-bit: less again; "
                    "needs bitsandbytes.",
                ),
                io.Combo.Input(
                    "device",
                    options=devices(),
                    default="auto",
                    tooltip="Where the critic runs. auto: on ComfyUI's own device. cpu: leaves the GPU free, "
                    "but an 8B model then takes many minutes per image. With several GPUs (cuda:1): on that "
                    "one, so that critic and generator need not take turns.",
                ),
                io.Int.Input(
                    "max_pixels",
                    default=802816,
                    min=65536,
                    max=16777216,
                    step=1024,
                    tooltip="Images with more pixels are scaled down to this number before the critic sees "
                    "them. RationalRewards was trained with 802816 (about 896 x 896); more may help it read "
                    "small text, and costs time and memory.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "style",
                    options=list(STYLES),
                    default=CARD,
                    tooltip="The prompt for the critic. card: that of its own model card if the model's "
                    "folder has one, otherwise ours; justifications before scores. test-time: one turn, "
                    "scores before justifications, as in the paper's appendix. single: one turn, "
                    "justifications before scores.",
                    optional=True,
                    advanced=True,
                ),
                io.String.Input(
                    "aspects",
                    default="",
                    multiline=True,
                    tooltip="Custom aspects, as JSON; empty: the four of RationalRewards. To add or drop "
                    'aspects: {"add": [{"name": "Woodcut Look", "question": "does it look cut in wood?", '
                    '"levels": ["a photo", "hints", "mostly", "throughout"]}], '
                    '"drop": ["text_rendering"]}. Levels run from worst to best.',
                    optional=True,
                    advanced=True,
                ),
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="A model folder anywhere on this computer, to load instead of the model chosen "
                    "above.",
                    optional=True,
                    advanced=True,
                ),
                io.Combo.Input(
                    "keep_loaded",
                    options=list(KEEP),
                    default=AUTO,
                    tooltip="How long the critic stays loaded. auto: until ComfyUI needs the memory, then it "
                    "is read from disk again on next use. always: when ComfyUI needs the memory, it moves to "
                    "main memory and returns faster. never: it is unloaded after every use.",
                    optional=True,
                ),
                io.Boolean.Input(
                    "download_if_missing",
                    default=False,
                    tooltip="Download a known model (those at the end of the list, with their size) from "
                    "Hugging Face if it is not on this computer. Off: never download anything.",
                    optional=True,
                ),
            ],
            hidden=[io.Hidden.unique_id],
            outputs=[
                CriticSocket.Output(
                    display_name="critic",
                    tooltip="The critic, for Critique Image. ComfyUI loads and unloads it as needed.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, model: str | None = None, folder: str | None = "", download_if_missing: bool | None = False
    ) -> bool | str:
        """Replaces core's own check of `model`, which rejects names that are not in the current list."""
        if model is None or folder is None or folder.strip():  # linked: not known before the run
            return True
        try:
            _locate(model, "", download_if_missing is not False, lambda checkpoint, home: None)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        model: str,
        precision: str,
        device: str,
        max_pixels: int = 802816,
        style: str = CARD,
        aspects: str = "",
        folder: str = "",
        keep_loaded: str = AUTO,
        download_if_missing: bool = False,
    ) -> io.NodeOutput:
        target = critic_device(device)
        name, path = _locate(model, folder, download_if_missing, cls._download)
        wording = choose(path, style=style, profile=aspects_json.loads(aspects))
        model_folder.check(path)
        chosen = critic_precision(precision, target, path)
        cls._show(f"{name}: {chosen}")
        critic = local.prepare(path, target, chosen, max_pixels, name=name, wording=wording)
        return io.NodeOutput(manage(critic, target, keep_loaded))

    @classmethod
    def _download(cls, checkpoint: catalog.Checkpoint, folder: Path) -> None:
        cls._show(f"Downloading {checkpoint.repository} ({checkpoint.size / 1e9:.1f} GB) into {folder}")
        download(checkpoint, folder, node_progress())

    @classmethod
    def _show(cls, text: str) -> None:
        display.show_text(text, cls.hidden and cls.hidden.unique_id)


def _options() -> list[str]:
    """The models to choose from: those on this computer, the built-in one, those that can be downloaded."""
    entries = catalog.available_models(_model_roots())
    here = [name for name, folder in entries.items() if folder]
    return [*here, SHAPES_CRITIC, *(name for name in entries if name not in here)]


def _model_roots() -> list[Path]:
    """The folders that hold critics, as ComfyUI and extra_model_paths.yaml name them; new ones go into the
    first."""
    registered = folder_paths.folder_names_and_paths
    llm, encoders = (registered.get(category, ((), ()))[0] for category in MODEL_CATEGORIES)
    return list(
        dict.fromkeys(map(Path, [*llm, Path(folder_paths.models_dir, MODEL_CATEGORIES[0]), *encoders]))
    )


def _locate(model: str, folder: str, may_download: bool, fetch: Callable) -> tuple[str, Path]:
    """(name, folder) of the chosen model. `fetch(checkpoint, folder)` downloads a known one that is missing;
    FileNotFoundError if that is not allowed, or the model is unknown."""
    if folder.strip():
        path = Path(folder.strip()).expanduser()
        return path.name, path
    if model == SHAPES_CRITIC:
        return BUILT_IN, model_folder.SHAPES_CRITIC
    if path := catalog.locate(model, catalog.available_models(_model_roots())):
        return catalog.strip_remark(model), path
    home = _model_roots()[0]
    checkpoint = catalog.known_checkpoint(model)
    if checkpoint and may_download:
        fetch(checkpoint, home / checkpoint.name)
        return checkpoint.name, home / checkpoint.name
    if checkpoint:
        raise FileNotFoundError(
            f"model: {checkpoint.name} is not on this computer. Switch download_if_missing on, or download "
            f"{checkpoint.repository} ({checkpoint.size / 1e9:.1f} GB) from Hugging Face into "
            f"{home / checkpoint.name}."
        )
    raise FileNotFoundError(
        f"model: {model!r} is neither in ComfyUI's folders for {' and '.join(MODEL_CATEGORIES)} nor in the "
        f"Hugging Face cache. Put the model's folder into {home} and press R to refresh the list."
    )
