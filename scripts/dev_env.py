"""The development environment: `.venv` with everything pinned, made once and then only checked.

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

# Never installed on behalf of a ComfyUI of the user's own: torch is pinned here, and templates and docs are
# 420 MB nobody looks at.
NOT_FOR_US = ("torch", "torchvision", "torchaudio", "comfyui-workflow-templates", "comfyui-embedded-docs")
# What transformers 4.57 needs otherwise than the version in requirements-dev.txt.
OLDEST_TRANSFORMERS = ("transformers==4.57.6", "tokenizers==0.22.2", "huggingface-hub==0.36.2")


class Trouble(Exception):
    """Something that cannot be had, in words that say what to do. Shown without a traceback."""


def call(command: Sequence[object], complaint: str) -> None:
    """Run a command that has to work; if it does not, say `complaint`."""
    if subprocess.run([str(part) for part in command], cwd=ROOT).returncode:
        raise Trouble(complaint)


def prepare(core: Path | None = None) -> Path:
    """Make sure that `.venv` is complete and return its Python; `core` is a ComfyUI whose needs are added.

    Stamps tell what was installed, so a second call installs nothing and needs no network.
    """
    make_venv()
    wanted = digest(REQUIREMENTS.read_text("utf-8"), SHIM.read_text("utf-8"))
    needs = core_requirements(core) if core else []
    if not stamped("pins", wanted):
        print(
            "Installing the development requirements into .venv (some minutes the first time) ...", flush=True
        )
        pip_install("-r", REQUIREMENTS)
        mend_cpu_builds()
        stamp("core", "")
        stamp("pins", wanted)
    if needs and not stamped("core", digest(*needs)):
        print(f"Installing what the ComfyUI in {core} asks for ...", flush=True)
        pip_install(*needs)
        stamp("core", digest(*needs))
    return PYTHON


def make_venv() -> None:
    """Make `.venv`, anew if it was made by another Python or for another folder."""
    origin = f"Python {sys.version_info[0]}.{sys.version_info[1]} for {ROOT}"
    if PYTHON.exists() and stamped("origin", origin):
        return
    free = shutil.disk_usage(ROOT).free
    if free < SPACE_NEEDED:
        raise Trouble(
            f"{ROOT} has {free / 1e9:.1f} GB left on its disk, but the environment takes "
            f"{SPACE_NEEDED / 1e9:.0f} GB, twice that with a CUDA build of torch. Make room and start again."
        )
    print(f"Making .venv with {origin} ...", flush=True)
    call(
        [sys.executable, "-m", "venv", "--clear", VENV],
        f"{sys.executable} could not make a virtual environment in {VENV}. On Debian and Ubuntu this needs "
        f"the package python{sys.version_info[0]}.{sys.version_info[1]}-venv (apt install it).",
    )
    stamp("origin", origin)


def core_requirements(core: Path) -> list[str]:
    """What a ComfyUI of the user's own asks for, less torch and the big media packages."""
    if core.is_relative_to(CACHE) or not (core / "requirements.txt").is_file():
        return []  # the pinned cores are covered by requirements-dev.txt
    lines = [
        line.split("#")[0].strip() for line in (core / "requirements.txt").read_text("utf-8").splitlines()
    ]
    return [line for line in lines if line and re.split(r"[<>=!~;\[ ]", line)[0].lower() not in NOT_FOR_US]


def pip_install(*what: object) -> None:
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    call(
        [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *quiet, *what],
        "pip could not install the development requirements; its own words stand above. A network (PyPI) "
        "and some GB of disk are needed the first time. Start again when they are there: what was "
        "installed already is kept.",
    )


def oldest_transformers() -> Path:
    """A folder that, on PYTHONPATH, puts the oldest promised transformers before the one in `.venv`."""
    folder = CACHE / OLDEST_TRANSFORMERS[0].replace("==", "-")
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetch-") as scratch:
            print(f"Getting {OLDEST_TRANSFORMERS[0]} to test with ...", flush=True)
            call(
                [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
                + ["--target", Path(scratch, "overlay"), *OLDEST_TRANSFORMERS],
                f"pip could not download {OLDEST_TRANSFORMERS[0]} and what it takes.",
            )
            os.replace(Path(scratch, "overlay"), folder)
    return folder


def mend_cpu_builds() -> None:
    """Make torchvision and torchaudio importable beside a CPU build of torch, if they are not already."""
    packages = Path(output("import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    shim, hook = packages / "_rr_cpu_torchvision.py", packages / "_rr_cpu_torchvision.pth"
    shim.unlink(missing_ok=True)
    hook.unlink(missing_ok=True)
    if runs("import torch, torchvision, torchaudio"):
        return
    if not runs("import torch; assert torch.version.cuda is None and torch.version.hip is None"):
        raise Trouble(
            "torch, torchvision and torchaudio in .venv do not fit together, and torch is no CPU build. "
            "Remove .venv and start again; if it stays so, the three pins in requirements-dev.txt do not "
            "suit this machine."
        )
    if not runs("import torchvision"):
        shutil.copyfile(SHIM, shim)
        hook.write_text(f"import {shim.stem}\n", "utf-8")
    if not runs("import torchaudio"):
        # Without its CUDA-linked libraries torchaudio takes its own way without extensions.
        for library in (packages / "torchaudio").rglob("*.so"):
            library.unlink()
    if not runs("import torchvision, torchaudio"):
        raise Trouble(
            "torchvision or torchaudio cannot be imported beside the CPU build of torch in .venv, not even "
            "with the project's shims. Remove .venv and start again."
        )


def has_accelerator() -> bool:
    """Whether the torch in .venv can use a GPU here."""
    return runs(
        "import torch; xpu = getattr(torch, 'xpu', None); assert torch.cuda.is_available() or "
        "torch.backends.mps.is_available() or (xpu and xpu.is_available())"
    )


def runs(code: str) -> bool:
    """Whether a piece of Python ends well in .venv."""
    return subprocess.run([str(PYTHON), "-c", code], cwd=VENV, capture_output=True).returncode == 0


def output(code: str) -> str:
    answer = subprocess.run([str(PYTHON), "-c", code], cwd=VENV, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def stamped(name: str, value: str) -> bool:
    file = VENV / f"{name}.stamp"
    return file.is_file() and file.read_text("utf-8") == value


def stamp(name: str, value: str) -> None:
    (VENV / f"{name}.stamp").write_text(value, "utf-8")
