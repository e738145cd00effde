"""Write a refine loop to disk: each round's picture, the best one and the history, in a folder of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import folder_paths
import torch
from comfy.cli_args import args
from PIL.PngImagePlugin import PngInfo

from ..rr_models.images import to_pil
from ..rr_models.loop_state import State

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
    info = None
    if not args.disable_metadata:
        info = PngInfo()
        for key, value in {"prompt": prompt, **(extra_pnginfo or {})}.items():
            if value is not None:
                info.add_text(key, json.dumps(value))
    to_pil(image).save(file, pnginfo=info, compress_level=4)


def save_history(state: State, folder: Path) -> None:
    """history.json as it stands; replaced as a whole, so that whoever reads it never meets a half."""
    part = folder / "history.json.part"
    part.write_text(json.dumps(state.to_dict(), ensure_ascii=False, indent=2), encoding="utf-8")
    part.replace(folder / "history.json")


def as_ui(file: Path) -> dict:
    """How the frontend asks for a file of the output folder."""
    return {"filename": file.name, "subfolder": f"{SUBFOLDER}/{file.parent.name}", "type": "output"}
