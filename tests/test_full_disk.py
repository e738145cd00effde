"""Disks that are really full: a file size that the system refuses to go beyond (everywhere but on Windows),
and a small file system of its own (where the tests may mount one)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest
from rr_tests.test_download import COMMIT, KNOWN, folder, ignore, published, there  # noqa: F401 - fixtures

from rr_models.checkpoints import download, model_folder
from rr_models.errors import CriticError, ModelFolderError
from rr_models.records import append_log


@contextlib.contextmanager
def no_file_beyond(size: int):
    """What is written beyond `size` bytes of any file fails, as by a quota; the system itself says so."""
    resource = pytest.importorskip("resource", reason="this system has no limit of a file's size")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB; calling it makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: that takes Linux and its root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def whole_files(folder):  # noqa: F811
    return {file.name for file in folder.iterdir() if not file.name.endswith(".part")}


def test_a_download_that_may_not_go_on_is_no_model_and_is_taken_up(there, folder):  # noqa: F811
    with no_file_beyond(50_000), pytest.raises(CriticError, match=r"broke off in .* MB \(.*is kept"):
        download.download(KNOWN, folder, ignore)
    (part,) = folder.glob("*.part")
    came = part.stat().st_size
    assert 0 < came <= 50_000
    assert "config.json" not in whole_files(folder) and json.loads((folder / "revision.json").read_text())
    with pytest.raises(ModelFolderError, match="lacks config.json"):
        model_folder.check(folder)
    download.download(KNOWN, folder, ignore)
    model_folder.check(folder)
    resumed = [span for path, span, _ in there.asked if path.endswith(part.stem) and span]
    assert resumed == [f"bytes={came}-"], "what had come is not fetched again"


def test_a_log_line_that_finds_no_room_is_taken_back(tmp_path):
    file = tmp_path / "log.jsonl"
    append_log.append_jsonl(file, {"a": 1})
    with no_file_beyond(100), pytest.raises(OSError):
        append_log.append_jsonl(file, {"b": "long " * 100})
    assert file.read_text("utf-8") == '{"a": 1}\n'
    append_log.append_jsonl(file, {"c": 3})
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == [{"a": 1}, {"c": 3}]


def test_a_small_disk_is_told_before_anything_comes(there, small_disk):  # noqa: F811
    place = small_disk / "model"
    with pytest.raises(CriticError, match=r"takes 0\.0 GB more, but the disk of .* has 0\.0 GB free. Make"):
        download.download(KNOWN, place, ignore)
    assert not list(place.glob("*.safetensors*")) and not any(COMMIT in path for path, _, _ in there.asked)


def test_a_disk_that_runs_full_keeps_what_came(there, small_disk, monkeypatch):  # noqa: F811
    """As when something else fills the disk after the check."""
    monkeypatch.setattr(download, "_SPARE", -1_000_000_000)
    place = small_disk / "model"
    with pytest.raises(CriticError, match="broke off in .*No space left on device.*is kept"):
        download.download(KNOWN, place, ignore)
    assert list(place.glob("*.part")) and "config.json" not in whole_files(place)
    larger = ["mount", "-o", "remount,size=50m", str(small_disk)]
    subprocess.run(larger, check=True)
    download.download(KNOWN, place, ignore)
    model_folder.check(place)
    assert not list(place.glob("*.part"))
