"""Rank a folder of small pictures with the Shapes critic, killed half way and started again: what is judged
twice, what is lost, and how much memory it takes.

    python benchmarks/rank_folder.py            2,000 pictures
    python benchmarks/rank_folder.py --quick    40 pictures

The last line is one JSON object. Memory is read from /proc, so it is null on systems without.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import close

from rr_models.shapes.generator import generate

ROOT = Path(__file__).resolve().parents[1]
REQUEST = "a large red circle on the left and a small blue star on the right"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="40 pictures instead of 2,000")
    options.add_argument("--n", type=int, default=2000, help="pictures (default: 2000)")
    args = options.parse_args()
    n = 40 if args.quick else args.n
    with tempfile.TemporaryDirectory() as home:
        folder, out = Path(home, "pictures"), Path(home, "out")
        folder.mkdir()
        for seed in range(n):
            generate(REQUEST, seed=seed).resize((96, 96)).save(folder / f"{seed:05}.png")
        start = time.monotonic()
        _, first = run(folder, out, kill_at=n // 2)
        kept = entries(out)
        said, memory = run(folder, out)
        seconds = time.monotonic() - start
        judged = int(re.search(r"(\d+) judged now", said)[1])
        with (out / "ranking.csv").open(encoding="utf-8-sig", newline="") as table:
            ranked = {row["file"] for row in csv.DictReader(table) if row["rank"]}
        figures = {
            "n": n,
            "kept_at_kill": kept,
            "judged_again": judged - (n - kept),
            "lost": n - len(ranked),
            "judged_after": judged,
            "seconds_per_picture": seconds / n,
        }
    for name, samples in (("first", first), ("second", memory)):
        if samples:
            settled = samples[len(samples) // 5 :]
            figures |= {f"{name}_mb_early": settled[0], f"{name}_mb_end": settled[-1]}
    close(figures)


def entries(out: Path) -> int:
    return len(list(out.glob("remembered/??/*.json")))


def run(folder: Path, out: Path, kill_at: int | None = None) -> tuple[str, list[float]]:
    """What `rank` said, and the memory it took over time, in MB; killed once so many are judged."""
    command = [
        sys.executable,
        "-m",
        "rr_models",
        "rank",
        str(folder),
        "--out",
        str(out),
        "--request",
        REQUEST,
    ]
    samples: list[float] = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as job:
        while job.poll() is None:
            if (mb := resident(job.pid)) is not None:
                samples.append(mb)
            if kill_at is not None and entries(out) >= kill_at:
                job.kill()
            time.sleep(1)
        return job.stdout.read(), samples


def resident(process: int) -> float | None:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else None


if __name__ == "__main__":
    main()
