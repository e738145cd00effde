"""The development environment: `.venv` with pinned packages, made once and then only checked.

Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENTS = ROOT / "requirements-dev.txt"
SHIM = ROOT / "scripts" / "cpu_torchvision.py"
SPACE_NEEDED = 4e9

# Never installed for the user's own ComfyUI: torch is pinned here, and templates and docs are 420 MB that no
# test needs.
NOT_INSTALLED = (
    "torch",
    "torchvision",
    "torchaudio",
    "comfyui-workflow-templates",
    "comfyui-embedded-docs",
)
# transformers 4.57 and the packages that it needs in other versions than requirements-dev.txt has.
OLDEST_TRANSFORMERS = ("transformers==4.57.6", "tokenizers==0.22.2", "huggingface-hub==0.36.2")


class SetupError(Exception):
    """Something is missing; the message says what to do. Shown without a traceback."""


def call(command: Sequence[object], message: str) -> None:
    """Run a command; raise SetupError with `message` if it fails."""
    if subprocess.run([str(part) for part in command], cwd=ROOT).returncode:
        raise SetupError(message)


def prepare(core: Path | None = None) -> Path:
    """Complete `.venv` and return its Python; the requirements of the ComfyUI `core` are added.

    Stamps record what was installed, so a second call installs nothing and needs no network.
    """
    make_venv()
    pins = digest(REQUIREMENTS.read_text("utf-8"), SHIM.read_text("utf-8"))
    requirements = core_requirements(core) if core else []
    if not stamped("pins", pins):
        print(
            "Installing the development requirements into .venv (takes minutes the first time) ...",
            flush=True,
        )
        pip_install("-r", REQUIREMENTS)
        fix_cpu_builds()
        stamp("core", "")
        stamp("pins", pins)
    if requirements and not stamped("core", digest(*requirements)):
        print(f"Installing the requirements of the ComfyUI in {core} ...", flush=True)
        pip_install(*requirements)
        stamp("core", digest(*requirements))
    return PYTHON


def make_venv() -> None:
    """Make `.venv`; make it again if another Python made it, or if it was made for another folder."""
    origin = f"Python {sys.version_info[0]}.{sys.version_info[1]} for {ROOT}"
    if PYTHON.exists() and stamped("origin", origin):
        return
    free = shutil.disk_usage(ROOT).free
    if free < SPACE_NEEDED:
        raise SetupError(
            f"The disk of {ROOT} has {free / 1e9:.1f} GB free, but the environment takes "
            f"{SPACE_NEEDED / 1e9:.0f} GB, twice that with a CUDA build of torch. Free some space and retry."
        )
    print(f"Making .venv with {origin} ...", flush=True)
    call(
        [sys.executable, "-m", "venv", "--clear", VENV],
        f"{sys.executable} could not make a virtual environment in {VENV}. On Debian and Ubuntu, install the "
        f"package python{sys.version_info[0]}.{sys.version_info[1]}-venv with apt.",
    )
    stamp("origin", origin)


def core_requirements(core: Path) -> list[str]:
    """The requirements of the user's own ComfyUI, without NOT_INSTALLED."""
    if core.is_relative_to(CACHE) or not (core / "requirements.txt").is_file():
        return []  # requirements-dev.txt covers the pinned cores
    lines = [
        line.split("#")[0].strip() for line in (core / "requirements.txt").read_text("utf-8").splitlines()
    ]
    return [line for line in lines if line and re.split(r"[<>=!~;\[ ]", line)[0].lower() not in NOT_INSTALLED]


def pip_install(*arguments: object) -> None:
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    call(
        [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *quiet, *arguments],
        "pip could not install the development requirements; its message is above. The first run needs a "
        "network (PyPI) and several GB of disk. Retry when both are available: packages that are installed "
        "already are kept.",
    )


def oldest_transformers() -> Path:
    """A folder for PYTHONPATH with the oldest supported transformers, which then hides the one in `.venv`."""
    folder = CACHE / OLDEST_TRANSFORMERS[0].replace("==", "-")
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetch-") as scratch:
            print(f"Downloading {OLDEST_TRANSFORMERS[0]} to test with ...", flush=True)
            call(
                [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
                + ["--target", Path(scratch, "overlay"), *OLDEST_TRANSFORMERS],
                f"pip could not download {OLDEST_TRANSFORMERS[0]} and its dependencies; see above.",
            )
            os.replace(Path(scratch, "overlay"), folder)
    return folder


def fix_cpu_builds() -> None:
    """Make torchvision and torchaudio importable with a CPU build of torch, if they are not already."""
    packages = Path(output("import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    shim, hook = packages / "_rr_cpu_torchvision.py", packages / "_rr_cpu_torchvision.pth"
    shim.unlink(missing_ok=True)
    hook.unlink(missing_ok=True)
    if runs("import torch, torchvision, torchaudio"):
        return
    if not runs("import torch; assert torch.version.cuda is None and torch.version.hip is None"):
        raise SetupError(
            "torch, torchvision and torchaudio in .venv do not fit together, and torch is not a CPU build. "
            "Remove .venv and retry; if it fails again, the three pins in requirements-dev.txt do not suit "
            "this machine."
        )
    if not runs("import torchvision"):
        shutil.copyfile(SHIM, shim)
        hook.write_text(f"import {shim.stem}\n", "utf-8")
    if not runs("import torchaudio"):
        # Without its CUDA-linked libraries, torchaudio falls back to its Python code.
        for library in (packages / "torchaudio").rglob("*.so"):
            library.unlink()
    if not runs("import torchvision, torchaudio"):
        raise SetupError(
            "torchvision or torchaudio cannot be imported with the CPU build of torch in .venv, not even "
            "with the project's shims. Remove .venv and retry."
        )


def has_accelerator() -> bool:
    """Whether the torch in .venv can use a GPU here."""
    return runs(
        "import torch; xpu = getattr(torch, 'xpu', None); assert torch.cuda.is_available() or "
        "torch.backends.mps.is_available() or (xpu and xpu.is_available())"
    )


def runs(code: str) -> bool:
    """Whether a piece of Python code succeeds in .venv."""
    return subprocess.run([str(PYTHON), "-c", code], cwd=VENV, capture_output=True).returncode == 0


def output(code: str) -> str:
    process = subprocess.run([str(PYTHON), "-c", code], cwd=VENV, capture_output=True, text=True, check=True)
    return process.stdout.strip()


def digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def stamped(name: str, value: str) -> bool:
    file = VENV / f"{name}.stamp"
    return file.is_file() and file.read_text("utf-8") == value


def stamp(name: str, value: str) -> None:
    (VENV / f"{name}.stamp").write_text(value, "utf-8")
