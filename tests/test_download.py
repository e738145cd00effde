"""Downloads from a hub on this computer: complete, interrupted and resumed, refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rr_tests import tiny

from rr_models.checkpoints import catalog, download, model_folder
from rr_models.errors import CriticError

KNOWN = catalog.KNOWN_CHECKPOINTS[0]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """What the hub answers about one repository. After `breaks_at` bytes of one answer it hangs up, and then
    on everybody."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder, self.asked = folder, []
        self.breaks_at: int | None = None
        self.dead = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.server.dead:
            self.hang_up()
        elif path.startswith(f"/api/models/{KNOWN.repository}/revision/"):
            self.answer(json.dumps(self.about()).encode(), "application/json")
        elif path.startswith(f"/{KNOWN.repository}/resolve/{COMMIT}/"):
            self.answer((self.server.folder / path.rpartition("/")[2]).read_bytes())
        else:
            self.send_error(404)

    def about(self) -> dict:
        files = []
        for file in sorted(self.server.folder.iterdir()):
            data = file.read_bytes()
            told = {"rfilename": file.name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            if file.suffix == ".safetensors":
                told["lfs"] = {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 1,
                }
            files.append(told)
        return {"id": KNOWN.repository, "sha": COMMIT, "siblings": files}

    def answer(self, data: bytes, kind: str = "application/octet-stream"):
        start, whole = 0, len(data)
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(whole - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        limit = self.server.breaks_at
        if limit is not None and whole - start > limit:
            self.wfile.write(data[start : start + limit])
            self.server.dead = True
            return self.hang_up()
        self.wfile.write(data[start:])

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tiny.make(tmp_path_factory.mktemp("hub") / "repository", shard="200KB")
    (folder / "README.md").write_text("# The model card", "utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "modeling.py").write_text("raise SystemExit", "utf-8")
    return folder


@pytest.fixture
def there(published, monkeypatch):
    from huggingface_hub import constants, file_download

    server = Hub(published)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)  # both follow from HF_ENDPOINT at import
    template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    for module in (constants, file_download):  # versions before 1 keep one of their own
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "LLM" / KNOWN.name


def ignore(done: int, total: int) -> None: ...


def test_a_download_is_complete_and_holds_nothing_that_could_run(there, published, folder):
    heard = []
    download.download(KNOWN, folder, lambda done, total: heard.append((done, total)))
    model_folder.check(folder)
    came = {file.name for file in folder.iterdir()}
    assert came == {file.name for file in published.iterdir()} - {"pytorch_model.bin", "modeling.py"} | {
        download.REVISION_FILE
    }
    for file in came - {download.REVISION_FILE}:
        assert (folder / file).read_bytes() == (published / file).read_bytes()
    total = sum((folder / file).stat().st_size for file in came - {download.REVISION_FILE})
    assert heard[-1] == (total, total) and heard == sorted(heard)
    assert json.loads((folder / download.REVISION_FILE).read_text("utf-8")) == {
        "repository": KNOWN.repository,
        "revision": COMMIT,
    }
    assert all(token is None for _, _, token in there.asked)
    paths = [path for path, _, _ in there.asked]
    assert paths[-1].endswith("config.json") and len(paths) == len(set(paths))


def test_an_interrupted_download_resumes_where_it_stopped(there, folder):
    there.breaks_at = 150_000
    with pytest.raises(
        CriticError, match=r"stopped in .*safetensors, at 0\.[12] of .* MB .*try again to resume"
    ):
        download.download(KNOWN, folder, ignore)
    (part,) = folder.glob("*.part")
    assert part.stat().st_size >= 150_000 and not (folder / "config.json").exists()
    assert not model_folder.is_critic(folder), "half a model would be offered"
    whole = [file for file in folder.iterdir() if not file.name.endswith((".part", download.REVISION_FILE))]
    there.breaks_at, there.dead = None, False
    there.asked.clear()
    download.download(KNOWN, folder, ignore)
    model_folder.check(folder)
    (about, *rest) = there.asked
    assert about[0].endswith(COMMIT), "the second try asks for the commit of the first"
    assert rest[0][1] == f"bytes={150_000}-", "it started again"
    assert not {path.rpartition("/")[2] for path, _, _ in rest} & {file.name for file in whole}


def test_stop_takes_effect_between_two_pieces_and_loses_nothing(there, folder):
    class Stopped(Exception):
        pass

    def stop(done, total):
        if done > total / 2:
            raise Stopped

    with pytest.raises(Stopped):
        download.download(KNOWN, folder, stop)
    kept = sum(file.stat().st_size for file in folder.iterdir())
    assert kept > 300_000
    download.download(KNOWN, folder, ignore)
    model_folder.check(folder)


def test_a_damaged_file_is_deleted(there, folder, monkeypatch):
    real = download._sha256
    monkeypatch.setattr(download, "_sha256", lambda file, on_bytes: real(file, on_bytes)[::-1])
    with pytest.raises(CriticError, match="was damaged"):
        download.download(KNOWN, folder, ignore)
    assert not list(folder.glob("*.safetensors*.part"))
    monkeypatch.undo()


def test_a_full_disk_is_reported_before_anything_is_downloaded(there, folder, monkeypatch):
    usage = shutil.disk_usage(folder.parent.parent)._replace(free=1_000_100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(CriticError, match=r"needs 0\.0 GB more, but the disk of .* has 1\.0 GB free"):
        download.download(KNOWN, folder, ignore)
    assert len(there.asked) == 1


def test_a_disk_that_fills_up_keeps_the_downloaded_part(there, folder, monkeypatch):
    real = download._ReportingStream.write

    def write(told, data):
        if told.stream.tell() > 50_000 or len(data) > 50_000:
            raise OSError(28, "No space left on device")
        return real(told, data)

    monkeypatch.setattr(download._ReportingStream, "write", write)
    with pytest.raises(CriticError, match="stopped in .*No space left on device.*is kept"):
        download.download(KNOWN, folder, ignore)
    monkeypatch.setattr(download._ReportingStream, "write", real)
    download.download(KNOWN, folder, ignore)
    model_folder.check(folder)


def test_offline_mode_is_respected(there, folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CriticError, match="HF_HUB_OFFLINE is set"):
        download.download(KNOWN, folder, ignore)
    assert not there.asked and not folder.exists()


def test_a_hub_that_does_not_answer(there, folder):
    there.dead = True
    with pytest.raises(CriticError, match=r"http.* does not answer about TIGER-Lab/RationalRewards-8B-T2I"):
        download.download(KNOWN, folder, ignore)
