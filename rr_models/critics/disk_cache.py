"""A least-recently-used cache on disk: small JSON entries under content keys, safe for several processes.

An entry is one file that is moved into place when it is complete. A damaged entry counts as absent, and the
next `put` replaces it. If the disk is full or read-only, entries are lost but never the work; each problem is
logged once.
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
"""Bytes; a full critique takes about 6,000."""
_SHARE_AFTER_EVICTION = 0.8  # of the limit, so that the next entries evict nothing
_ABANDONED = 3600.0  # seconds after which no process is still writing a partial file


def key_of(parts: object) -> str:
    """The key of `parts`, plain data for JSON: equal for equal parts, whatever their order in dicts."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class DiskCache:
    """Entries in `folder`, together at most about `limit` bytes. Keys come from `key_of`."""

    def __init__(self, folder: Path | str, limit: int = LIMIT):
        if limit < 1:
            raise ValueError(f"limit must be 1 byte or more, not {limit}.")
        self.folder, self.limit = Path(folder), limit
        self._unmeasured = limit  # bytes written since the folder was measured; at first it never was
        self._logged: set[str] = set()

    def get(self, key: str) -> dict | None:
        """The entry under `key`, or None."""
        file = self._file(key)
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log_once("read", f"Cached critiques cannot be read ({error}).")
            return None
        try:
            entry = json.loads(raw)
            intact = entry["key"] == key and entry["check"] == _check(entry["data"])
        except (ValueError, KeyError, TypeError, RecursionError):
            entry, intact = {}, False
        if not intact:
            self._log_once(
                "damaged", f"{file} is damaged and skipped; it will be replaced. There may be others."
            )
            return None
        try:
            os.utime(file)
        except OSError:
            pass  # another process may just have evicted it
        return entry["data"]

    def put(self, key: str, data: dict) -> None:
        """Store `data`, plain data for JSON, under `key`."""
        entry = json.dumps({"key": key, "check": _check(data), "data": data}).encode()
        file = self._file(key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as part:
                part.write_bytes(entry)
            self._unmeasured += len(entry)
            if self._unmeasured > self.limit // 10:
                self._evict()
        except OSError as error:
            self._log_once("write", f"Critiques cannot be cached in {self.folder} ({error}).")

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _evict(self) -> None:
        """Delete the least recently used entries if the folder exceeds the limit."""
        self._unmeasured = 0
        entries, total, now = [], 0, time.time()
        for file in self.folder.glob("??/*"):
            try:
                status = file.stat()
            except OSError:
                continue  # another process evicts too
            if file.suffix == PART:
                if now - status.st_mtime > _ABANDONED:
                    file.unlink(missing_ok=True)
                continue
            entries.append((status.st_mtime_ns, status.st_size, file))
            total += status.st_size
        if total <= self.limit:
            return
        for _, size, file in sorted(entries):
            if total <= self.limit * _SHARE_AFTER_EVICTION:
                break
            file.unlink(missing_ok=True)
            total -= size

    def _log_once(self, what: str, message: str) -> None:
        if what not in self._logged:
            self._logged.add(what)
            log.warning("%s", message)


def _check(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
