"""Fetching a known checkpoint from the Hugging Face hub, only ever when somebody has asked for it.

Files come one after the other, straight into the model's folder: what breaks off is taken up where it
stopped, every large file is held against its published hash, and config.json comes last, so that a folder
counts as a model only when it is whole. Nothing of the hub's pickled weights or code is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from ..errors import CriticError
from .catalog import Checkpoint

RECORD = "revision.json"
"""Where a folder says which commit of which repository it holds."""
_WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "merges.txt", "*.md", "LICENSE*")
_SPARE = 1_000_000_000  # bytes of disk that are left free

Watch = Callable[[int, int], None]


def download(known: Checkpoint, folder: Path, watch: Watch) -> None:
    """Bring `known` into `folder`, or what is still missing of it.

    `watch(done, total)` hears of every piece, in bytes; what it raises ends the download, and what has come
    is kept. The commit is the one that was the newest at the first try; RECORD holds it. CriticError says
    what went wrong, and that the next try goes on from there.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise CriticError(
            f"{known.name} is not downloaded, since HF_HUB_OFFLINE is set. Unset it and start ComfyUI again, "
            f"or copy {known.repository} into {folder} yourself."
        )
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    revision = json.loads(record.read_text("utf-8"))["revision"] if record.is_file() else "main"
    try:
        # no token: what is fetched is public, and nobody's account has to be told
        api = HfApi(endpoint=constants.ENDPOINT, token=False)
        told = api.model_info(known.repository, revision=revision, files_metadata=True)
    except Exception as error:  # the library's errors have no common class but this
        raise CriticError(
            f"{known.repository} cannot be asked for at {constants.ENDPOINT} ({_first_line(error)}). Check "
            f"the network and try again, or copy the model into {folder} yourself."
        ) from error
    record.write_text(json.dumps({"repository": known.repository, "revision": told.sha}), "utf-8")
    wanted = [file for file in told.siblings if "/" not in file.rfilename and _is_wanted(file.rfilename)]
    wanted.sort(key=lambda file: (file.rfilename == "config.json", file.size))
    total, here = sum(file.size for file in wanted), sum(_here(folder, file) for file in wanted)
    free = shutil.disk_usage(folder).free
    if total - here + _SPARE > free:
        raise CriticError(
            f"{known.name} takes {(total - here) / 1e9:.1f} GB more, but the disk of {folder} has "
            f"{free / 1e9:.1f} GB free. Make room, or name a folder on another disk as LLM in "
            "extra_model_paths.yaml."
        )
    done = 0
    for file in wanted:
        if not (folder / file.rfilename).is_file():
            _fetch(
                known, told.sha, file, folder / file.rfilename, lambda new, was=done: watch(was + new, total)
            )
        done += file.size
        watch(done, total)


def _fetch(known: Checkpoint, revision: str, file, target: Path, heard: Callable[[int], None]) -> None:
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(known.repository, file.rfilename, revision=revision, endpoint=constants.ENDPOINT)
    part = _part(target)
    start = part.stat().st_size if part.is_file() else 0
    if start > file.size:
        part.unlink()
        start = 0
    told = _Told(heard)
    try:
        with part.open("ab") as told.stream:  # closing it writes too, and fails if the disk is full
            http_get(
                url,
                told,
                resume_size=start,
                headers=build_hf_headers(token=False),
                expected_size=file.size,
                displayed_filename=file.rfilename,
            )
    except Exception as error:
        if told.raised is not None:
            raise told.raised from None
        came = part.stat().st_size if part.is_file() else 0
        raise CriticError(
            f"The download of {known.name} broke off in {file.rfilename}, {came / 1e6:.1f} of "
            f"{file.size / 1e6:.1f} MB ({_first_line(error)}). What has come is kept: try again to go on."
        ) from error
    if file.lfs and _sha256(part, heard) != file.lfs.sha256:
        part.unlink()
        raise CriticError(
            f"{file.rfilename} of {known.name} came damaged (its hash is not the published one) and was "
            "deleted. Try again: only this file is fetched once more."
        )
    os.replace(part, target)


class _Told:
    """A file that tells how long it has grown; `raised` is what the listener has raised."""

    stream: BinaryIO

    def __init__(self, heard: Callable[[int], None]):
        self.heard = heard
        self.raised: Exception | None = None

    def write(self, data: bytes) -> int:
        count = self.stream.write(data)
        try:
            self.heard(self.stream.tell())
        except Exception as error:
            self.raised = error
            raise
        return count

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def _sha256(file: Path, heard: Callable[[int], None]) -> str:
    digest, size = hashlib.sha256(), file.stat().st_size
    with file.open("rb") as stream:
        while piece := stream.read(1 << 26):
            digest.update(piece)
            heard(size)  # no further than that, but Stop is heard
    return digest.hexdigest()


def _here(folder: Path, file) -> int:
    target = folder / file.rfilename
    return next((one.stat().st_size for one in (target, _part(target)) if one.is_file()), 0)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _WANTED) and name != RECORD


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
