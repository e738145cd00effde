"""A real ComfyUI core in this process: its own loader loads the pack, its own executor runs prompts.

Tests get it from the fixtures in conftest.py. Its types are `rr_tests.in_process.Core` and `Run`.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import shutil
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from dev_comfyui import PACK_FOLDER, link, unlink

CLIENT = "tests"
Event = tuple[str, Any]


@dataclass
class Run:
    """The result of one prompt.

    `rejected` has the reasons by node id if validation failed (then nothing ran), `errors` the
    execution_error messages. `outputs` is what a client finds in /history: node id -> ui dict. `executed`
    lists the ids of the nodes that ran, in order, including expanded ones; `cached` those taken from the
    cache. `value(id)` is the value of one of a node's output sockets.
    """

    success: bool
    rejected: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list, repr=False)
    values: dict[str, list[list[Any]]] = field(default_factory=dict, repr=False)

    @property
    def executed(self) -> list[str]:
        return [
            data["node"] for name, data in self.events if name == "executing" and data.get("node") is not None
        ]

    @property
    def cached(self) -> list[str]:
        return [node for name, data in self.events if name == "execution_cached" for node in data["nodes"]]

    @property
    def complaint(self) -> str:
        """All error messages in one string, for assertions and their messages."""
        reasons = [f"{node}: {error}" for node, error in self.rejected.items()]
        reasons += [
            f"{error['node_id']} {error['node_type']}: {error['exception_message']}" for error in self.errors
        ]
        return "\n".join(reasons)

    def slot(self, node: str, output: int = 0) -> list[Any]:
        """All values of one output socket, one per list element."""
        return self.values[str(node)][output]

    def critiques(self, node: str) -> list[Any]:
        """The critiques of the candidates that the node puts out first."""
        return [candidate.critique for candidate in self.value(node)]

    def value(self, node: str, output: int = 0) -> Any:
        """The value of an output socket that is not a list."""
        (item,) = self.slot(node, output)
        return item


class Recorder:
    """The server as the executor sees it: records the messages that would be sent to the browser."""

    def __init__(self) -> None:
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        self.last_prompt_id: str | None = None
        self.sockets_metadata: dict[str, Any] = {}
        self.node_replace_manager: Any = None
        self.events: list[Event] = []
        self.listener: Callable[[str, Any], None] | None = None

    def send_sync(self, event: Any, data: Any, sid: str | None = None) -> None:
        name = getattr(event, "name", event)
        self.events.append((name, data))
        if self.listener is not None:
            self.listener(name, data)

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        self.send_sync("progress_text", {"node": node_id, "text": text})

    def queue_updated(self) -> None: ...


class Core:
    """A ComfyUI core imported into this process. Only one is possible, so all tests share it.

    `base` is its base directory: models/, input/, output/, temp/, custom_nodes/. `nodes` is core's module of
    that name, `pack` our pack as core loaded it (its classes are not those of a plain `import rr_models`; see
    `library`).
    """

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self.server = Recorder()
        for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
            (base / name).mkdir(parents=True, exist_ok=True)
        sys.path.insert(0, str(folder))
        args = importlib.import_module("comfy.cli_args").args
        args.cpu, args.base_directory, args.database_url = True, str(base), "sqlite:///:memory:"
        # Before `nodes`: old cores shadow the name `utils` later.
        importlib.import_module("utils.extra_config")
        self.execution = importlib.import_module("execution")
        self.nodes = importlib.import_module("nodes")
        replacements = importlib.import_module("app.node_replace_manager")
        self.server.node_replace_manager = replacements.NodeReplaceManager()
        importlib.import_module("server").PromptServer.instance = self.server
        importlib.import_module("comfy.utils").set_progress_bar_global_hook(self._progress)
        asyncio.run(self.nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
        self.version: str = importlib.import_module("comfyui_version").__version__
        self.pack: ModuleType | None = None
        self._links: list[Path] = []

    def close(self) -> None:
        """Remove the links to the packs; the core stays imported until the process ends."""
        while self._links:
            unlink(self._links.pop())

    def load_pack(self, folder: Path, name: str = "") -> ModuleType:
        """Link a pack into custom_nodes, let core load it, and return the loaded module."""
        path = link(folder, self.base / "custom_nodes" / (name or folder.name))
        self._links.append(path)
        if not asyncio.run(self.nodes.load_custom_node(str(path), module_parent="custom_nodes")):
            raise AssertionError(f"ComfyUI {self.version} could not load the pack {folder}; its log says why")
        return sys.modules[str(path).replace(".", "_x_")]

    def load_our_pack(self, root: Path) -> None:
        self.pack = self.load_pack(root, PACK_FOLDER)

    def library(self, name: str) -> ModuleType:
        """A module of our pack as the nodes see it, such as `rr_models.judgement.critique`."""
        assert self.pack is not None
        return importlib.import_module(f"{self.pack.__name__}.{name}")

    def executor(self, cache: str = "classic") -> Any:
        """One of core's prompt executors. `cache`: classic, lru, none or ram, as with --cache-classic."""
        cache_type = {"classic": "CLASSIC", "lru": "LRU", "none": "NONE", "ram": "RAM_PRESSURE"}[cache]
        sizes = {"lru": 100, "ram": 2.0, "ram_inactive": 2.0}
        return self.execution.PromptExecutor(self.server, self.execution.CacheType[cache_type], sizes)

    def run(
        self,
        prompt: dict[str, Any],
        executor: Any = None,
        on_event: Callable[[str, Any], None] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
        outputs: Sequence[str] | None = None,
        keep_cache: bool = False,
    ) -> Run:
        """Validate and execute an API-format prompt, as the server does.

        Pass the same `executor` twice to see what is cached. `on_event(name, data)` receives every message as
        it is sent, including "progress", and may call `interrupt`. `outputs` limits the run to these output
        nodes. Cached critiques of earlier runs are deleted unless `keep_cache`, so that no test depends on
        another.
        """
        if not keep_cache:
            shutil.rmtree(self.base / "user" / "__rational_rewards", ignore_errors=True)
        executor = executor or self.executor()
        prompt_id = str(uuid.uuid4())
        verdict = asyncio.run(self.execution.validate_prompt(prompt_id, prompt, outputs))
        accepted, error, wanted, node_errors = verdict
        if not accepted:
            return Run(False, rejected=node_errors or {"prompt": error})
        self.server.events, self.server.listener, self.server.last_prompt_id = [], on_event, prompt_id
        extra = {"client_id": CLIENT, "extra_pnginfo": extra_pnginfo or {}}
        try:
            executor.execute(prompt, prompt_id, extra, wanted)
        finally:
            self.server.listener = None
        events = self.server.events
        return Run(
            success=executor.success,
            rejected=node_errors,
            errors=[data for name, data in events if name == "execution_error"],
            interrupted=any(name == "execution_interrupted" for name, _ in events),
            outputs=executor.history_result["outputs"] if executor.success else {},
            events=events,
            values=asyncio.run(self._values(executor, prompt)),
        )

    def interrupt(self) -> None:
        """Press Stop. Call it while a prompt runs; it does not affect later runs."""
        self.nodes.interrupt_processing(True)

    @staticmethod
    async def _values(executor: Any, prompt: dict[str, Any]) -> dict[str, list[list[Any]]]:
        values = {}
        for node in prompt:
            entry = executor.caches.outputs.get(node)
            entry = await entry if inspect.isawaitable(entry) else entry
            if entry is not None:
                values[node] = entry.outputs
        return values

    def _progress(
        self, value: float, total: float, preview: Any, prompt_id: Any = None, node_id: Any = None
    ) -> None:
        """The hook that the server sets for every progress bar; this is where Stop is noticed."""
        importlib.import_module("comfy.model_management").throw_exception_if_processing_interrupted()
        context = importlib.import_module("comfy_execution.utils").get_executing_context()
        node_id = node_id or (context.node_id if context else self.server.last_node_id)
        importlib.import_module("comfy_execution.progress").get_progress_state().update_progress(
            node_id, value, total, preview
        )
        data = {
            "value": value,
            "max": total,
            "prompt_id": prompt_id or self.server.last_prompt_id,
            "node": node_id,
        }
        self.server.send_sync("progress", data, self.server.client_id)
