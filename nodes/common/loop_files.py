"""Write a refine loop to disk: each round's picture, the best one and the history, in a folder of its own."""

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


def new_folder(prefix: str) -> Path:
    """A fresh folder in ComfyUI's output folder: RationalRewards/<prefix>_<first free number>."""
    if not prefix.strip(" .") or re.search(r'[\x00-\x1f<>:"/\\|?*]', prefix):
        raise ValueError(
            f'filename_prefix: {prefix!r} is no name for a folder; use words without / \\ : * ? " < > |, '
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


def save_picture(image: torch.Tensor, file: Path, prompt: dict | None, extra_pnginfo: dict | None) -> None:
    """One picture as PNG, with the workflow in it as core's own Save Image writes it."""
    workflow = {} if args.disable_metadata else {"prompt": prompt, **(extra_pnginfo or {})}
    image_metadata.save(to_pil(image), file, image_metadata.as_texts(workflow))


def save_history(state: State, folder: Path) -> None:
    """history.json as it stands."""
    record.save_json(state.to_dict(), folder / "history.json")


def as_ui(file: Path) -> dict:
    """How the frontend asks for a file of the output folder."""
    return {"filename": file.name, "subfolder": f"{SUBFOLDER}/{file.parent.name}", "type": "output"}
