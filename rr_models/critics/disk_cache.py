"""A folder of small JSON entries under content keys, bounded in size, for several processes at once.

An entry is one file, written beside its place and moved there, so a reader meets it whole or not at all. What
was used least recently goes first. A damaged entry counts as absent, and the next `put` writes it anew. A
disk that is full or cannot be written to costs the entries, never the work; each is said once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path

from ..files import PART, replacing

log = logging.getLogger(__name__)

LIMIT = 256_000_000
"""Bytes; a whole critique takes about 6,000."""
_KEPT_SHARE = 0.8  # of the limit, when room is made: not to have to do so again at once
_ABANDONED = 3600.0  # seconds after which a half-written file belongs to nobody


def key_of(parts: object) -> str:
    """The key of what `parts`, plain data for JSON, say: equal for equal parts, whatever their order in
    dicts."""
    said = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(said.encode()).hexdigest()


class DiskCache:
    """Entries in `folder`, together at most about `limit` bytes. Keys come from `key_of`."""

    def __init__(self, folder: Path | str, limit: int = LIMIT):
        if limit < 1:
            raise ValueError(f"limit must be 1 byte or more, not {limit}.")
        self.folder, self.limit = Path(folder), limit
        self._unmeasured = limit  # bytes written since the folder was measured; at first it never was
        self._told: set[str] = set()

    def get(self, key: str) -> dict | None:
        """The entry under `key`, or None."""
        file = self._file(key)
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell("read", f"Remembered critiques cannot be read ({error}).")
            return None
        entry: dict = {}
        try:
            entry = json.loads(raw)
            whole = entry["key"] == key and entry["check"] == _check(entry["data"])
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            self._tell(
                "damaged", f"{file} is damaged and passed over; it is written anew. There may be others."
            )
            return None
        try:
            os.utime(file)
        except OSError:
            pass  # another process may have made room just now
        return entry["data"]

    def put(self, key: str, data: dict) -> None:
        """Keep `data`, plain data for JSON, under `key`."""
        entry = json.dumps({"key": key, "check": _check(data), "data": data}).encode()
        file = self._file(key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as part:
                part.write_bytes(entry)
            self._unmeasured += len(entry)
            if self._unmeasured > self.limit // 10:
                self._make_room()
        except OSError as error:
            self._tell("write", f"Critiques cannot be remembered in {self.folder} ({error}).")

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _make_room(self) -> None:
        """Delete what was used least recently, if all together are too many."""
        self._unmeasured = 0
        entries, total, now = [], 0, time.time()
        for file in self.folder.glob("??/*"):
            try:
                found = file.stat()
            except OSError:
                continue  # another process makes room too
            if file.suffix == PART:
                if now - found.st_mtime > _ABANDONED:
                    file.unlink(missing_ok=True)
                continue
            entries.append((found.st_mtime_ns, found.st_size, file))
            total += found.st_size
        if total <= self.limit:
            return
        for _, size, file in sorted(entries):
            if total <= self.limit * _KEPT_SHARE:
                break
            file.unlink(missing_ok=True)
            total -= size

    def _tell(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("%s", message)


def _check(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
