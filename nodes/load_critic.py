"""Load Critic: a critic from the models folder, or the small one that comes with the pack."""

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
from .common.display import tell
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
KINDS = ("LLM", "text_encoders")
"""The kinds of ComfyUI's model folders that critics are looked for in; the first is where to put them."""


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
                    options=_options(),
                    tooltip="A Qwen3-VL in Hugging Face form: its folder under models/LLM or "
                    "models/text_encoders, or what lies in the Hugging Face cache; or the small built-in "
                    "critic, which knows coloured shapes only.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *NAMES],
                    default="auto",
                    tooltip="How the weights are kept. auto: 16 bit on a graphics card, or the best of int8 "
                    "and 4-bit that fits there; 32 bit on the processor; which one and why is shown on the "
                    "node and recorded with every critique. fp8, int8: about half the memory of 16 "
                    "bit. 4-bit: less again; needs bitsandbytes.",
                ),
                io.Combo.Input(
                    "device",
                    options=devices(),
                    default="auto",
                    tooltip="Where the critic runs. auto: where ComfyUI runs its models. cpu: spares the "
                    "graphics card, but an 8B model then takes many minutes per picture. With several cards "
                    "(cuda:1): on that one, so that the critic and the generator need not take turns.",
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
                    options=list(STYLES),
                    default=CARD,
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
                io.String.Input(
                    "folder",
                    default="",
                    tooltip="A model's folder anywhere on this computer. If given, it is loaded instead of "
                    "the model chosen above.",
                    optional=True,
                    advanced=True,
                ),
                io.Combo.Input(
                    "keep_loaded",
                    options=list(KEEP),
                    default=AUTO,
                    tooltip="How long the critic stays loaded. auto: until ComfyUI needs its room; after "
                    "that it is read from disk again. always: when ComfyUI needs its room, it waits in "
                    "ordinary memory and comes back sooner. never: it leaves after every use.",
                    optional=True,
                ),
                io.Boolean.Input(
                    "download_if_missing",
                    default=False,
                    tooltip="Download a known model (those at the end of the list, with their size) from "
                    "Hugging Face if it is not on this computer. Off: nothing is ever downloaded.",
                    optional=True,
                ),
            ],
            hidden=[io.Hidden.unique_id],
            outputs=[
                CriticSocket.Output(
                    display_name="critic",
                    tooltip="The critic, for Critique Image. ComfyUI moves it on and off the graphics "
                    "card as needed.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, model: str | None = None, folder: str | None = "", download_if_missing: bool | None = False
    ) -> bool | str:
        """Takes over core's own check of `model`, which knows no names of yesterday's or another's list."""
        if model is None or folder is None or folder.strip():  # linked: not known before the run
            return True
        try:
            _place(model, "", download_if_missing is not False, lambda known, home: None)
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
        node = cls.hidden and cls.hidden.unique_id

        def fetch(known: catalog.Checkpoint, home: Path) -> None:
            tell(f"Downloading {known.repository} ({known.size / 1e9:.1f} GB) into {home}", node)
            download(known, home, node_progress())

        target = critic_device(device)
        name, place = _place(model, folder, download_if_missing, fetch)
        wording = choose(place, style=style, profile=aspects_json.loads(aspects))
        model_folder.check(place)
        kept = critic_precision(precision, target, place)
        tell(f"{name}: {kept}", node)
        critic = local.prepare(place, target, kept, max_pixels, name=name, wording=wording)
        return io.NodeOutput(manage(critic, target, keep_loaded))


def _options() -> list[str]:
    offered = catalog.available_models(_roots())
    here = [name for name, folder in offered.items() if folder]
    return [*here, SHAPES_CRITIC, *(name for name in offered if name not in here)]


def _roots() -> list[Path]:
    """Every folder of the kinds that critics lie in, as ComfyUI and extra_model_paths.yaml name them; the
    first is where a new one belongs."""
    known = folder_paths.folder_names_and_paths
    llm, encoders = (known.get(kind, ((), ()))[0] for kind in KINDS)
    return list(dict.fromkeys(map(Path, [*llm, Path(folder_paths.models_dir, KINDS[0]), *encoders])))


def _place(model: str, folder: str, may_fetch: bool, fetch: Callable) -> tuple[str, Path]:
    """(name, folder) of what the widgets say; `fetch(checkpoint, folder)` brings what is only known."""
    if folder.strip():
        place = Path(folder.strip()).expanduser()
        return place.name, place
    if model == SHAPES_CRITIC:
        return BUILT_IN, model_folder.SHAPES_CRITIC
    if place := catalog.locate(model, catalog.available_models(_roots())):
        return catalog.strip_remark(model), place
    home = _roots()[0]
    known = catalog.known_checkpoint(model)
    if known and may_fetch:
        fetch(known, home / known.name)
        return known.name, home / known.name
    if known:
        raise FileNotFoundError(
            f"model: {known.name} is not on this computer. Switch download_if_missing on, or download "
            f"{known.repository} ({known.size / 1e9:.1f} GB) from Hugging Face into {home / known.name}."
        )
    raise FileNotFoundError(
        f"model: {model!r} is in none of ComfyUI's folders for {' and '.join(KINDS)}, nor in the Hugging "
        f"Face cache. Put the model's folder into {home} and press R to refresh the list."
    )
