"""Save Image with Critique: core's Save Image, plus the critique in the file and in a log."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from PIL import Image

from ..rr_models.images import image_hash, to_pil
from ..rr_models.loop.state import State
from ..rr_models.records import append_log, image_metadata
from ..rr_models.records import record as records
from ..rr_models.records.record import Record
from .common.candidates import Candidates, candidates_input, joined_image
from .common.results import node_output
from .common.sampler_metadata import sampler_metadata
from .common.socket_types import CATEGORY, HistorySocket

log = logging.getLogger(__name__)

LOGS = ("none", "jsonl", "csv", "both")
LOG_NAME = "critiques"


class RationalRewardsSaveImage(io.ComfyNode):
    """Save images with their critiques."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsSaveImage",
            display_name="Save Image with Critique",
            category=CATEGORY,
            description="Saves images as core's Save Image does, workflow included, and stores each image's "
            "critique, prompt and seed in its file. Load Critique and `rational-rewards show` read them.",
            search_aliases=[
                "save image",
                "metadata",
                "export",
                "log",
                "csv",
                "jsonl",
                "reward",
                "parameters",
            ],
            is_output_node=True,
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
            inputs=[
                candidates_input("The judged images, from Critique Image, Pick Best or Refine End."),
                io.String.Input(
                    "filename_prefix",
                    default="RationalRewards/critique",
                    tooltip="File name in ComfyUI's output folder, with subfolders. May contain "
                    "%date:yyyy-MM-dd%, %width%, %batch_num% and so on, as in core's Save Image. A number is "
                    "added.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(image_metadata.FORMATS),
                    default="png",
                    optional=True,
                    tooltip="png and webp keep the workflow and open in ComfyUI. jpeg holds 64 KB of "
                    "metadata: a larger workflow is left out, and ComfyUI cannot open workflows from jpeg "
                    "anyway.",
                ),
                io.Int.Input(
                    "quality",
                    default=90,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="For webp and jpeg: 1 (smallest file) to 100 (best); webp at 100 is lossless. "
                    "Ignored for png.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "log",
                    options=list(LOGS),
                    default="none",
                    optional=True,
                    tooltip=f"Append one line per image to {LOG_NAME}.jsonl (complete critiques) or to "
                    f"{LOG_NAME}.csv (a table for spreadsheets) in the images' folder. Several runs and "
                    "programs may write to it at the same time.",
                ),
                HistorySocket.Input(
                    "history",
                    optional=True,
                    tooltip="From Refine End: all rounds, saved next to the first image as a .json with the "
                    "same name.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The images, unchanged."),
                io.String.Output(display_name="files", tooltip="The files written, one per line."),
                io.String.Output(display_name="folder", tooltip="Their folder, such as for Rank Folder."),
            ],
        )

    @classmethod
    def execute(
        cls,
        candidates: Candidates,
        filename_prefix: str = "RationalRewards/critique",
        format: str = "png",
        quality: int = 90,
        log: str = "none",
        history: State | None = None,
    ) -> io.NodeOutput:
        images = joined_image(candidates)
        files, subfolder = _new_files(filename_prefix, images, image_metadata.FORMATS[format])
        notes = []
        for image, record, file in zip(images, _records(candidates), files, strict=True):
            notes += cls._save(image, record, file, quality) + _append_to_logs(record, file, log)
        shown = [{"filename": file.name, "subfolder": subfolder, "type": "output"} for file in files]
        if history is not None and not args.disable_metadata:
            files.append(files[0].with_suffix(".json"))
            records.save_json(Record(history).now().to_dict(), files[-1])
        ui = {"images": shown, **({"text": notes} if notes else {})}
        results = {"images": images, "files": "\n".join(map(str, files)), "folder": str(files[0].parent)}
        return node_output(cls, results, ui=ui)

    @classmethod
    def _save(cls, image: torch.Tensor, record: Record, file: Path, quality: int) -> list[str]:
        """Write one image; returns notes for the user."""
        pil_image = _with_alpha(image)
        if args.disable_metadata:
            image_metadata.save(pil_image, file, {}, quality)
            return []
        workflow = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
        metadata = sampler_metadata(cls.hidden.prompt, str(cls.hidden.unique_id))
        dropped = records.save_image(pil_image, file, record, workflow, metadata, quality)
        if not dropped:
            return []
        note = f"{file.name}: {' and '.join(dropped)} did not fit into the jpeg; png and webp have no limit."
        log.warning(note)
        return [note]


def _new_files(prefix: str, images: torch.Tensor, suffix: str) -> tuple[list[Path], str]:
    """One new file per image in ComfyUI's output folder, and their subfolder of it."""
    height, width = images.shape[1:3]
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), width, height
    )
    stems = [name.replace("%batch_num%", str(index)) for index in range(len(images))]
    return [Path(folder, f"{stem}_{counter + i:05}_{suffix}") for i, stem in enumerate(stems)], subfolder


def _records(candidates: Candidates) -> list[Record]:
    return [
        Record(
            one.judged,
            one.prompt or one.judged.request,
            one.seed,
            index if len(candidates) > 1 else None,
            image_hash(one.pixels[0]),
        ).now()
        for index, one in enumerate(candidates)
    ]


def _with_alpha(image: torch.Tensor) -> Image.Image:
    pil_image = to_pil(image)
    if image.shape[-1] == 4:
        pil_image.putalpha(to_pil(image[..., 3:]).getchannel(0))
    return pil_image


def _append_to_logs(record: Record, file: Path, logs: str) -> list[str]:
    """Append the record to the logs. If a log cannot be written, the image is still saved and a note says
    so."""
    if args.disable_metadata:
        return []
    try:
        if logs in ("jsonl", "both"):
            append_log.append_jsonl(file.with_name(f"{LOG_NAME}.jsonl"), record.line(file.name))
        if logs in ("csv", "both"):
            append_log.append_csv(file.with_name(f"{LOG_NAME}.csv"), record.row(file.name))
    except (OSError, ValueError) as error:
        note = f"{file.name} is saved, but not logged: {error}"
        log.error(note)
        return [note]
    return []
