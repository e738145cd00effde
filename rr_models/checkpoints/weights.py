"""The weights of a model folder: load them into their model, and unload them.

Every tensor goes straight from its safetensors file to the target device in the target precision: there is no
second copy of the model in memory, and nothing is filled with random numbers first. A tensor that already has
the right precision and stays on the CPU is the memory-mapped file itself. Unloading leaves a model on the
meta device, which holds no memory; loading it again needs only the files.
"""

from __future__ import annotations

import ctypes
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from ..errors import ModelFolderError
from . import hf_config, model_folder
from .quantized_linear import QuantizedLinear

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

META = torch.device("meta")

OnProgress = Callable[[int, int], None]
"""`on_progress(done, total)` is called as loading proceeds, in bytes. An exception it raises stops the work
and reaches the caller."""


class Weights(ABC):
    """The weights of one model folder, and the model that they are loaded into.

    `size` is the memory they take on the device, in bytes. `device` is where they are now; None while they
    are only in their files. The functions in `on_leave` are called before the weights leave a device, so that
    whatever holds their addresses, or working memory for them, can release it.
    """

    size: int

    def __init__(self, folder: Path, model: Qwen3VLForConditionalGeneration):
        self.folder, self.model = folder, model
        self.dtype: torch.dtype = model.dtype
        self.device: torch.device | None = None
        self.on_leave: list[Callable[[], object]] = []

    def load(self, device: torch.device, on_progress: OnProgress | None = None) -> None:
        """Bring the weights to `device`; does nothing if they are there already.

        After an exception, also one from `on_progress`, the model holds no weights. `on_progress` is called
        for every tensor, in bytes of the files.
        """
        if self.device == device:
            return
        with torch.inference_mode(False), torch.no_grad():
            try:
                if self.device is not None:  # from one device to another
                    self._leave()
                    # the decorator of transformers hides the parameters of `to`
                    self.model.to(device)  # pyright: ignore[reportArgumentType]
                else:
                    self._load(device, on_progress or (lambda done, total: None))
            except BaseException:  # also KeyboardInterrupt: half a model is of no use
                self.unload()
                raise
        self.device = device

    def unload(self) -> None:
        """Free the weights, on whatever device they are."""
        self._leave()
        self._unload()
        self.device = None
        _trim_heap()

    def _leave(self) -> None:
        for function in self.on_leave:
            function()

    @abstractmethod
    def _load(self, device: torch.device, on_progress: OnProgress) -> None:
        """Read the files into the model on `device`."""

    @abstractmethod
    def _unload(self) -> None:
        """Bring the model back to the meta device."""


class _Target(NamedTuple):
    """A parameter by its module and its name in it."""

    module: nn.Module
    name: str

    @property
    def is_quantized(self) -> bool:
        return isinstance(self.module, QuantizedLinear) and self.name == "weight"


class SafetensorsWeights(Weights):
    """Weights in 16 or 32 bit, which are converted, or quantized, as they are read."""

    def __init__(self, folder: Path, model: Qwen3VLForConditionalGeneration):
        super().__init__(folder, model)
        self._targets = _targets_by_file(folder, model)
        self._buffers = dict(model.named_buffers())
        self._clear_parameters()
        # a quantized layer without its weight has no parameter to count
        quantized = [module.nbytes for module in model.modules() if isinstance(module, QuantizedLinear)]
        self.size = sum(p.numel() * p.element_size() for p in model.parameters()) + sum(quantized)

    def _load(self, device: torch.device, on_progress: OnProgress) -> None:
        from safetensors import safe_open

        done, total = 0, sum((self.folder / file).stat().st_size for file in self._targets)
        on_progress(done, total)
        for file, tensors in self._targets.items():
            try:
                shard = safe_open(self.folder / file, framework="pt")
            except Exception as error:  # the library raises nothing narrower
                raise ModelFolderError(
                    f"{self.folder / file} cannot be read ({error}). It was complete when it was checked: is "
                    "it being replaced, or its disk disconnected?"
                ) from error
            with shard:
                for name, targets in tensors.items():
                    tensor = shard.get_tensor(name)
                    done += tensor.numel() * tensor.element_size()
                    _assign(targets, tensor.to(device=device, dtype=self.dtype))
                    on_progress(min(done, total), total)
        on_progress(total, total)
        self._move_buffers(device)

    def _unload(self) -> None:
        self._clear_parameters()
        self._move_buffers(torch.device("cpu"))

    def _clear_parameters(self) -> None:
        for tensors in self._targets.values():
            for targets in tensors.values():
                module, name = targets[0]
                if isinstance(module, QuantizedLinear) and targets[0].is_quantized:
                    module.clear()
                elif (parameter := module._parameters[name]) is not None:
                    _assign(targets, torch.empty_like(parameter, device=META))

    def _move_buffers(self, device: torch.device) -> None:
        for path, buffer in self._buffers.items():
            owner, _, name = path.rpartition(".")
            self.model.get_submodule(owner)._buffers[name] = buffer.to(device)


def _targets_by_file(
    folder: Path, model: Qwen3VLForConditionalGeneration
) -> dict[str, dict[str, list[_Target]]]:
    """file -> tensor -> the parameters of the model that it is for. Reads headers only.

    Raises ModelFolderError if a tensor is missing or has another shape than the config says.
    """
    targets: dict[str, list[_Target]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for path, module in model.named_modules():
        own = {name: tuple(p.shape) for name, p in module._parameters.items() if p is not None}
        if isinstance(module, QuantizedLinear):
            own["weight"] = (module.out_features, module.in_features)
        for name, shape in own.items():
            tensor = f"{path}.{name}" if path else name
            targets[tensor], shapes[tensor] = [_Target(module, name)], shape
    stored = {name: (file, entry["shape"]) for file, name, entry in model_folder.tensors(folder)}
    head, embedding = "lm_head.weight", "model.language_model.embed_tokens.weight"
    if head not in stored and hf_config.ties_embeddings(model.config):
        targets[embedding] += targets.pop(head)
    if missing := sorted(targets.keys() - stored.keys()):
        raise ModelFolderError(
            f"{folder} lacks {len(missing)} tensors of its model, such as {missing[0]}. Download the model "
            "again."
        )
    by_file: dict[str, dict[str, list[_Target]]] = {}
    for name, own in targets.items():
        file, shape = stored[name]
        if tuple(shape) != shapes[name]:
            raise ModelFolderError(
                f"{folder / file} holds {name} of shape {list(shape)}, but config.json asks for "
                f"{list(shapes[name])}. They belong to different models: download both again."
            )
        by_file.setdefault(file, {})[name] = own
    return by_file


def _assign(targets: Sequence[_Target], tensor: torch.Tensor) -> None:
    """Make the tensor one parameter that all targets share (several if embeddings are tied), or quantize it
    into its layer."""
    module = targets[0].module
    if isinstance(module, QuantizedLinear) and targets[0].is_quantized:
        return module.quantize(tensor)
    parameter = nn.Parameter(tensor, requires_grad=False)
    for module, name in targets:
        module._parameters[name] = parameter


def _trim_heap() -> None:
    """Return freed memory to the system. After a conversion on the CPU, glibc may keep more than half of a
    model on its heap, in freed blocks of up to 32 MB; other C libraries need no call."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
