"""Logs that many processes may write at once: one line per image, as JSON lines or as CSV for spreadsheets.

Every append holds a lock, so that processes and threads wait for each other, on Linux, macOS and Windows; a
line is written whole or not at all. Knows nothing of images or ComfyUI.

The lock is a hidden, empty file beside the log (".log.csv.lock" for "log.csv"), which stays there. Whoever
may write a new log may write it too, and on a network folder all machines see the same one. A file in the
system's temporary folder would do neither: users and machines have different ones.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_TIMEOUT = 60.0
"""Seconds to wait for other writers before giving up."""
BOM = b"\xef\xbb\xbf"
"""Tells Excel that a CSV is UTF-8; without it Chinese text is garbled."""
_FORMULA = re.compile(r"[=+\-@\t\r\n'＝＋－＠]|[0-9]{16,}$")
"""What a spreadsheet would run as a formula or round (it keeps 15 digits), and the guard itself."""


def append_jsonl(file: Path, data: Mapping) -> None:
    """Add `data` as one line of JSON. OSError if it cannot be written; the log is then unchanged."""
    try:
        line = json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone half of a surrogate pair has no UTF-8
        line = json.dumps(data).encode()
    with _locked(file) as log:
        _add(log, b"" if _ends_a_line(log) else b"\n", line + b"\n")


def append_csv(file: Path, row: Mapping[str, object]) -> None:
    """Add `row`; a new log starts with the row's keys as its header.

    Text that a spreadsheet would take for a formula gets a leading '; `unguarded` removes it. ValueError if
    the row has a key that is no column of the log. OSError as for `append_jsonl`.
    """
    with _locked(file) as log:
        has_header = os.fstat(log).st_size > 0
        columns = _columns(log) if has_header else list(row)
        if unknown := [key for key in row if key not in columns]:
            raise ValueError(
                f"{file} has no column {', '.join(unknown)}: another version or program started it. "
                "Move it away; the next row starts a new one."
            )
        if has_header:
            start = b"" if _ends_a_line(log) else b"\r\n"
        else:
            start = BOM + _line(columns)
        _add(log, start, _line([guarded(row.get(column)) for column in columns]))


def read_csv(file: Path) -> list[dict[str, str]]:
    """All rows of a CSV log as text, without guards."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [{key: unguarded(cell) for key, cell in row.items()} for row in csv.DictReader(lines)]


def guarded(value: object) -> object:
    """A cell that a spreadsheet shows unchanged: text is never a formula, long numbers are text."""
    if value is None:
        return ""
    if isinstance(value, float):
        return value
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    risky = _FORMULA.match(text) if isinstance(value, str) else len(text.lstrip("-")) > 15
    return f"'{text}" if risky else text


def unguarded(cell: str) -> str:
    """The text of a cell made by `guarded`."""
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
    """Whether the log is empty or its last line is complete; a machine may have died while writing it."""
    size = os.fstat(log).st_size
    if not size:
        return True
    os.lseek(log, size - 1, os.SEEK_SET)
    return os.read(log, 1) == b"\n"


def _add(log: int, start: bytes, line: bytes) -> None:
    """Append all of it, or nothing where writing fails."""
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
    """The log as an open file descriptor that no one else writes to. TimeoutError if others hold it too
    long."""
    file = file.resolve()  # a link to the log must lead to the same lock
    file.parent.mkdir(parents=True, exist_ok=True)
    # other users write the same log where its folder lets them, so they must be able to open the lock
    lock = FileLock(file.with_name(f".{file.name}.lock"), mode=0o666)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT, poll_interval=0.002)
    except Timeout:
        raise TimeoutError(
            f"{file} is being written by another program for more than {LOCK_TIMEOUT:.0f} seconds. "
            "Close that program, or choose another log."
        ) from None
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
        log = os.open(file, flags, 0o666)
        try:
            yield log
        finally:
            os.close(log)
    finally:
        lock.release()
