"""What a critic is, by content: of a model folder its weights and settings, and of this library its code.

Two folders with the same files have the same fingerprint wherever they lie and whatever they are called.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_SMALL = 32_000_000  # bytes; up to here a file is read as a whole
_BLOCK, _BLOCKS = 65_536, 64
_KINDS = (".safetensors", ".json", ".jinja", ".txt", ".model")


def folder_fingerprint(path: Path) -> str:
    """Fingerprint of a model folder: small files and all settings in full, of large ones the size, the head
    with the names of all tensors, and 64 blocks spread over the whole file.

    Reading 17 GB would take longer than a critique. Training changes nearly every number of a tensor, so
    models that differ differ in the blocks.
    """
    digest = hashlib.sha256()
    for file in sorted(file for file in Path(path).iterdir() if file.suffix in _KINDS and file.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as stream:
            if size <= _SMALL:
                digest.update(stream.read())
                continue
            head = int.from_bytes(stream.read(8), "little") if file.suffix == ".safetensors" else 0
            digest.update(stream.read(min(head, _SMALL)))
            for block in range(_BLOCKS):
                stream.seek((size - _BLOCK) * block // (_BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()


@cache
def code_fingerprint() -> str:
    """Fingerprint of this library's code: what another version judged may read otherwise today."""
    home, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(home.rglob("*.py")):
        digest.update(file.relative_to(home).as_posix().encode() + b" " + file.read_bytes())
    return digest.hexdigest()
