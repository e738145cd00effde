"""The critic as a citizen of ComfyUI: its weights under core's memory management, its progress on the node,
and Stop.

A critic comes and goes as a whole: the core can page only layers of its own make, and a transformers model of
which one half lies on the graphics card cannot run.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import comfy.model_management as management
import comfy.model_patcher
import comfy.utils
import torch

from ...rr_models.checkpoints import precision
from ...rr_models.checkpoints.precision import Precision
from ...rr_models.critics.base import Question
from ...rr_models.critics.local import LocalCritic
from ...rr_models.critics.options import JudgeOptions
from ...rr_models.devices import out_of_memory
from ...rr_models.engine.memory import OUT_OF_MEMORY_HINT, MemoryEstimate
from ...rr_models.errors import CriticError
from ...rr_models.judgement.aspects import Profile
from ...rr_models.judgement.critique import Critique
from ...rr_models.judgement.verdict import Verdict

log = logging.getLogger(__name__)

_MOST = 8
"""Answers that are written at a time, where the device has room for them beside the weights."""
_SHARE = 0.9
"""Of a device's memory; the rest is for its driver, the screen and what no estimate foresees."""
_WISHES = {field.name for field in dataclasses.fields(JudgeOptions)}
_OFF = torch.device("cpu")
"""Where core thinks that a critic is which is not on its device."""


AUTO, ALWAYS, NEVER = "auto", "always", "never"
KEEP = (AUTO, ALWAYS, NEVER)
"""How long a critic stays loaded: until core needs the room; then in ordinary memory; or for one use only."""


class ManagedCritic:
    """A local critic that asks ComfyUI for its place in memory before every use.

    Its weights are read at the first use, straight to the device.
    """

    def __init__(self, critic: LocalCritic, device: torch.device, keep: str = AUTO):
        self.critic, self.keep = critic, keep
        # Core keeps only a weak reference to the patcher; it lives as long as this object.
        self.patcher = _CriticPatcher(critic, device, rest=keep == ALWAYS)

    @property
    def name(self) -> str:
        return self.critic.name

    @property
    def profile(self) -> Profile:
        """What the critic judges, and on which scale."""
        return self.critic.wording.profile

    def critique(self, images: Sequence[torch.Tensor], request: str, task: str, **options) -> list[Critique]:
        """As `LocalCritic.critique`, with the weights where they have to be."""
        sources = tuple(options.get("sources", ()))
        questions = [Question(task, request, (image,), sources) for image in images]
        return self._run(questions, self.critic.critique, images, request, task, **options)

    def compare(self, a: torch.Tensor, b: torch.Tensor, request: str, task: str, **options) -> Verdict:
        """As `LocalCritic.compare`, with the weights where they have to be."""
        questions = [Question(task, request, (a, b), tuple(options.get("sources", ())))] * 2
        return self._run(questions, self.critic.compare, a, b, request, task, **options)

    def _run(self, questions: Sequence[Question], work: Callable, *args, **options):
        """Do the work with the model on its device, and room beside it for as many answers at a time as the
        device can hold.

        Where memory runs out although the library has lowered the batch as far as it goes, all other models
        leave the device and the work is tried once more, one picture at a time; after that it is a
        CriticError, and the device is empty.
        """
        room = self.critic.room(questions, **{k: v for k, v in options.items() if k in _WISHES})
        device = self.patcher.load_device
        free = management.get_total_memory(device) * _SHARE - self.critic.weights.size
        rows = room.max_batch_size(int(free), min(len(questions), _MOST))
        try:
            try:
                return self._attempt(room, rows, work, *args, **options)
            except (CriticError, RuntimeError, MemoryError) as error:
                if not _lack_of_memory(error):
                    raise
                log.warning("%s; all other models leave %s for it", error, self.patcher.load_device)
            self._clear()  # outside of `except`, whose traceback would keep what the attempt has made
            try:
                return self._attempt(room, 1, work, *args, **options)
            except (CriticError, RuntimeError, MemoryError) as error:
                if not _lack_of_memory(error):
                    raise
                lack = self._remedies(room.total(1))
                cause = error
            self._clear()
            raise CriticError(lack) from cause
        finally:
            if self.keep == NEVER:
                self.unload()

    def _attempt(self, room: MemoryEstimate, at_once: int, work: Callable, *args, **options):
        needed = room.additional(at_once, self.critic.engine.cache_bytes)
        management.load_models_gpu([self.patcher], memory_required=needed, force_full_load=True)
        return work(*args, batch_size=at_once, **options)

    def unload(self) -> None:
        """Take the critic off its device now, as core would to make room."""
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
        free = management.get_free_memory(device)
        return (
            f"{self.name} ran out of memory on {device}, with every other model put away: its weights take "
            f"{self.patcher.model_size() / 1e9:.1f} GB, judging about {needed / 1e9:.1f} GB more, and "
            f"{free / 1e9:.1f} GB are free. {OUT_OF_MEMORY_HINT}"
        )

    def __repr__(self) -> str:
        return f"Critic({self.name})"


def progress_watch() -> Callable[[int, int], None]:
    """A `watch(done, total)` that moves the node's progress bar and ends the work when Stop is pressed."""
    bar: comfy.utils.ProgressBar | None = None

    def watch(done: int, total: int) -> None:
        nonlocal bar
        management.throw_exception_if_processing_interrupted()
        bar = bar or comfy.utils.ProgressBar(total)
        bar.update_absolute(done, total)

    return watch


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
    room = management.get_free_memory(device) + held - management.extra_reserved_memory()
    return precision.choose_precision(choice, device, folder, int(room), management.should_use_bf16(device))


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
    system mostly still has at hand; with `rest` they wait in ordinary memory instead.

    What the engine keeps between calls counts as part of the model. It is freed first when core asks for
    memory, and always with the weights.
    """

    def __init__(self, critic: LocalCritic, device: torch.device, rest: bool):
        self.weights, self.engine, self.rest = critic.weights, critic.engine, rest
        super().__init__(_Holder(critic.model, _OFF), device, _OFF, size=critic.weights.size)

    def model_size(self):
        return self.weights.size + self.engine.nbytes

    def loaded_size(self):
        return super().loaded_size() + self.engine.nbytes

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False):
        before = self.loaded_size()
        if not before:
            self.weights.load(device_to, progress_watch())
            self._tell(device_to, self.weights.size)
        return self.loaded_size() - before

    def partially_unload(self, device_to, memory_to_free=0, force_patch_weights=False):
        # if this frees too little, core takes the whole model off the device
        return self.engine.release()

    def detach(self, unpatch_all=True):
        if unpatch_all:  # else core only forgets about it, to count it anew
            if self.rest and self.weights.device is not None:
                self.weights.load(_OFF)
            else:
                self.weights.unload()
            self._tell(_OFF, 0)
        return self.model

    def _tell(self, device: torch.device, size: int) -> None:
        self.model.device, self.model.model_loaded_weight_memory = device, size
