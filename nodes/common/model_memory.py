"""A local critic under ComfyUI's memory management: its weights, its progress on the node, and Stop.

A critic is loaded and unloaded as a whole: core can page only layers of its own make, and a transformers
model of which one half is on the GPU cannot run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import comfy.model_management as management
import comfy.model_patcher
import comfy.utils
import torch

from ...rr_models.checkpoints import precision
from ...rr_models.checkpoints.precision import Precision
from ...rr_models.critics.local import LocalCritic
from ...rr_models.devices import out_of_memory
from ...rr_models.engine.memory import OUT_OF_MEMORY_HINT, MemoryEstimate
from ...rr_models.errors import CriticError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_MEMORY_SHARE = 0.9
"""Of a device's memory; the rest is for its driver, the screen and what no estimate foresees."""
_OFF_DEVICE = torch.device("cpu")
"""The offload device as reported to core."""

AUTO, ALWAYS, NEVER = "auto", "always", "never"
KEEP = (AUTO, ALWAYS, NEVER)
"""How long a critic stays loaded: until core needs the memory; then in main memory; or for one use only."""


def manage(critic: LocalCritic, device: torch.device, keep: str = AUTO) -> LocalCritic:
    """Put the critic under core's memory management; its weights are read at first use."""
    critic.residency = CoreResidency(critic, device, keep)
    return critic


class CoreResidency:
    """Asks core for memory before every use of a critic; see rr_models/critics/residency.py."""

    def __init__(self, critic: LocalCritic, device: torch.device, keep: str = AUTO):
        self.name, self.keep = critic.name, keep
        self.weights, self.engine = critic.weights, critic.engine
        # Core keeps only a weak reference to the patcher; it lives as long as this object.
        self.patcher = _CriticPatcher(critic, device, keep_copy=keep == ALWAYS)
        self._holds = 0

    def run(self, estimate: MemoryEstimate, limit: int, work: Callable[[int], Result]) -> Result:
        """Do the work with the weights on the device and memory for as many answers at a time as fit.

        If memory runs out although the library has lowered the batch as far as it goes, all other models
        leave the device and the work is tried once more, one answer at a time; after that it is a
        CriticError, and the device is empty.
        """
        with self.hold():
            device = self.patcher.load_device
            total = cast(int, management.get_total_memory(device))
            free = total * _MEMORY_SHARE - self.weights.size
            batch_size = estimate.max_batch_size(int(free), limit)
            try:
                return self._attempt(estimate, batch_size, work)
            except (CriticError, RuntimeError, MemoryError) as error:
                if not _lack_of_memory(error):
                    raise
                log.warning("%s; all other models leave %s for it", error, device)
            self._clear()  # outside of `except`, whose traceback would keep what the attempt has allocated
            try:
                return self._attempt(estimate, 1, work)
            except (CriticError, RuntimeError, MemoryError) as error:
                if not _lack_of_memory(error):
                    raise
                message, cause = self._remedies(estimate.total(1)), error
            self._clear()
            raise CriticError(message) from cause

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Runs in here belong together: `keep_loaded` never unloads only after the last one."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self.keep == NEVER and not self._holds:
                self.unload()

    def _attempt(self, estimate: MemoryEstimate, batch_size: int, work: Callable[[int], Result]) -> Result:
        needed = estimate.additional(batch_size, self.engine.cache_bytes)
        management.load_models_gpu([self.patcher], memory_required=needed, force_full_load=True)
        return work(batch_size)

    def unload(self) -> None:
        """Take the critic off its device now, as core would to free memory."""
        for loaded in list(management.current_loaded_models):
            if loaded.model is self.patcher:
                loaded.model_unload()
                management.current_loaded_models.remove(loaded)
        self.patcher.detach()  # what has come halfway is not among core's loaded models
        management.soft_empty_cache()

    def _clear(self) -> None:
        management.unload_all_models()
        self.unload()

    def _remedies(self, needed: int) -> str:
        device = self.patcher.load_device
        free = cast(int, management.get_free_memory(device))
        return (
            f"{self.name} ran out of memory on {device}, with every other model unloaded: its weights take "
            f"{self.patcher.model_size() / 1e9:.1f} GB, judging about {needed / 1e9:.1f} GB more, and "
            f"{free / 1e9:.1f} GB are free. {OUT_OF_MEMORY_HINT}"
        )


