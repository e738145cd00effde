"""Save a refine loop: each round's image, the best image and the history, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import folder_paths
import torch
from comfy.cli_args import args

from ...rr_models.images import to_pil
from ...rr_models.loop.state import State
from ...rr_models.records import image_metadata, record

SUBFOLDER = "RationalRewards"
BEST = "best.png"


def new_folder(prefix: str) -> Path:
    """A new folder in ComfyUI's output folder: RationalRewards/<prefix>_<first free number>."""
    if not prefix.strip(" .") or re.search(r'[\x00-\x1f<>:"/\\|?*]', prefix):
        raise ValueError(
            f'filename_prefix: {prefix!r} is not a folder name; use text without / \\ : * ? " < > |, '
            'such as "refine".'
        )
    home = Path(folder_paths.get_output_directory(), SUBFOLDER)
    number = 1
    while True:
        folder = home / f"{prefix.strip()}_{number:05}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def save_image(image: torch.Tensor, file: Path, prompt: dict | None, extra_pnginfo: dict | None) -> None:
    """Save one image as PNG, with the workflow in it as core's Save Image stores it."""
    workflow = {} if args.disable_metadata else {"prompt": prompt, **(extra_pnginfo or {})}
    image_metadata.save(to_pil(image), file, image_metadata.as_texts(workflow))


def save_history(state: State, folder: Path) -> None:
    """Save the loop so far as history.json."""
    record.save_json(state.to_dict(), folder / "history.json")


def as_ui(file: Path) -> dict:
    """The form in which the frontend asks for a file of the output folder."""
    return {"filename": file.name, "subfolder": f"{SUBFOLDER}/{file.parent.name}", "type": "output"}
