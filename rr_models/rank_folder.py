"""Rank a folder of images as a stream: one batch in memory at a time, every critique saved as soon as it
exists.

The results folder holds ranking.csv, ranking.jsonl, the critiques in `cache` and, on request, the best
images. A second run judges only images that are new or changed, by content; a run that was stopped has lost
no more than its current batch.
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
from typing import Any, BinaryIO

import torch
from PIL import Image

from .critics.base import Critic
from .critics.cached import CACHED
from .critics.disk_cache import DiskCache
from .critics.judging import critique, held
from .errors import first_line
from .files import replacing
from .images import from_pil
from .judgement.critique import COMPLETE, Critique
from .judgement.ranking import RankBy, sort_key
from .records import image_metadata
from .records.append_log import guarded
from .records.prompt_lookup import request_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
NONE, COPY, LINK = "none", "copy", "link"
BEST_FILES = (NONE, COPY, LINK)
CACHE = "cache"
"""The folder of the critiques, in the results folder."""
_UNLIMITED = 1 << 60  # bytes: a folder's critiques are never evicted

OnImage = Callable[[int, int, "float | None"], None]
"""(images done, all images, seconds left or None)"""


@dataclass(frozen=True)
class RankedImage:
    """One judged image: its file, its scores, and where its line begins in the journal."""

    file: str
    status: str
    score: float | None
    """The score that ranks it."""
    overall: float | None
    scores: tuple[tuple[str, float | None], ...]
    offset: int


@dataclass
class FolderRanking:
    """The result of ranking a folder: `images` best first; `skipped` holds (file, reason); `judged` and
    `cached` count the images judged now and those whose critique was in the cache."""

    images: list[RankedImage] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    judged: int = 0
    cached: int = 0

    def report(self, count: int = 20) -> str:
        """The `count` best, and as many of the skipped files with the reasons."""
        lines = [
            f"{len(self.images)} image(s) ranked: {self.judged} judged now, {self.cached} cached, "
            f"{len(self.skipped)} skipped."
        ]
        for rank, image in enumerate(self.images[:count], 1):
            score = image.status if image.score is None else f"{image.score:.2f}"
            lines.append(f"{rank}. {image.file}: {score}")
        lines += [f"Skipped: {file}: {reason}" for file, reason in self.skipped[:count]]
        return "\n".join(lines)


def time_left(seconds: float | None) -> str:
    """Text to append to a progress message: ", 2 min 5 s left"; empty while the time is unknown."""
    return "" if seconds is None else f", {seconds / 60:.0f} min {seconds % 60:.0f} s left"


def cache_in(out: Path) -> DiskCache:
    """The cache of critiques in a results folder."""
    return DiskCache(Path(out) / CACHE, _UNLIMITED)


def rank_folder(
    folder: Path,
    critic: Critic,
    out: Path,
    request: str = "",
    order: RankBy | None = None,
    *,
    recursive: bool = False,
    best_files: str = NONE,
    count: int = 10,
    chunk_size: int = 8,
    on_image: OnImage | None = None,
    **options: Any,
) -> FolderRanking:
    """Judge all images in `folder` and write the ranking to `out`.

    An image's request is `request` or, if that is empty, a .txt beside it or its own metadata. `best_files`
    copies or links the `count` best into `out`/best. `on_image` is called after every `chunk_size`
    images, which are in memory at once; if it raises, the work ends, after the results so far are written.
    `options` go to the critic. ValueError for a folder that does not exist or holds no image, and for
    options out of range.
    """
    folder, out, order = Path(folder), Path(out), order or RankBy()
    if not folder.is_dir():
        raise ValueError(f"folder: there is no folder {folder}.")
    if best_files not in BEST_FILES:
        raise ValueError(f"best_files must be one of {', '.join(BEST_FILES)}, not {best_files!r}.")
    if count < 1 or chunk_size < 1:
        raise ValueError(f"count and chunk_size must be 1 or more, not {count} and {chunk_size}.")
    files = image_files(folder, out, recursive)
    if not files:
        raise ValueError(f"folder: there is no image ({', '.join(SUFFIXES)}) in {folder}.")
    out.mkdir(parents=True, exist_ok=True)
    ranking = FolderRanking()
    with tempfile.TemporaryFile(dir=out) as journal:
        readable = _readable(files, folder, request, ranking.skipped)
        try:
            with held(critic):
                _judge(readable, len(files), critic, order, ranking, journal, chunk_size, on_image, options)
        finally:
            ranking.images.sort(key=lambda image: sort_key(image.status, image.score))
            _write(ranking, out, journal)
    if best_files != NONE:
        best = [image for image in ranking.images if image.status == COMPLETE][:count]
        _write_best(best, folder, out / "best", best_files)
    return ranking


def image_files(folder: Path, out: Path, recursive: bool) -> list[Path]:
    """The image files of a folder, sorted by name, without those in the results' `best`."""
    best = (out / "best").resolve()
    return sorted(
        file
        for file in (folder.rglob("*") if recursive else folder.iterdir())
        if file.suffix.lower() in SUFFIXES and file.is_file() and best not in file.resolve().parents
    )


