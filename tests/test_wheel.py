"""The library as pip installs it: built from its source archive, complete, usable without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir"]
OFFLINE = ["--no-index", "--no-deps"]


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built in a copy, so that nothing is left in the repository."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT / "rr_models", source / "rr_models", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    archive = f"import setuptools.build_meta as backend; backend.build_sdist({str(built)!r})"
    run(sys.executable, "-c", archive, folder=source)
    (archive,) = built.glob("*.tar.gz")
    run(*PIP, "wheel", *OFFLINE, "--no-build-isolation", "-w", built, archive, folder=built)
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    run(*PIP, "install", *OFFLINE, "--target", folder, wheel, folder=folder)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_library(wheel: Path):
    files = {file.relative_to(ROOT).as_posix() for file in (ROOT / "rr_models").rglob("*") if file.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {name for name in files if "__pycache__" not in name}
    assert {"rr_models/shapes/critic/model.safetensors", "rr_models/cli/main.py"} <= held
    assert any(name.startswith("rr_models/scorecard/fonts/") for name in held)


@pytest.mark.slow
def test_what_is_installed_runs_without_the_repository(installed: Path, tmp_path: Path):
    from_there = {"folder": tmp_path, "PYTHONPATH": str(installed)}
    assert "critique" in run(sys.executable, "-m", "rr_models", "--help", **from_there)
    code = "import rr_models; print(rr_models.__file__); print(rr_models.load_critic().tasks)"
    file, tasks = run(sys.executable, "-c", code, **from_there).splitlines()
    assert Path(file).is_relative_to(installed) and "t2i" in tasks
    code = "from importlib.metadata import entry_points as all; "
    code += "(one,) = all(group='console_scripts', name='rational-rewards'); one.load()(['--help'])"
    assert "critique" in run(sys.executable, "-c", code, **from_there)
