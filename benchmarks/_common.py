"""Shared by all benchmarks: the import path, progress on stderr, statistics, and the JSON line at the end."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if "rr_models" not in sys.modules:  # as in the tests, where nodes/ must not be importable
    sys.path.insert(0, str(ROOT))


def load_test_helper(name: str) -> ModuleType:
    """A helper module of the tests, loaded from its file, as tests/ on the path would add all of them."""
    spec = spec_from_file_location(name, ROOT / "tests" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
