"""Rank a folder of small images with the Shapes critic, killed half way and started again: what is judged
twice, what is lost, and how much memory it takes.

    python benchmarks/rank_folder.py            2,000 images
    python benchmarks/rank_folder.py --quick    40 images

The first process gets SIGKILL (on Windows TerminateProcess) as soon as half of the images are on disk; the
script fails where the kill came later than a batch or two after that, or where the process had ended by
itself. What was judged twice is told from outside: a critique written again is another file (inode) than the
one that lay there at the kill. The last line is one JSON object. Memory is the resident size in /proc, null
on systems without.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _common import close

from rr_models.shapes.generator import generate

ROOT = Path(__file__).resolve().parents[1]
REQUEST = "a large red circle on the left and a small blue star on the right"
SLACK = 16
"""Images: two batches."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="40 images instead of 2,000")
    options.add_argument("--n", type=int, default=2000, help="images (default: 2000)")
    args = options.parse_args()
    n = 40 if args.quick else args.n
    with tempfile.TemporaryDirectory() as home:
        folder, out = Path(home, "images"), Path(home, "out")
        draw(folder, n)
        begin = time.monotonic()
        first = Watched(folder, out, kill_at=n // 2)
        kept = entries(out)
        if not first.killed or not n // 2 <= len(kept) <= n // 2 + SLACK:
            sys.exit(f"The kill did not fall half way: {len(kept)} of {n} were judged, so nothing is proved.")
        print(f"killed with {len(kept)} of {n} judged", file=sys.stderr)
        second = Watched(folder, out)
        seconds = time.monotonic() - begin
        after = entries(out)
        said = re.search(r"(\d+) judged now, (\d+) cached", second.said)
        with (out / "ranking.csv").open(encoding="utf-8-sig", newline="") as table:
            ranked = Counter(row["file"] for row in csv.DictReader(table) if row["overall"])
        names = {file.name for file in folder.iterdir()}
    close(
        {
            "n": n,
            "judged_before_kill": len(kept),
            "judged_after": int(said[1]),
            "cached_after": int(said[2]),
            "judged_twice": sum(after.get(name) != inode for name, inode in kept.items()),
            "critiques_on_disk": len(after),
            "lost": len(names - set(ranked)),
            "doubled_in_table": sum(count > 1 for count in ranked.values()),
            "seconds": seconds,
            "mb_before_kill": first.memory(0, len(kept)),
            "mb_after": second.memory(len(kept), n),
            "mb_peak": max((mb for _, mb in first.samples + second.samples), default=None),
        }
    )


def draw(folder: Path, n: int) -> None:
    """`n` images, all of different content."""
    folder.mkdir()
    seen, seed = set(), 0
    while len(seen) < n:
        image = generate(REQUEST, seed=seed).resize((96, 96))
        if (content := hashlib.sha256(image.tobytes()).digest()) not in seen:
            seen.add(content)
            image.save(folder / f"{seed:05}.png")
        seed += 1


def entries(out: Path) -> dict[str, int]:
    """The critiques kept on disk, and which file (inode) each is."""
    return {file.name: file.stat().st_ino for file in out.glob("cache/??/*.json")}


class Watched:
    """One process of `rank`, watched until it ends, or killed once `kill_at` critiques are on disk.

    `samples` holds (critiques on disk, MB resident) over time.
    """

    def __init__(self, folder: Path, out: Path, kill_at: int | None = None):
        command = [sys.executable, "-m", "rr_models", "rank", str(folder), "--out", str(out)]
        self.samples: list[tuple[int, float]] = []
        self.killed = False
        with subprocess.Popen(
            [*command, "--request", REQUEST],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as job:
            while job.poll() is None:
                there = sum(1 for _ in out.glob("cache/??/*.json"))
                if (mb := resident(job.pid)) is not None:
                    self.samples.append((there, mb))
                if kill_at is not None and there >= kill_at:
                    job.kill()
                    job.wait()
                    self.killed = job.returncode != 0
                    break
                time.sleep(0.25)
            self.said = job.stdout.read()

    def memory(self, start: int, end: int) -> list[float] | None:
        """MB when a twentieth of this process's images were judged, when half were, and at its end."""
        if not self.samples:
            return None
        marks = [start + (end - start) * share for share in (0.05, 0.5)]
        levels = [next((mb for there, mb in self.samples if there >= mark), None) for mark in marks]
        return [level and round(level, 1) for level in (*levels, self.samples[-1][1])]


def resident(process: int) -> float | None:
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return None
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else None


if __name__ == "__main__":
    main()
