"""Rank a folder of pictures, streamed: one batch in memory at a time, every critique kept as soon as it is
there.

The folder of results holds ranking.csv, ranking.jsonl, the critiques in `remembered` and, if asked for, the
best pictures. A second run judges only what is new or changed, by content; a run that was stopped has lost
nothing but the batch under way.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

import torch
from PIL import Image

from .critics.cached import CACHED, CachedCritic
from .critics.disk_cache import DiskCache
from .images import from_pil
from .judgement.critique import COMPLETE, Critique
from .judgement.ranking import RankBy
from .records import image_metadata
from .records.append_log import guarded
from .records.prompt_lookup import request_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
NONE, COPY, LINK = "none", "copy", "link"
BEST = (NONE, COPY, LINK)
REMEMBERED = "remembered"
_EVERYTHING = 1 << 60  # bytes: what was judged for this folder is kept for good

Told = Callable[[int, int, float | None], None]


@dataclass(frozen=True)
class Row:
    """One picture judged: its file, the scores that rank it, and where its line stands in the journal."""

    file: str
    status: str
    score: float | None
    overall: float | None
    scores: tuple[tuple[str, float | None], ...]
    offset: int


@dataclass
class Ranked:
    """What became of a folder. `rows` are best first; `passed_over` are (file, why)."""

    rows: list[Row] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    judged: int = 0
    remembered: int = 0

    def report(self, count: int = 20) -> str:
        lines = [
            f"{len(self.rows)} picture(s) ranked: {self.judged} judged now, {self.remembered} remembered, "
            f"{len(self.passed_over)} passed over."
        ]
        for place, row in enumerate(self.rows[:count], 1):
            score = row.status if row.score is None else f"{row.score:.2f}"
            lines.append(f"{place}. {row.file}: {score}")
        lines += [f"Passed over: {file}: {why}" for file, why in self.passed_over[:count]]
        return "\n".join(lines)


def time_left(seconds: float | None) -> str:
    """For people, behind how far it is: ", 2 min 5 s left"; "" where it is not known yet."""
    return "" if seconds is None else f", {seconds / 60:.0f} min {seconds % 60:.0f} s left"


def memory(out: Path) -> DiskCache:
    """The critiques of a folder of results."""
    return DiskCache(Path(out) / REMEMBERED, _EVERYTHING)


def rank_folder(
    folder: Path,
    critic: CachedCritic,
    out: Path,
    request: str = "",
    order: RankBy | None = None,
    *,
    recursive: bool = False,
    best: str = NONE,
    count: int = 10,
    batch: int = 8,
    told: Told | None = None,
    **options,
) -> Ranked:
    """Judge all pictures in `folder` and write what came of it to `out`.

    A picture's request is `request`, or if that is empty a .txt beside it, or what its own metadata say.
    `best` copies or links the `count` best. `told(done, total, seconds left)` hears of every picture; what it
    raises ends the work, after the results so far are written. `options` go to the critic.
    """
    folder, out, order = Path(folder), Path(out), order or RankBy()
    if not folder.is_dir():
        raise ValueError(f"folder: there is no folder {folder}.")
    if best not in BEST or count < 1 or batch < 1:
        raise ValueError(f"best must be one of {', '.join(BEST)}; count and batch must be 1 or more.")
    files = pictures(folder, out, recursive)
    if not files:
        raise ValueError(f"folder: there is no picture ({', '.join(SUFFIXES)}) in {folder}.")
    out.mkdir(parents=True, exist_ok=True)
    found = Ranked()
    with tempfile.TemporaryFile(dir=out) as journal:
        try:
            _judge(files, folder, critic, request, order, found, journal, batch, told, options)
        finally:
            found.rows.sort(key=lambda row: (row.status != COMPLETE, row.score is None, -(row.score or 0.0)))
            _write(found, out, journal)
    if best != NONE:
        _hand_out([row for row in found.rows if row.status == COMPLETE][:count], folder, out, best)
    return found


def pictures(folder: Path, out: Path, recursive: bool) -> list[Path]:
    """The pictures of a folder, by name; those of the results are not among them."""
    every = folder.rglob("*") if recursive else folder.iterdir()
    own = (out / "best").resolve()
    return sorted(
        file
        for file in every
        if file.suffix.lower() in SUFFIXES and file.is_file() and own not in file.resolve().parents
    )


def _judge(files, folder, critic, request, order, found, journal, batch, told, options) -> None:
    start, done = time.monotonic(), 0
    tell = told or (lambda done, total, left: None)
    tell(0, len(files), None)
    for asked, group in groupby(_readable(files, folder, request, found), key=lambda one: one[1]):
        while several := list(islice(group, batch)):
            images = [image for _, _, image in several]
            critiques = critic.critique(images, asked, **options)
            for (name, _, _), critique in zip(several, critiques, strict=True):
                remembered = CACHED in critique.source
                found.remembered += remembered
                found.judged += not remembered
                found.rows.append(_row(name, critique, order, journal))
            done = len(found.rows) + len(found.passed_over)
            each = (time.monotonic() - start) / max(1, done)
            tell(done, len(files), each * (len(files) - done))
    tell(len(files), len(files), 0.0)


def _readable(files, folder, request, found) -> Iterator[tuple[str, str, torch.Tensor]]:
    """(name, request, picture) of all that can be read and have a request; the others are passed over."""
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            with Image.open(file) as picture:
                asked = request.strip() or request_of(file, image_metadata.load(picture))
                if not asked:
                    found.passed_over.append((name, "no request: none given, beside it or in its metadata"))
                    continue
                image = from_pil(picture)
        except (OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
            found.passed_over.append((name, f"cannot be read as a picture ({error})"))
            continue
        yield name, asked, image


def _row(name: str, critique: Critique, order: RankBy, journal) -> Row:
    order.check([critique])
    offset = journal.tell()
    line = {"file": name, "score": order.score(critique), "critique": critique.to_dict()}
    journal.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
    scores = tuple((a.key, a.score) for a in critique.aspects)
    return Row(name, critique.status, order.score(critique), critique.overall, scores, offset)


def _write(found: Ranked, out: Path, journal) -> None:
    """ranking.csv and ranking.jsonl, each replaced as a whole."""
    keys = list(dict.fromkeys(key for row in found.rows for key, _ in row.scores))
    csv_part, json_part = out / "ranking.csv.part", out / "ranking.jsonl.part"
    with (
        csv_part.open("w", encoding="utf-8-sig", newline="", errors="replace") as table,
        json_part.open("wb") as lines,
    ):
        sheet = csv.writer(table)
        sheet.writerow(["rank", "file", "score", "overall", *keys, "status", "request", "summary"])
        for place, row in enumerate(found.rows, 1):
            journal.seek(row.offset)
            data = json.loads(journal.readline())
            lines.write(json.dumps({"rank": place, **data}, ensure_ascii=True).encode() + b"\n")
            scores = dict(row.scores)
            texts = (row.status, data["critique"]["request"], data["critique"]["summary"])
            cells = [place, row.file, row.score, row.overall, *(scores.get(key) for key in keys), *texts]
            sheet.writerow([guarded(cell) for cell in cells])
        for name, why in found.passed_over:
            sheet.writerow(
                [guarded(cell) for cell in ["", name, None, None, *[None] * len(keys), why, "", ""]]
            )
    csv_part.replace(out / "ranking.csv")
    json_part.replace(out / "ranking.jsonl")


def _hand_out(rows: Sequence[Row], folder: Path, out: Path, how: str) -> None:
    """The best pictures in `best`, numbered; those of an earlier run make way."""
    place = out / "best"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        if re.match(r"\d{4,}_", old.name):
            old.unlink()
    for number, row in enumerate(rows, 1):
        source = folder / row.file
        target = place / f"{number:04}_{source.name}"
        if how == COPY:
            shutil.copy2(source, target)
            continue
        try:
            os.link(source, target)
        except OSError as error:
            raise ValueError(
                f"best: {source} cannot be linked to {target} ({error.strerror or error}): they lie on "
                "different disks, or the disk knows no links. Choose copy."
            ) from error