def _judge(
    readable: Iterator[tuple[str, str, torch.Tensor]],
    total: int,
    critic: Critic,
    order: RankBy,
    ranking: FolderRanking,
    journal: BinaryIO,
    chunk_size: int,
    on_image: OnImage | None,
    options: dict,
) -> None:
    start = time.monotonic()
    on_image = on_image or (lambda done, total, left: None)
    on_image(0, total, None)
    for request, group in groupby(readable, key=lambda image: image[1]):
        while batch := list(islice(group, chunk_size)):
            critiques = critique(critic, [pixels for _, _, pixels in batch], request, **options)
            for (file, _, _), judgement in zip(batch, critiques, strict=True):
                cached = CACHED in judgement.source
                ranking.cached += cached
                ranking.judged += not cached
                ranking.images.append(_ranked(file, judgement, order, journal))
            done = len(ranking.images) + len(ranking.skipped)
            seconds_per_image = (time.monotonic() - start) / done
            on_image(done, total, seconds_per_image * (total - done))
    on_image(total, total, 0.0)


def _readable(
    files: Sequence[Path], folder: Path, request: str, skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, str, torch.Tensor]]:
    """(file, request, pixels) of all images that can be read and have a request; the others go to
    `skipped`."""
    for path in files:
        file = path.relative_to(folder).as_posix()
        try:
            with Image.open(path) as image:
                own_request = request.strip() or request_of(path, image_metadata.load(image))
                if not own_request:
                    skipped.append((file, "no request: none given, beside it or in its metadata"))
                    continue
                pixels = from_pil(image)
        except (OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
            skipped.append((file, f"cannot be read as an image ({first_line(error)})"))
            continue
        yield file, own_request, pixels


def _ranked(file: str, critique: Critique, order: RankBy, journal: BinaryIO) -> RankedImage:
    """The image with its critique, which goes to the journal: memory holds only the scores."""
    order.check([critique])
    offset, score = journal.tell(), order.score(critique)
    line = {"file": file, "score": score, "critique": critique.to_dict()}
    journal.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
    scores = tuple((aspect.key, aspect.score) for aspect in critique.aspects)
    return RankedImage(file, critique.status, score, critique.overall, scores, offset)


def _write(ranking: FolderRanking, out: Path, journal: BinaryIO) -> None:
    """Write ranking.csv and ranking.jsonl, each replaced as a whole."""
    keys = list(dict.fromkeys(key for image in ranking.images for key, _ in image.scores))
    with (
        replacing(out / "ranking.csv") as csv_file,
        replacing(out / "ranking.jsonl") as jsonl_file,
        csv_file.open("w", encoding="utf-8-sig", newline="", errors="replace") as table,
        jsonl_file.open("wb") as lines,
    ):
        sheet = csv.writer(table)
        sheet.writerow(["rank", "file", "score", "overall", *keys, "status", "request", "summary"])
        for rank, image in enumerate(ranking.images, 1):
            journal.seek(image.offset)
            data = json.loads(journal.readline())
            lines.write(json.dumps({"rank": rank, **data}, ensure_ascii=True).encode() + b"\n")
            scores = dict(image.scores)
            texts = (image.status, data["critique"]["request"], data["critique"]["summary"])
            cells = [rank, image.file, image.score, image.overall, *(scores.get(key) for key in keys), *texts]
            sheet.writerow([guarded(cell) for cell in cells])
        for file, reason in ranking.skipped:
            cells = ["", file, None, None, *[None] * len(keys), f"skipped: {reason}", "", ""]
            sheet.writerow([guarded(cell) for cell in cells])


def _write_best(images: Sequence[RankedImage], folder: Path, best: Path, mode: str) -> None:
    """Copy or link the images into `best`, numbered; those of an earlier run are deleted."""
    best.mkdir(exist_ok=True)
    for old in best.iterdir():
        if re.match(r"\d{4,}_", old.name):
            old.unlink()
    for rank, image in enumerate(images, 1):
        source = folder / image.file
        target = best / f"{rank:04}_{source.name}"
        if mode == COPY:
            shutil.copy2(source, target)
            continue
        try:
            os.link(source, target)
        except OSError as error:
            raise ValueError(
                f"best_files: {source} cannot be linked to {target} ({error.strerror or error}): they are on "
                "different disks, or the file system has no links. Choose copy."
            ) from error
