"""What all tests share: import paths as in real use, the pack as ComfyUI loads it, real ComfyUI cores, and
the rule that CI skips nothing but tests that need a GPU.

Helper modules in tests/ are imported as `rr_tests.<name>` (`from rr_tests.in_process import Run`), the
library as `rr_models`. Fixtures: `load_pack`; `comfy_core`, a real core in this process with our pack;
`core_folder` and `floor_folder`, the folders of the cores; `serve`, a real core as a separate server;
`running_browser`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Generator, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"

# `python -m pytest` puts the repository on sys.path; our nodes/ would then stand in for ComfyUI's nodes.py.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
for helpers_of in ("scripts", "benchmarks"):
    if str(ROOT / helpers_of) not in sys.path:
        sys.path.append(str(ROOT / helpers_of))

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may use the network, not even by accident
os.environ["HF_HUB_CACHE"] = str(ROOT / ".cache" / "hub")  # nor depend on the models that the user has


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
# Not an __init__.py in tests/, which would change how pytest imports the tests.
helpers = ModuleType("rr_tests")
helpers.__path__ = [str(TESTS)]
sys.modules["rr_tests"] = helpers


def core_at(variable: str, version: str) -> Path | None:
    """The core that `scripts/dev.py test` passes in the environment, else the one in the cache."""
    folder = Path(os.environ.get(variable) or ROOT / ".cache" / f"ComfyUI-{version}")
    return folder if (folder / "execution.py").is_file() else None


# The same examples every time, and no deadline that a busy machine could miss.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")
# Hypothesis also draws the constants of all loaded modules, ComfyUI's among them: reading them takes many
# seconds, and the examples would depend on which tests ran before.
providers._get_local_constants = lambda: providers._local_constants

CORE, FLOOR = core_at("RR_COMFYUI_PATH", "0.30.0"), core_at("RR_COMFYUI_FLOOR_PATH", "0.16.3")
MISSING = "ComfyUI {} is not installed here: run `python scripts/dev.py env`, or set {} to its folder"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def pytest_report_header() -> list[str]:
    def version(package: str) -> str:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return f"no {package}"

    cores = ", ".join(str(core) for core in (CORE, FLOOR) if core) or "none"
    packages = ", ".join(version(name) for name in ("torch", "transformers", "numpy", "pillow", "hypothesis"))
    return [f"python {platform.python_version()}, {packages}", f"ComfyUI cores: {cores}"]


def pytest_configure(config: pytest.Config) -> None:
    """Only `-m gpu` uses a GPU, so that the results of all other tests do not depend on the machine."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch is imported


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a core or a browser by their fixtures, and those that need neither and are not
    slow as fast; drop those of other platforms."""
    foreign = []
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"core_folder", "floor_folder", "serve"}:
            item.add_marker("core")
        if "running_browser" in fixtures:
            item.add_marker("browser")
        if not any(item.get_closest_marker(name) for name in ("core", "browser", "slow")):
            item.add_marker("fast")
        platform_mark = item.get_closest_marker("platform")
        if platform_mark and not sys.platform.startswith(platform_mark.args):
            foreign.append(item)
    if foreign:
        config.hook.pytest_deselected(items=foreign)
        items[:] = [item for item in items if item not in foreign]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU, and pytest -m gpu")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not item.get_closest_marker("gpu"):
        fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped_in_ci(report)
    return report


def fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """CI provides everything but a GPU, so that a skip means that something went unnoticed."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(CI is set: only tests marked gpu may be skipped.)"


@pytest.fixture(scope="session", autouse=True)
def one_thread_of_the_processor() -> None:
    """Small models gain nothing from more threads, and results must not depend on their number, nor on a
    Mac's GPU."""
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
        torch.backends.mps.is_available = lambda: False


@pytest.fixture
def load_pack() -> Iterator[Callable[[str], ModuleType]]:
    """Import the pack's root package under a name that starts with rr_pack; it is removed afterwards."""
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
    """The oldest ComfyUI that the pack supports."""
    if FLOOR is None:
        pytest.skip(MISSING.format("0.16.3", "RR_COMFYUI_FLOOR_PATH"))
    return FLOOR


@pytest.fixture(scope="session")
def comfy_core(core_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """A real ComfyUI core in this process, our pack loaded into it: an `rr_tests.in_process.Core`."""
    from rr_tests.in_process import Core

    core = Core(core_folder, tmp_path_factory.mktemp("comfyui"))
    core.load_our_pack(ROOT)
    yield core
    core.close()


@pytest.fixture(scope="session")
def core(comfy_core):
    """`comfy_core` with the nodes that only tests need."""
    comfy_core.load_pack(TESTS / "nodes_testonly", "rr-nodes-testonly")
    return comfy_core


@pytest.fixture(scope="session")
def tiny_model(comfy_core) -> Path:
    """A tiny critic in the core's model folders, where its name is "tiny"."""
    from rr_tests.tiny import make

    return make(comfy_core.base / "models" / "LLM" / "tiny")


@pytest.fixture(scope="session")
def real_vocabulary_critic(core_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """A critic with the vocabulary of real ones, for `rr_tests.scripted`: its weights are random."""
    from rr_tests.real_vocabulary import make

    from rr_models.critics import local

    return local.load(make(tmp_path_factory.mktemp("models") / "real-vocabulary", core_folder))


@pytest.fixture(scope="session")
def real_tokens(core_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """The tokens of that vocabulary without a model, for `rr_tests.driver`."""
    from rr_tests.real_vocabulary import token_sets

    return token_sets(tmp_path_factory.mktemp("models") / "real-tokens", core_folder)


@pytest.fixture(scope="session")
def small_vocabulary_critic(core_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """The same with the beginning of that vocabulary, for tests with many answers."""
    from rr_tests.real_vocabulary import FEW, make

    from rr_models.critics import local

    return local.load(make(tmp_path_factory.mktemp("models") / "small-vocabulary", core_folder, FEW))


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory):
    """serve(core, {"name": folder}) -> a running dev_comfyui.Server with our pack and these.

    Equal arguments give the same server; all servers are stopped at the end of the session.
    """
    from dev_comfyui import PACK_FOLDER, Server

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


@pytest.fixture(scope="module")  # Playwright runs an event loop, so that asyncio.run of a core would fail
def running_browser():
    """A Chromium that Playwright drives."""
    from dev_browser import browser
    from dev_env import SetupError

    try:
        with browser() as running:
            yield running
    except SetupError as error:
        pytest.skip(str(error))
