"""Logs that many may write at once: one line per picture, as JSON lines or as CSV for spreadsheets.

Every append takes a lock on the log itself, so that processes and threads wait for each other, on Linux,
macOS and Windows; a line is there in whole or not at all. Knows nothing of pictures or ComfyUI.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

if os.name == "nt":
    import msvcrt
else:
    import fcntl

PATIENCE = 60.0
"""Seconds to wait for others before giving up."""
BOM = b"\xef\xbb\xbf"
"""Tells Excel that a CSV is UTF-8; without it Chinese comes out as other signs."""
_LOCKED = 0x7FFF0000  # a byte that no log reaches: Windows keeps others from reading what is locked
_FORMULA = re.compile(r"[=+\-@\t\r\n'＝＋－＠]|[0-9]{16,}$")
"""What a spreadsheet would run as a formula, or round (it keeps 15 digits); and the guard itself."""


def append_jsonl(file: Path, data: Mapping) -> None:
    """Add `data` as one line of JSON. OSError where it cannot be written; the log is then as it was."""
    try:
        line = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone half of a surrogate pair has no UTF-8
        line = json.dumps(data).encode()
    with _locked(file) as log:
        _add(log, b"" if _ends_a_line(log) else b"\n", line + b"\n")


def append_csv(file: Path, row: Mapping[str, object]) -> None:
    """Add `row`; a new log begins with the row's keys as its header.

    Text that a spreadsheet would take for a formula has a ' in front; `unguarded` takes it off. ValueError if
    the log has no column for something in the row.
    """
    with _locked(file) as log:
        begun = os.fstat(log).st_size > 0
        columns = _columns(log) if begun else list(row)
        if foreign := [key for key in row if key not in columns]:
            raise ValueError(
                f"{file} has no column {', '.join(foreign)}: it was begun by another version or program. "
                "Move it away, and a new one is begun."
            )
        start = b"" if begun and _ends_a_line(log) else b"\r\n" if begun else BOM + _line(columns)
        _add(log, start, _line([guarded(row.get(column)) for column in columns]))


def read_csv(file: Path) -> list[dict[str, str]]:
    """All rows of such a log as text, guards taken off."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [{key: unguarded(cell) for key, cell in row.items()} for row in csv.DictReader(lines)]


def guarded(value: object) -> object:
    """A cell that a spreadsheet shows as it is: text is never a formula, long numbers are text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return value
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    risky = _FORMULA.match(text) if isinstance(value, str) else len(text.lstrip("-")) > 15
    return f"'{text}" if risky else text


def unguarded(cell: str) -> str:
    """The text of a cell of `guarded`."""
    return cell.removeprefix("'")


def _line(cells: list) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)  # ends in \r\n, which is CSV's own
    return line.getvalue().encode()


def _columns(log: int) -> list[str]:
    os.lseek(log, 0, os.SEEK_SET)
    head = os.read(log, 65536).removeprefix(BOM).decode("utf-8", "replace")
    return next(csv.reader(io.StringIO(head)))


def _ends_a_line(log: int) -> bool:
    """Whether the log is empty or its last line has its end; a machine may have died while writing."""
    size = os.fstat(log).st_size
    if not size:
        return True
    os.lseek(log, size - 1, os.SEEK_SET)
    return os.read(log, 1) == b"\n"


def _add(log: int, start: bytes, line: bytes) -> None:
    """Append all of it, or nothing if the disk is full."""
    size = os.fstat(log).st_size
    rest = memoryview(start + line)
    try:
        while rest:
            rest = rest[os.write(log, rest) :]
    except OSError:
        os.ftruncate(log, size)
        raise


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[int]:
    """The open log, which no one else writes to meanwhile. TimeoutError if others hold it too long."""
    file.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
    log = os.open(file, flags, 0o666)
    try:
        _wait_for_lock(log, file)
        try:
            yield log
        finally:
            _unlock(log)
    finally:
        os.close(log)


def _wait_for_lock(log: int, file: Path) -> None:
    late = time.monotonic() + PATIENCE
    while not _try_lock(log):
        if time.monotonic() > late:
            raise TimeoutError(f"{file} is held by another program for more than {PATIENCE:.0f} seconds.")
        time.sleep(0.002)


if os.name == "nt":

    def _try_lock(log: int) -> bool:
        os.lseek(log, _LOCKED, os.SEEK_SET)
        try:
            msvcrt.locking(log, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(log: int) -> None:
        os.lseek(log, _LOCKED, os.SEEK_SET)
        msvcrt.locking(log, msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(log: int) -> bool:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(log: int) -> None:
        fcntl.flock(log, fcntl.LOCK_UN)
