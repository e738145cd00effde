"""Download a known checkpoint from the Hugging Face hub; only ever on the user's request.

Files are downloaded one after the other, straight into the model's folder: a broken download resumes where it
stopped, every large file is compared with its published hash, and config.json comes last, so that a folder
counts as a model only when it is complete. The hub's pickled weights and code are not downloaded.

This calls huggingface_hub's `http_get`, which is not public. The public replacement would be
`hf_hub_download(local_dir=, tqdm_class=)`, but the huggingface_hub of transformers 4.57 (0.36) has no
`tqdm_class` there: replace it once transformers 5 is the oldest supported version.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..errors import CriticError, first_line
from ..files import PART, replacing
from .catalog import Checkpoint

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

REVISION_FILE = "revision.json"
"""Records which commit of which repository a folder holds."""
_PATTERNS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "merges.txt",
    "*.md",
    "LICENSE*",
)
_MIN_FREE = 1_000_000_000  # bytes of disk that are left free

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class _RemoteFile:
    """A file of the repository: its size in bytes and, of a large one, its published SHA-256."""

    name: str
    size: int
    sha256: str | None

    @classmethod
    def of(cls, sibling: RepoSibling) -> _RemoteFile:
        return cls(sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else None)

    @property
    def is_wanted(self) -> bool:
        matches = any(fnmatch(self.name, pattern) for pattern in _PATTERNS)
        return matches and "/" not in self.name and self.name != REVISION_FILE

    def bytes_in(self, folder: Path) -> int:
        """How much of the file is in `folder`."""
        target = folder / self.name
        return next((file.stat().st_size for file in (target, _part(target)) if file.is_file()), 0)


def download(checkpoint: Checkpoint, folder: Path, on_progress: OnProgress) -> None:
    """Download `checkpoint`, or what is missing of it, into `folder`.

    `on_progress(done, total)` is called for every piece, in bytes; an exception it raises ends the download,
    and the downloaded part is kept. The commit is the newest one at the first try, recorded in REVISION_FILE.
    Raises CriticError if the hub cannot be reached, a file is damaged, the disk is full or HF_HUB_OFFLINE is
    set; the next try resumes.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise CriticError(
            f"{checkpoint.name} is not downloaded, because HF_HUB_OFFLINE is set. Unset it and restart "
            f"ComfyUI, or copy {checkpoint.repository} into {folder} yourself."
        )
    folder.mkdir(parents=True, exist_ok=True)
    revision, files = _published_files(checkpoint, folder)
    _check_disk(checkpoint, folder, files)
    done, total = 0, sum(file.size for file in files)
    for file in files:
        if not (folder / file.name).is_file():

            def on_bytes(received: int, before: int = done) -> None:
                on_progress(before + received, total)

            _download_file(checkpoint, revision, file, folder / file.name, on_bytes)
        done += file.size
        on_progress(done, total)


def _published_files(checkpoint: Checkpoint, folder: Path) -> tuple[str, list[_RemoteFile]]:
    """The commit that `folder` holds or will hold, and its files in the order of download."""
    from huggingface_hub import HfApi, constants

    record = folder / REVISION_FILE
    revision = json.loads(record.read_text("utf-8"))["revision"] if record.is_file() else "main"
    try:
        # no token: the files are public, and no account has to be named
        api = HfApi(endpoint=constants.ENDPOINT, token=False)
        info = api.model_info(checkpoint.repository, revision=revision, files_metadata=True)
    except Exception as error:  # the library's errors have no narrower class in common
        raise CriticError(
            f"{constants.ENDPOINT} does not answer about {checkpoint.repository} ({first_line(error)}). "
            f"Check the network and try again, or copy the model into {folder} yourself."
        ) from error
    commit = str(info.sha)
    with replacing(record) as file:
        file.write_text(json.dumps({"repository": checkpoint.repository, "revision": commit}), "utf-8")
    files = [file for sibling in info.siblings or () if (file := _RemoteFile.of(sibling)).is_wanted]
    return commit, sorted(files, key=lambda file: (file.name == "config.json", file.size))


def _check_disk(checkpoint: Checkpoint, folder: Path, files: list[_RemoteFile]) -> None:
    needed = sum(file.size - file.bytes_in(folder) for file in files)
    free = shutil.disk_usage(folder).free
    if needed + _MIN_FREE > free:
        raise CriticError(
            f"{checkpoint.name} needs {needed / 1e9:.1f} GB more, but the disk of {folder} has "
            f"{free / 1e9:.1f} GB free. Free some space, or add a folder on another disk as LLM to "
            "extra_model_paths.yaml."
        )


def _download_file(
    checkpoint: Checkpoint, revision: str, file: _RemoteFile, target: Path, on_bytes: Callable[[int], None]
) -> None:
    """Download one file, resuming a part of it; `on_bytes` is given the bytes received so far."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(checkpoint.repository, file.name, revision=revision, endpoint=constants.ENDPOINT)
    part = _part(target)
    start = part.stat().st_size if part.is_file() else 0
    if start > file.size:
        part.unlink()
        start = 0
    reporting = _ReportingStream(on_bytes)
    try:
        with part.open("ab") as reporting.stream:  # closing it writes too, and fails if the disk is full
            http_get(
                url,
                cast(BinaryIO, reporting),
                resume_size=start,
                headers=build_hf_headers(token=False),
                expected_size=file.size,
                displayed_filename=file.name,
            )
    except Exception as error:
        if reporting.raised is not None:
            raise reporting.raised from None
        received = part.stat().st_size if part.is_file() else 0
        raise CriticError(
            f"The download of {checkpoint.name} stopped in {file.name}, at {received / 1e6:.1f} of "
            f"{file.size / 1e6:.1f} MB ({first_line(error)}). This part is kept: try again to resume."
        ) from error
    if file.sha256 and _sha256(part, on_bytes) != file.sha256:
        part.unlink()
        raise CriticError(
            f"{file.name} of {checkpoint.name} was damaged on the way (its hash is not the published one) "
            "and has been deleted. Try again: only this file is downloaded again."
        )
    os.replace(part, target)


class _ReportingStream:
    """A file that reports its size after every write; `raised` is the exception that the callback raised."""

    stream: BinaryIO

    def __init__(self, on_bytes: Callable[[int], None]):
        self.on_bytes = on_bytes
        self.raised: Exception | None = None

    def write(self, data: bytes) -> int:
        count = self.stream.write(data)
        try:
            self.on_bytes(self.stream.tell())
        except Exception as error:
            self.raised = error
            raise
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _sha256(file: Path, on_bytes: Callable[[int], None]) -> str:
    digest, size = hashlib.sha256(), file.stat().st_size
    with file.open("rb") as stream:
        while piece := stream.read(1 << 26):
            digest.update(piece)
            on_bytes(size)  # the progress stays, but Stop takes effect
    return digest.hexdigest()


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}{PART}")
