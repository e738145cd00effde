"""What every test stands on: import paths as in real use, the pack as ComfyUI loads it, real ComfyUI cores.

Helpers beside the tests are imported as `rr_tests.<name>` (`from rr_tests.comfy import Run`), the library as
`rr_models`. Fixtures: `load_pack`; `comfy_core`, a real core in this process with our pack; `core_folder` and
`floor_folder`, where the cores lie; `serve`, a real core as a server of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"

# `python -m pytest` puts the repository on sys.path; our nodes/ would then stand in for ComfyUI's nodes.py.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
for helpers_of in ("scripts", "benchmarks"):
    if str(ROOT / helpers_of) not in sys.path:
        sys.path.append(str(ROOT / helpers_of))

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network, not even by accident


def load_package(name: str, folder: Path) -> ModuleType:
    """Import the package in `folder` under `name`, without its parent being on sys.path."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load_package("rr_models", ROOT / "rr_models")
# Made by hand, because an __init__.py in tests/ would change how pytest imports the tests.
helpers = ModuleType("rr_tests")
helpers.__path__ = [str(TESTS)]
sys.modules["rr_tests"] = helpers


def core_at(variable: str, version: str) -> Path | None:
    """The core that `scripts/dev.py test` names, else the one in the cache."""
    folder = Path(os.environ.get(variable) or ROOT / ".cache" / f"ComfyUI-{version}")
    return folder if (folder / "execution.py").is_file() else None


# The same examples every time, and no verdict that depends on how busy the machine is.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

CORE, FLOOR = core_at("RR_COMFYUI_PATH", "0.30.0"), core_at("RR_COMFYUI_FLOOR_PATH", "0.16.3")
MISSING = "no ComfyUI {} here: run `python scripts/dev.py env`, or set {} to its folder"


def pytest_report_header() -> list[str]:
    def version(package: str) -> str:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return f"no {package}"

    cores = ", ".join(str(core) for core in (CORE, FLOOR) if core) or "none"
    packages = ", ".join(version(name) for name in ("torch", "transformers", "numpy", "pillow", "hypothesis"))
    return [f"python {platform.python_version()}, {packages}", f"ComfyUI cores: {cores}"]


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """Small models gain nothing from more, and results should not depend on the number of cores."""
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)


@pytest.fixture
def load_pack() -> Iterator[Callable[[str], ModuleType]]:
    """Import the pack's root package under a name starting with rr_pack; it is dropped afterwards."""
    before = set(sys.modules)
    yield lambda name="rr_pack": load_package(name, ROOT)
    for name in set(sys.modules) - before:
        if name.startswith("rr_pack"):
            del sys.modules[name]


@pytest.fixture(scope="session")
def core_folder() -> Path:
    if CORE is None:
        pytest.skip(MISSING.format("0.30.0", "RR_COMFYUI_PATH"))
    return CORE


@pytest.fixture(scope="session")
def floor_folder() -> Path:
    """The oldest ComfyUI that the pack promises to work in."""
    if FLOOR is None:
        pytest.skip(MISSING.format("0.16.3", "RR_COMFYUI_FLOOR_PATH"))
    return FLOOR


@pytest.fixture(scope="session")
def comfy_core(core_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """A real ComfyUI core in this process, our pack loaded into it: an `rr_tests.comfy.Core`."""
    from rr_tests.comfy import Core

    core = Core(core_folder, tmp_path_factory.mktemp("comfyui"))
    core.load_our_pack(ROOT)
    yield core
    core.close()


@pytest.fixture(scope="session")
def core(comfy_core):
    """The same, with the nodes that only tests need."""
    comfy_core.load_pack(TESTS / "nodes_testonly", "rr-nodes-testonly")
    return comfy_core


@pytest.fixture(scope="session")
def tiny_model(comfy_core) -> Path:
    """A critic of random weights in the core's model folders, found there as "tiny"."""
    from rr_tests.tiny import make

    return make(comfy_core.base / "models" / "LLM" / "tiny")


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory):
    """serve(core, {"name": folder}) -> a running dev_core.Server with our pack and these.

    Asked for the same once more it hands out the same server; all are stopped at the end of the session.
    """
    from dev_core import PACK_FOLDER, Server

    running: dict[tuple, Server] = {}
    with contextlib.ExitStack() as stack:

        def start(core: Path, packs: dict[str, Path] | None = None) -> Server:
            packs = {PACK_FOLDER: ROOT, **(packs or {})}
            key = (core, *sorted(packs.items()))
            if key not in running:
                server = Server(core, tmp_path_factory.mktemp("server"), packs, options=["--cpu"])
                running[key] = stack.enter_context(server)
            return running[key]

        yield start
