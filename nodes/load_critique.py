"""Load Critique: read a saved critique and its image."""

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
from .common.candidates import Candidate, Candidates
from .common.results import node_output
from .common.socket_types import CATEGORY, CandidatesSocket, HistorySocket


class RationalRewardsLoadCritique(io.ComfyNode):
    """Load a saved critique."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsLoadCritique",
            display_name="Load Critique",
            category=CATEGORY,
            description="Reads a critique that was saved in an image or a JSON file, with the image, so that "
            "you can continue from it: revise its prompt, compare, refine.",
            search_aliases=["load", "metadata", "read", "history", "reward", "import critique", "PNG info"],
            inputs=[
                io.Combo.Input(
                    "file",
                    # uploads are offered for required inputs only, so there must be something to choose
                    options=_choices() or [""],
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="An image from Save Image with Critique, or a .json, in ComfyUI's input folder. "
                    "Drop an image on the node to copy it there.",
                ),
                io.String.Input(
                    "output_file",
                    default="",
                    optional=True,
                    tooltip="Alternative to file: a file in ComfyUI's output folder, such as "
                    "RationalRewards/critique_00001_.png or RationalRewards/refine_00001/history.json.",
                ),
            ],
            outputs=[
                CandidatesSocket.Output(
                    display_name="candidates",
                    tooltip="The saved critique with its image, prompt and seed; of a history, that of the "
                    "best round.",
                ),
                io.Image.Output(
                    display_name="image", tooltip="The image. Blocks downstream nodes if the file is a JSON."
                ),
                io.String.Output(display_name="prompt", tooltip="The prompt the image was made from."),
                io.Int.Output(
                    display_name="seed",
                    tooltip="The seed the image was made from. Blocks downstream nodes if none was saved.",
                ),
                io.String.Output(
                    display_name="refined_prompt",
                    tooltip="The critic's refined request. Empty if there is none.",
                ),
                io.String.Output(display_name="report", tooltip="All scores and justifications as text."),
                HistorySocket.Output(
                    display_name="history",
                    tooltip="All rounds of a history. Blocks downstream nodes if the file holds none.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = "", output_file: str | None = "") -> bool | str:
        if file is None or output_file is None:
            return True  # linked, so not known before the graph runs
        # core would reject a file that was added since the page was loaded
        try:
            _path(file, output_file)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str | None = "", output_file: str | None = "") -> str | float:
        if file is None or output_file is None:
            return float("nan")  # never equal, so the file is read every time
        return hashlib.sha256(_path(file, output_file).read_bytes()).hexdigest()

    @classmethod
    def execute(cls, file: str = "", output_file: str = "") -> io.NodeOutput:
        path = _path(file, output_file)
        loaded = records.read(path)
        critiques = tuple(_critique(record, path) for record in loaded)
        candidates = _candidates(loaded, critiques, _image(path))
        best, content, no_seed = candidates[0], loaded[0].content, f"{path.name} holds no seed."
        results = {
            "candidates": candidates,
            "image": ExecutionBlocker(None) if best.image is None else best.image,
            "prompt": best.prompt,
            "seed": ExecutionBlocker(no_seed) if best.seed is None else best.seed,
            "refined_prompt": critiques[0].refined_request,
            "report": _report(loaded[0], critiques),
            "history": content if isinstance(content, State) else ExecutionBlocker(None),
        }
        return node_output(cls, results)


def _candidates(
    loaded: list[Record], critiques: tuple[Critique, ...], image: torch.Tensor | None
) -> Candidates:
    """The critiques with what they were made from; of a history, that is the best round's."""
    content = loaded[0].content
    best = content.best if isinstance(content, State) and content.best else loaded[0]
    return tuple(
        Candidate(image, critique, prompt=source.prompt or critique.request, seed=source.seed)
        for source, critique in zip([best, *loaded[1:]], critiques, strict=True)
    )


def _report(record: Record, critiques: tuple[Critique, ...]) -> str:
    reports = [record.content.report()] if isinstance(record.content, State) else []
    return "\n\n---\n\n".join([*reports, *map(report, critiques)])


def _choices() -> list[str]:
    """The files at the top level of the input folder, as in core's Load Image."""
    folder = folder_paths.get_input_directory()
    return sorted(name for name in os.listdir(folder) if name.lower().endswith(records.SUFFIXES))


def _path(file: str, output_file: str) -> Path:
    """The file to read. ValueError unless it exists in ComfyUI's own folders and has a known suffix."""
    if not file and not output_file.strip():
        raise ValueError("file: choose an image or a .json, or name one in output_file.")
    if output_file.strip():
        name, home, source = output_file.strip(), folder_paths.get_output_directory(), "output_file"
    else:
        name, home = folder_paths.annotated_filepath(file)
        home, source = home or folder_paths.get_input_directory(), "file"
    path, home = Path(home, name).resolve(), Path(home).resolve()
    if not path.is_relative_to(home):
        raise ValueError(f"{source}: {name} is outside ComfyUI's folder {home}. Copy it there.")
    if path.suffix.lower() not in records.SUFFIXES:
        raise ValueError(f"{source}: {name} must end in one of {', '.join(records.SUFFIXES)}.")
    if not path.is_file():
        raise ValueError(f"{source}: there is no {name} in {home}.")
    return path


def _critique(record: Record, path: Path) -> Critique:
    if record.critique is None:
        raise ValueError(
            f"{path.name} holds a {record.kind}, not a critique of one image. Read it with "
            "`rational-rewards show`."
        )
    return record.critique


def _image(path: Path) -> torch.Tensor | None:
    """The image [1, H, W, C] in the file; None if it is a JSON."""
    return None if path.suffix.lower() in (".json", ".jsonl") else images.load_image(path)[None]
