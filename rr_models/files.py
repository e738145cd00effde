"""Files that are written whole or not at all, and JSON whose errors name the file and the fault."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import first_line

PART = ".part"
"""The suffix of a file that is still being written."""


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """The path of a new file beside `file`: it takes `file`'s place when the block ends, and is deleted when
    the block fails. Readers always see a whole file, and several processes may write the same one."""
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}{PART}")
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def read_json(file: Path, max_bytes: int | None = None) -> object:
    """The data in a JSON file in UTF-8. ValueError that names the file if it cannot be read, holds more than
    `max_bytes`, or is not JSON."""
    try:
        with file.open("rb") as stream:
            content = stream.read(-1 if max_bytes is None else max_bytes + 1)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}.") from error
    if max_bytes is not None and len(content) > max_bytes:
        raise ValueError(f"{file} is too large: it may hold {max_bytes} bytes. Shorten it.")
    try:
        return parse_json(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not text in UTF-8.") from error
    except ValueError as error:
        raise ValueError(f"{file} {error}") from error


def parse_json(text: str) -> object:
    """The data of a JSON text. ValueError where it is not JSON, nested too deeply, or has a number of
    thousands of digits; the message continues a sentence: "is not JSON: ..."."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("is not JSON that can be read: it is nested too deeply.") from error
    except ValueError as error:
        raise ValueError(f"is not JSON: {first_line(error)}.") from error