def node_progress() -> Callable[[int, int], None]:
    """A progress callback that moves the node's progress bar and ends the work when Stop is pressed."""
    bar: comfy.utils.ProgressBar | None = None

    def on_progress(done: int, total: int) -> None:
        nonlocal bar
        management.throw_exception_if_processing_interrupted()
        bar = bar or comfy.utils.ProgressBar(total)
        bar.update_absolute(done, total)

    return on_progress


def devices() -> list[str]:
    """What the widget offers: ComfyUI's own device, the processor, and each card where there are several."""
    names = [f"{kind}:{number}" for kind in ("cuda", "xpu") for number in range(_count(kind))]
    return ["auto", "cpu", *(names if len(names) > 1 else [])]


def critic_device(choice: str) -> torch.device:
    """The device for the widget's choice."""
    return management.get_torch_device() if choice == "auto" else torch.device(choice)


def _count(kind: str) -> int:
    torch_part = getattr(torch, kind, None)  # ROCm's cards are cuda for torch too
    return torch_part.device_count() if torch_part is not None and torch_part.is_available() else 0


def critic_precision(choice: str, device: torch.device, folder: Path) -> Precision:
    """The precision for the widget's choice; what "auto" may take is what core could make free."""
    if device.type == "cpu":
        return precision.choose_precision(choice, device, folder)
    ours = [entry for entry in management.current_loaded_models if entry.device == device]
    held = sum(entry.model_loaded_memory() for entry in ours if entry.model is not None)
    free = cast(int, management.get_free_memory(device)) + held - management.extra_reserved_memory()
    return precision.choose_precision(choice, device, folder, int(free), management.should_use_bf16(device))


def _lack_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Where core sees that too, it also clears the card's error state."""
    cause = error.__cause__ or error
    core = hasattr(management, "is_oom") and management.is_oom(cause)  # not in 0.16
    return core or out_of_memory(cause)


class _Holder(torch.nn.Module):
    """Core assigns `model.device`, which a transformers model does not allow."""

    def __init__(self, inner: torch.nn.Module, device: torch.device):
        super().__init__()
        self.inner = inner
        self.device = device


class _CriticPatcher(comfy.model_patcher.ModelPatcher):
    """A critic as core sees it: on its device as a whole, or not at all.

    Off the device, its weights are dropped and read from their files when they are needed again, which the
    system mostly still has at hand; with `keep_copy` they stay in main memory instead.

    What the engine keeps between calls counts as part of the model. It is freed first when core asks for
    memory, and always with the weights.
    """

    def __init__(self, critic: LocalCritic, device: torch.device, keep_copy: bool):
        self.weights, self.engine, self.keep_copy = critic.weights, critic.engine, keep_copy
        super().__init__(_Holder(critic.model, _OFF_DEVICE), device, _OFF_DEVICE, size=critic.weights.size)

    def model_size(self):
        return self.weights.size + self.engine.nbytes

    def loaded_size(self):
        return super().loaded_size() + self.engine.nbytes

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False):
        before = self.loaded_size()
        if not before:
            self.weights.load(device_to, node_progress())
            self._report(device_to, self.weights.size)
        return self.loaded_size() - before

    def partially_unload(self, device_to, memory_to_free=0, force_patch_weights=False):
        # if this frees too little, core takes the whole model off the device
        return self.engine.release()

    def detach(self, unpatch_all=True):
        if unpatch_all:  # else core only forgets it, to count it again
            if self.keep_copy and self.weights.device is not None:
                self.weights.load(_OFF_DEVICE)
            else:
                self.weights.unload()
            self._report(_OFF_DEVICE, 0)
        return self.model

    def _report(self, device: torch.device, size: int) -> None:
        self.model.device, self.model.model_loaded_weight_memory = device, size
