"""Disks that are really full: a limit on the size of a file, and a small file system (on Linux)."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from rr_tests.test_download import COMMIT, KNOWN, folder, ignore, published, there  # noqa: F401 - fixtures

from rr_models.checkpoints import download, model_folder
from rr_models.errors import CriticError, ModelFolderError
from rr_models.records import append_log

NOT_WINDOWS = pytest.mark.platform("linux", "darwin")


@contextlib.contextmanager
def no_file_beyond(size: int):
    """Writing beyond `size` bytes of any file fails in the system itself, as with a quota."""
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SmallDisk:
    """A file system with 400 kB of free space, mounted in a user namespace, which needs no rights."""

    def __init__(self, mount_point: Path):
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
        command += ['mount -t tmpfs -o size=10m tmpfs "$0" && echo mounted && read end', str(mount_point)]
        pipe = subprocess.PIPE
        self._shell = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8")
        self.path = Path(f"/proc/{self._shell.pid}/root", *mount_point.parts[1:])
        self.mounted = self._shell.stdout.readline() == "mounted\n"
        if self.mounted:
            self._ballast = self.path / "ballast"
            self._ballast.write_bytes(b"\0" * (shutil.disk_usage(self.path).free - 400_000))

    def make_room(self) -> None:
        self._ballast.unlink()

    def close(self) -> str:
        """Unmount; return the messages of the commands."""
        return self._shell.communicate()[1]


@pytest.fixture
def small_disk(tmp_path):
    (tmp_path / "disk").mkdir()
    disk = SmallDisk(tmp_path / "disk")
    mounted = disk.mounted
    if mounted:
        yield disk
    message = disk.close()
    if not mounted:
        pytest.skip(f"no file system can be mounted in a user namespace here: {message.strip()}")


def whole_files(folder):  # noqa: F811
    return {file.name for file in folder.iterdir() if not file.name.endswith(".part")}


@NOT_WINDOWS
def test_a_download_that_may_not_go_on_is_no_model_and_is_taken_up(there, folder):  # noqa: F811
    with no_file_beyond(50_000), pytest.raises(CriticError, match=r"stopped in .* MB \(.*is kept"):
        download.download(KNOWN, folder, ignore)
    (part,) = folder.glob("*.part")
    came = part.stat().st_size
    assert 0 < came <= 50_000
    assert "config.json" not in whole_files(folder) and json.loads(
        (folder / "revision.json").read_text("utf-8")
    )
    with pytest.raises(ModelFolderError, match="lacks config.json"):
        model_folder.check(folder)
    download.download(KNOWN, folder, ignore)
    model_folder.check(folder)
    resumed = [span for path, span, _ in there.asked if path.endswith(part.stem) and span]
    assert resumed == [f"bytes={came}-"], "what had come is not fetched again"


@NOT_WINDOWS
def test_a_log_line_that_finds_no_room_is_taken_back(tmp_path):
    file = tmp_path / "log.jsonl"
    append_log.append_jsonl(file, {"a": 1})
    with no_file_beyond(100), pytest.raises(OSError):
        append_log.append_jsonl(file, {"b": "long " * 100})
    assert file.read_text("utf-8") == '{"a": 1}\n'
    append_log.append_jsonl(file, {"c": 3})
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == [{"a": 1}, {"c": 3}]


@pytest.mark.platform("linux")
def test_a_small_disk_is_told_before_anything_comes(there, small_disk):  # noqa: F811
    place = small_disk.path / "model"
    with pytest.raises(CriticError, match=r"needs 0\.0 GB more, but the disk of .* has 0\.0 GB free. Free"):
        download.download(KNOWN, place, ignore)
    assert not list(place.glob("*.safetensors*")) and not any(COMMIT in path for path, _, _ in there.asked)


@pytest.mark.platform("linux")
def test_a_disk_that_runs_full_keeps_what_came(there, small_disk, monkeypatch):  # noqa: F811
    """As when something else fills the disk after the check."""
    monkeypatch.setattr(download, "_MIN_FREE", -1_000_000_000)
    place = small_disk.path / "model"
    with pytest.raises(CriticError, match="stopped in .*No space left on device.*is kept"):
        download.download(KNOWN, place, ignore)
    assert list(place.glob("*.part")) and "config.json" not in whole_files(place)
    small_disk.make_room()
    download.download(KNOWN, place, ignore)
    model_folder.check(place)
    assert not list(place.glob("*.part"))
