"""Load Critique: read a saved critique again, so that work goes on from it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..rr_models import images
from ..rr_models.judgement.critique import Critique, report
from ..rr_models.loop.state import State
from ..rr_models.records import record as records
from ..rr_models.records.record import Record
from .common.socket_types import CATEGORY, CritiqueSocket, HistorySocket, number


class RationalRewardsLoadCritique(io.ComfyNode):
    """Load a saved critique."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsLoadCritique",
            display_name="Load Critique",
            category=CATEGORY,
            description="Reads a critique that was saved in a picture or a JSON file, and the picture "
            "with it, so that work goes on from it: revise its prompt, compare, refine.",
            search_aliases=["load", "metadata", "read", "history", "reward", "import critique", "PNG info"],
            inputs=[
                io.Combo.Input(
                    "file",
                    # uploads are offered for required inputs only, so there must be something to choose
                    options=_choices() or [""],
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="A picture of Save Image with Critique, or a .json, in ComfyUI's input folder. "
                    "Drop a picture on the node to bring it there.",
                ),
                io.String.Input(
                    "output_file",
                    default="",
                    optional=True,
                    tooltip="Instead: a file in ComfyUI's output folder, such as "
                    "RationalRewards/critique_00001_.png or RationalRewards/refine_00001/history.json.",
                ),
            ],
            outputs=[
                CritiqueSocket.Output(
                    display_name="critiques",
                    tooltip="The critique as it was saved; of a history, that of the best round.",
                ),
                io.Image.Output(
                    display_name="image", tooltip="The picture. Nothing runs after it if the file is a JSON."
                ),
                io.String.Output(display_name="request", tooltip="What was asked for."),
                io.String.Output(display_name="prompt", tooltip="What the picture was made from."),
                io.Int.Output(
                    display_name="seed",
                    tooltip="The seed it was made from. Nothing runs after it if none was saved.",
                ),
                io.String.Output(
                    display_name="refined_prompt",
                    tooltip="The critic's better request. Empty if it gave none.",
                ),
                io.Float.Output(
                    display_name="overall",
                    tooltip="Mean of all aspects that apply, 1 (worst) to 4 (best). NaN if the critique is "
                    "not complete.",
                ),
                io.String.Output(display_name="report", tooltip="All scores and reasons as text."),
                HistorySocket.Output(
                    display_name="history",
                    tooltip="All rounds, if the file holds a history. Nothing runs after it if not.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = "", output_file: str | None = "") -> bool | str:
        if None in (file, output_file):
            return True  # linked, so not known before the graph runs
        # core would take a file that has come since the page was loaded for a wrong choice
        try:
            _path(file, output_file)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str | None = "", output_file: str | None = "") -> str | float:
        if None in (file, output_file):
            return float("nan")  # equal to nothing: the file is read every time
        return hashlib.sha256(_path(file, output_file).read_bytes()).hexdigest()

    @classmethod
    def execute(cls, file: str = "", output_file: str = "") -> io.NodeOutput:
        path = _path(file, output_file)
        found = records.read(path)
        critiques = tuple(_critique(record, path) for record in found)
        first, best = found[0], critiques[0]
        history = first.content if isinstance(first.content, State) else None
        told = [history.report()] if history else []
        prompt, seed = (history.best.prompt, history.best.seed) if history else (first.prompt, first.seed)
        return io.NodeOutput(
            critiques,
            _picture(path),
            best.request,
            prompt or best.request,
            ExecutionBlocker(f"{path.name} holds no seed.") if seed is None else seed,
            best.refined_request,
            number(best.overall),
            "\n\n---\n\n".join([*told, *(report(critique) for critique in critiques)]),
            history or ExecutionBlocker(None),
        )


def _choices() -> list[str]:
    """What the input folder holds, on its top level as in core's Load Image."""
    folder = folder_paths.get_input_directory()
    return sorted(name for name in os.listdir(folder) if name.lower().endswith(records.SUFFIXES))


def _path(file: str, output_file: str) -> Path:
    """Where the file lies; ValueError unless it is there, in ComfyUI's own folders, and of a known kind."""
    if not file and not output_file.strip():
        raise ValueError("file: choose a picture or a .json, or name one in output_file.")
    if output_file.strip():
        name, home, what = output_file.strip(), folder_paths.get_output_directory(), "output_file"
    else:
        name, home = folder_paths.annotated_filepath(file)
        home, what = home or folder_paths.get_input_directory(), "file"
    path, home = Path(home, name).resolve(), Path(home).resolve()
    if not path.is_relative_to(home):
        raise ValueError(f"{what}: {name} lies outside of ComfyUI's folder {home}. Copy it there.")
    if path.suffix.lower() not in records.SUFFIXES:
        raise ValueError(f"{what}: {name} is none of {', '.join(records.SUFFIXES)}.")
    if not path.is_file():
        raise ValueError(f"{what}: there is no {name} in {home}.")
    return path


def _critique(record: Record, path: Path) -> Critique:
    if record.critique is None:
        raise ValueError(
            f"{path.name} holds a {record.kind} and no critique of one picture; rational-rewards show "
            "tells it."
        )
    return record.critique


def _picture(path: Path) -> torch.Tensor | ExecutionBlocker:
    if path.suffix.lower() in (".json", ".jsonl"):
        return ExecutionBlocker(None)
    return images.load_image(path)[None]
