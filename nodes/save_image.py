"""Save Image with Critique: as core's Save Image, with the critique inside the file and in a log."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths
import torch
from comfy.cli_args import args
from comfy_api.latest import io
from PIL import Image

from ..rr_models.images import image_hash, to_pil
from ..rr_models.judgement.critique import Critique
from ..rr_models.loop.state import State
from ..rr_models.records import append_log, image_metadata
from ..rr_models.records import record as records
from ..rr_models.records.record import Record
from .common.batches import batch_size, check_pairs
from .common.inputs import seed_input
from .common.sampler_metadata import details
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket

log = logging.getLogger(__name__)

LOGS = ("none", "jsonl", "csv", "both")
LOG_NAME = "critiques"


class RationalRewardsSaveImage(io.ComfyNode):
    """Save pictures with their critiques."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsSaveImage",
            display_name="Save Image with Critique",
            category=CATEGORY,
            description="Saves pictures as core's Save Image does, workflow included, and puts each one's "
            "critique, prompt and seed into the file. Load Critique, or rational-rewards show, reads them "
            "again.",
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
                io.Image.Input("images", tooltip="The pictures to save."),
                CritiqueSocket.Input("critiques", tooltip="Their critiques, one per picture."),
                io.String.Input(
                    "filename_prefix",
                    default="RationalRewards/critique",
                    tooltip="Name of the files in ComfyUI's output folder, folders included. May hold "
                    "%date:yyyy-MM-dd%, %width%, %batch_num% and so on, as in core's Save Image; a number is "
                    "added.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(image_metadata.FORMATS),
                    default="png",
                    optional=True,
                    tooltip="png and webp keep the workflow and open in ComfyUI. jpeg holds 64 KB of texts: "
                    "a larger workflow is left out, and ComfyUI cannot open a jpeg's anyway.",
                ),
                io.Int.Input(
                    "quality",
                    default=90,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="For webp and jpeg: 1 (smallest) to 100 (best); a webp at 100 loses nothing. "
                    "Without effect on png.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "log",
                    options=list(LOGS),
                    default="none",
                    optional=True,
                    tooltip=f"Add one line per picture to {LOG_NAME}.jsonl (whole critiques) or to "
                    f"{LOG_NAME}.csv (a table for spreadsheets) in the folder of the pictures. Many runs and "
                    "programs may write to it at once.",
                ),
                io.String.Input(
                    "prompt",
                    force_input=True,
                    optional=True,
                    tooltip="What the pictures were made from, such as Refine End's prompt. Left open: the "
                    "request.",
                ),
                seed_input(
                    "The seed they were made from, such as Refine End's seed.",
                    force_input=True,
                    optional=True,
                ),
                HistorySocket.Input(
                    "history",
                    optional=True,
                    tooltip="From Refine End: all rounds are saved beside the first picture, as one .json of "
                    "its name.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures as they came in."),
                io.String.Output(display_name="files", tooltip="The files that were written, one per line."),
            ],
        )

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        critiques: tuple[Critique, ...],
        filename_prefix: str = "RationalRewards/critique",
        format: str = "png",
        quality: int = 90,
        log: str = "none",
        prompt: str | None = None,
        seed: int | None = None,
        history: State | None = None,
    ) -> io.NodeOutput:
        check_pairs(batch_size(images, "images"), critiques)
        height, width = images.shape[1:3]
        output = folder_paths.get_output_directory()
        place = folder_paths.get_save_image_path(filename_prefix, output, width, height)
        folder, name, counter, subfolder, _ = place
        files, notes, shown = [], [], []
        for index, (image, critique) in enumerate(zip(images, critiques, strict=True)):
            made_by = Record(
                critique,
                prompt or critique.request,
                seed,
                index if len(images) > 1 else None,
                image_hash(image),
            ).now()
            stem = f"{name.replace('%batch_num%', str(index))}_{counter + index:05}_"
            file = Path(folder, stem + image_metadata.FORMATS[format])
            notes += cls._save(image, file, made_by, quality)
            shown.append({"filename": file.name, "subfolder": subfolder, "type": "output"})
            files.append(file)
            if not args.disable_metadata:
                notes += _note_down(made_by, file, log)
        if history is not None and not args.disable_metadata:
            files.append(files[0].with_suffix(".json"))
            records.save_json(Record(history).now().to_dict(), files[-1])
        return io.NodeOutput(
            images, "\n".join(map(str, files)), ui={"images": shown, **({"text": notes} if notes else {})}
        )

    @classmethod
    def _save(cls, image: torch.Tensor, file: Path, record: Record, quality: int) -> list[str]:
        """Write one picture; returns what has to be said about it."""
        picture = _with_alpha(image)
        if args.disable_metadata:
            image_metadata.save(picture, file, {}, quality)
            return []
        workflow = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
        known = details(cls.hidden.prompt, str(cls.hidden.unique_id))
        left = records.save_image(picture, file, record, workflow, known, quality)
        if not left:
            return []
        note = f"{file.name}: a jpeg has no room for {' and '.join(left)}; png and webp have."
        log.warning(note)
        return [note]


def _with_alpha(image: torch.Tensor) -> Image.Image:
    picture = to_pil(image)
    if image.shape[-1] == 4:
        picture.putalpha(to_pil(image[..., 3:]).getchannel(0))
    return picture


def _note_down(record: Record, file: Path, where: str) -> list[str]:
    """Add the picture to the logs. A log that cannot be written costs the line, not the pictures."""
    try:
        if where in ("jsonl", "both"):
            append_log.append_jsonl(file.with_name(f"{LOG_NAME}.jsonl"), record.line(file.name))
        if where in ("csv", "both"):
            append_log.append_csv(file.with_name(f"{LOG_NAME}.csv"), record.row(file.name))
    except (OSError, ValueError) as error:
        note = f"{file.name} is saved, but not in the log: {error}"
        log.error(note)
        return [note]
    return []
