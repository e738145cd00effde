"""Shared by all benchmarks: the import path, progress on stderr, statistics, and the JSON line at the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def progress(what: str, total: int):
    """A `watch(done, total)` for critics that keeps one line of stderr up to date, once in a hundred
    tokens."""

    def watch(done: int, of: int) -> None:
        if done % 100 == 0 or done == of:
            print(f"\r{what} of {total}: {done}/{of} tokens at most ", end="", file=sys.stderr, flush=True)

    return watch


def ranks(values) -> np.ndarray:
    """Ranks from 0, ties sharing their mean."""
    values = np.asarray(values, float)
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return ((ends - count + ends - 1) / 2)[place]


def spearman(a, b) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def close(figures: dict) -> None:
    """Print the figures as the last line."""
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}))
