"""What several commands share: options of a critic, loading it, reading images, printing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..judgement import aspect_numbers, aspects_json
from ..judgement.answer_format import CARD, STYLES
from ..judgement.aspects import RATIONAL_REWARDS, Profile
from ..prompting.wording import Wording, choose

if TYPE_CHECKING:
    import torch

    from ..critics.base import Critic

OK, UNJUDGED, BAD_INPUT, STOPPED = 0, 1, 2, 130
SHAPES = "shapes"
PRECISIONS = ("auto", "bf16", "fp16", "fp32", "fp8", "int8", "4-bit")
ATTENTIONS = ("sdpa", "flash_attention_2")


def add_command(commands, name: str, run: Callable[[Any], int], does: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def add_wording_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--style", choices=STYLES, default=CARD)
    command.add_argument("--template", type=Path, help="JSON file with your own prompt")
    command.add_argument("--aspects", type=Path, help="JSON file with your own aspects")


def add_weight_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="ASPECT=NUMBER",
        help="how much an aspect counts in the overall score (default 1 each); may be repeated",
    )


def weights(options: argparse.Namespace) -> dict[str, float]:
    return aspect_numbers.weights(",".join(options.weight))


def add_critic_options(
    command: argparse.ArgumentParser, details: Sequence[str], request_required: bool = True
) -> None:
    """The options of commands that ask a critic."""
    default = "" if request_required else " (default: a .txt beside each image, or its metadata)"
    command.add_argument("--request", required=request_required, help=f"what was asked for{default}")
    command.add_argument(
        "--source",
        action="append",
        default=[],
        type=Path,
        help="judge an edit: the image before it; may be repeated",
    )
    command.add_argument(
        "--critic",
        default=SHAPES,
        help=f"a model folder, the name of one under --models, or {SHAPES!r}, the built-in critic, which "
        "judges images of coloured shapes only (default)",
    )
    command.add_argument(
        "--models",
        action="append",
        type=Path,
        help="folder of model folders (default: models/LLM of the ComfyUI that contains this pack); the "
        "Hugging Face cache is searched too",
    )
    add_wording_options(command)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ... (default auto)")
    command.add_argument("--precision", choices=PRECISIONS, default="auto")
    command.add_argument(
        "--attention",
        choices=ATTENTIONS,
        default=ATTENTIONS[0],
        help="of the vision tower: sdpa (default), or flash_attention_2, which needs the package flash-attn",
    )
    command.add_argument("--max-pixels", type=int, help="larger images are scaled down to this many pixels")
    command.add_argument("--temperature", type=float, default=0.0, help="0 (default) is greedy decoding")
    command.add_argument("--seed", type=int, default=0, help="sampling seed; ignored at temperature 0")
    command.add_argument("--max-new-tokens", type=int, default=2048)
    command.add_argument(
        "--constrained",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the critic's own words; an answer that lacks a score goes on under given headings; "
        "--no-constrained: its own words alone, asked for again, constrained, if a score is missing",
    )
    command.add_argument(
        "--detail",
        choices=details,
        default="full",
        help="scores: up to the last score; critique: with the summary; full (default): with a refined "
        "request"
        + ("; best: scores of all images, the full critique of the best one" if "best" in details else ""),
    )
    command.add_argument("--batch-size", type=int, default=8, help="images judged at a time (default 8)")


def judge_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `judging.critique` and `compare`."""
    names = ("temperature", "seed", "max_new_tokens", "batch_size", "constrained", "detail")
    return {name: getattr(options, name) for name in names}


def progress_bar() -> Callable[[int, int], None] | None:
    """A progress callback, if someone is watching."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    bar = tqdm(unit=" tokens", leave=False)

    def on_progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return on_progress


def profile(options: argparse.Namespace) -> Profile:
    return aspects_json.read(options.aspects) if options.aspects else RATIONAL_REWARDS


def wording(options: argparse.Namespace, folder: Path | None) -> Wording:
    return choose(folder, options.template, options.style, profile(options))


def load(options: argparse.Namespace) -> Critic:
    """The critic that the options name, with its weights loaded."""
    from ..critics import local  # torch takes seconds to import, and some commands need none of it

    folder = _folder(options)
    return local.load(
        folder,
        options.device,
        options.precision,
        options.max_pixels,
        name="Shapes critic" if options.critic == SHAPES else "",
        wording=wording(options, folder),
        attention=options.attention,
    )


def _folder(options: argparse.Namespace) -> Path:
    from ..checkpoints import catalog, model_folder

    if options.critic == SHAPES:
        print(
            "rational-rewards: the built-in Shapes critic judges images of coloured shapes only; choose "
            "another with --critic.",
            file=sys.stderr,
        )
        return model_folder.SHAPES_CRITIC
    if Path(options.critic).is_dir():
        return Path(options.critic)
    searched = options.models or [Path(__file__).resolve().parents[4] / "models" / "LLM"]
    entries = catalog.available_models(searched)
    if folder := catalog.locate(options.critic, entries):
        return folder
    known = ", ".join(name for name, folder in entries.items() if folder) or "none"
    raise ValueError(
        f"--critic: {options.critic!r} is neither a folder nor a Qwen3-VL model under "
        f"{', '.join(map(str, searched))} or in the Hugging Face cache (available: {known}). Give its "
        "folder, or its name with --models."
    )


def read_images(files: Sequence[Path]) -> list[torch.Tensor]:
    from ..images import load_image

    return [load_image(file) for file in files]


def print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=1))
