"""Fingerprints by content: of a model folder (weights and settings), and of this library's code.

Two folders with equal files have the same fingerprint wherever they are and whatever they are called.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_MAX_COMPLETE = 32_000_000  # bytes; files up to this size are read completely
_BLOCK, _BLOCKS = 65_536, 64
_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")


def folder_fingerprint(folder: Path) -> str:
    """Fingerprint of a model folder: small files and all settings completely; of large files the size, the
    header with the names of all tensors, and 64 blocks spread over the file.

    Reading 17 GB would take longer than a critique. Training changes nearly every number of a tensor, so
    different models differ in these blocks.
    """
    digest = hashlib.sha256()
    files = (file for file in Path(folder).iterdir() if file.suffix in _SUFFIXES and file.is_file())
    for file in sorted(files):
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as stream:
            if size <= _MAX_COMPLETE:
                digest.update(stream.read())
                continue
            header = int.from_bytes(stream.read(8), "little") if file.suffix == ".safetensors" else 0
            digest.update(stream.read(min(header, _MAX_COMPLETE)))
            for block in range(_BLOCKS):
                stream.seek((size - _BLOCK) * block // (_BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()


@cache
def code_fingerprint() -> str:
    """Fingerprint of this library's code: another version may read or write an answer differently."""
    library, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(library.rglob("*.py")):
        digest.update(file.relative_to(library).as_posix().encode() + b" " + file.read_bytes())
    return digest.hexdigest()
