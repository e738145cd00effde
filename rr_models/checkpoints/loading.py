"""A model without its weights, and the weights that are read into it when they are wanted.

Every tensor goes straight from its safetensors file to the target device in the target precision: there is
no second copy of the model in memory, and nothing is filled with random numbers first. Where a tensor is
already in the right precision and stays on the CPU, the file's own mapping is the tensor. Dropping the
weights leaves a model on the meta device, which holds no memory anywhere; reading them again needs only the
files.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn.modules import module as torch_modules

from ..devices import out_of_memory
from ..errors import CriticError, ModelFolderError
from . import hf_config
from . import model_folder as files
from .precision import Precision, quantize_layers
from .quantized_linear import QuantizedLinear

log = logging.getLogger(__name__)

META = torch.device("meta")


def meta_model(folder: Path, precision: Precision, attention: str = hf_config.SDPA) -> nn.Module:
    """The folder's Qwen3-VL with all parameters on the meta device; buffers are real."""
    try:  # transformers takes seconds to import, so it waits until a model is really wanted
        from transformers import Qwen3VLForConditionalGeneration
    except (ImportError, RuntimeError) as error:
        raise CriticError(
            f"transformers cannot provide Qwen3-VL ({error}). It takes transformers >= 4.57.1. A torchvision "
            "that does not fit the installed torch has this effect too: install the matching one, or none."
        ) from error
    with torch.inference_mode(False), _without_weights(precision.dtype):
        model = Qwen3VLForConditionalGeneration(hf_config.load_config(folder, attention))
    if precision.packed:
        quantize_layers(model, precision.name, precision.dtype)
    return model.eval()


@contextlib.contextmanager
def _without_weights(dtype: torch.dtype):
    """Modules made in here keep the shape of their parameters alone. (Made on the meta device, they
    would lose the values of their buffers as well.)"""
    register = nn.Module.register_parameter

    def hollow(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            shape = torch.empty_like(parameter, dtype=dtype, device=META)
            parameter = nn.Parameter(shape, requires_grad=False)
        register(module, name, parameter)

    nn.Module.register_parameter = hollow
    try:
        yield
    finally:
        nn.Module.register_parameter = register


class Weights:
    """The weights of one model folder and the model that they belong into.

    `size` is what they take on the device, in bytes. `device` is where they are now, None while they are only
    in their files. The functions in `on_leave` are called before they leave a device, so that whatever holds
    their addresses, or memory for working with them, can let go.
    """

    def __init__(self, folder: Path, model: nn.Module):
        self.folder, self.model, self.dtype = folder, model, model.dtype
        self.device: torch.device | None = None
        self.on_leave: list[Callable[[], object]] = []
        self._plan = _plan(folder, model)
        self._buffers = {name: buffer for name, buffer in model.named_buffers()}
        self._empty()
        # empty packed layers have no weight as a parameter yet
        packed = [module.nbytes for module in model.modules() if isinstance(module, QuantizedLinear)]
        self.size = sum(p.numel() * p.element_size() for p in model.parameters()) + sum(packed)

    def load(self, device: torch.device, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Bring the weights to `device`; does nothing where they are there already.

        `watch(done, total)` hears of every tensor, in bytes of the files; what it raises ends the reading,
        and then the model holds nothing.
        """
        if self.device == device:
            return
        with torch.inference_mode(False), torch.no_grad():
            try:
                if self.device is not None:  # at rest in memory
                    self._leave()
                    self.model.to(device)
                else:
                    self._read(device, on_progress or (lambda done, total: None))
            except BaseException:  # Stop as well: half a model is of no use to anybody
                self.unload()
                raise
        self.device = device

    def unload(self) -> None:
        """Let go of the weights, wherever they are."""
        self._leave()
        self._empty()
        self._put_buffers(torch.device("cpu"))
        self.device = None
        _trim_heap()

    def _leave(self) -> None:
        for function in self.on_leave:
            function()

    def _empty(self) -> None:
        for tensors in self._plan.values():
            for places in tensors.values():
                (module, name), *_ = places
                if isinstance(module, QuantizedLinear) and name == "weight":
                    module.empty()
                else:
                    _put(places, torch.empty_like(module._parameters[name], device=META))

    def _read(self, device: torch.device, watch: Callable[[int, int], None]) -> None:
        from safetensors import safe_open

        done, total = 0, sum((self.folder / file).stat().st_size for file in self._plan)
        watch(done, total)
        for file, tensors in self._plan.items():
            try:
                shard = safe_open(self.folder / file, framework="pt")
            except Exception as error:  # the library raises nothing narrower
                raise ModelFolderError(
                    f"{self.folder / file} cannot be read ({error}). It was whole when it was checked: is it "
                    "being replaced, or its disk gone?"
                ) from error
            with shard:
                for name, places in tensors.items():
                    tensor = shard.get_tensor(name)
                    done += tensor.numel() * tensor.element_size()
                    _put(places, tensor.to(device=device, dtype=self.dtype))
                    watch(min(done, total), total)
        watch(total, total)
        self._put_buffers(device)

    def _put_buffers(self, device: torch.device) -> None:
        for name, buffer in self._buffers.items():
            owner, _, own = name.rpartition(".")
            self.model.get_submodule(owner)._buffers[own] = buffer.to(device)


def _trim_heap() -> None:
    """Hand freed memory to the system. Of a model that was converted on the CPU, glibc may keep more than
    half on its heap, in freed blocks of up to 32 MB; nothing is asked of other C libraries."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class PrequantizedWeights(Weights):
    """Weights that were quantised before they were saved: transformers reads them, all at once, with the
    package that their method takes."""

    PACKAGES: Final = {
        "bitsandbytes": "bitsandbytes",
        "compressed-tensors": "compressed-tensors",
        "gptq": "gptqmodel",
        "awq": "gptqmodel",
        "torchao": "torchao",
        "hqq": "hqq",
        "fp8": "kernels",
    }

    def __init__(self, folder: Path, model: nn.Module):
        self.folder, self.model, self.dtype, self.device = folder, model, model.dtype, None
        self.on_leave = []
        self._bare = dict(model.__dict__)
        self.size = sum((folder / file).stat().st_size for file in files.shards(folder))

    def unload(self) -> None:
        self._leave()
        self.model.__dict__.update(self._bare)
        self.device = None
        _trim_heap()

    def _read(self, device: torch.device, watch: Callable[[int, int], None]) -> None:
        from transformers import Qwen3VLForConditionalGeneration
        from transformers.quantizers import AutoHfQuantizer

        watch(0, self.size)
        config, method = self.model.config, files.quantization_method(self.folder)
        try:
            if not AutoHfQuantizer.supports_quant_method(config.quantization_config):
                raise ValueError("it does not know the method and would take the weights for plain ones")
            with _progress(Qwen3VLForConditionalGeneration, self.size, watch):
                read, told = Qwen3VLForConditionalGeneration.from_pretrained(
                    self.folder,
                    config=config,
                    dtype=self.dtype,
                    device_map={"": device},
                    local_files_only=True,
                    use_safetensors=True,
                    output_loading_info=True,
                )
            if lost := sorted(told["missing_keys"]):
                raise ValueError(f"{len(lost)} tensors are missing, such as {lost[0]}")
        except _Stopped as stopped:
            raise stopped.by.pop() from None
        except (ImportError, ValueError, RuntimeError, NotImplementedError) as error:
            if out_of_memory(error):
                raise
            lacking = isinstance(error, ImportError) and self.PACKAGES.get(method or "")
            raise CriticError(
                f"{self.folder.name} is quantised by {method}, and transformers cannot read it on {device} "
                f"({str(error).splitlines()[0].rstrip('.')}). "
                + (f"Install {lacking} with ComfyUI's Python, or take" if lacking else "Take")
                + " the model unquantised, which needs nothing."
            ) from error
        # the parts that write answers hold on to the model itself, so it takes over what was read
        read.eval().requires_grad_(False)
        self.model.__dict__.update(
            read.__dict__ | {name: self._bare[name] for name in ("generation_config",) if name in self._bare}
        )
        del read  # else what `watch` raises would hold it
        watch(self.size, self.size)


class _Stopped(BaseException):
    """What a `watch` raised, on its way through code that would make an error of its own of it: torch does
    of every Exception. `by` holds it, to be taken out, so that the two do not hold each other."""

    def __init__(self, error: BaseException):
        self.by = [error]


_STRIDE = 8
"""Parameters between two counts of what a model holds; counting takes a millisecond of a large one."""


@contextlib.contextmanager
def _progress(kind: type[nn.Module], total: int, watch: Callable[[int, int], None]) -> Iterator[None]:
    """Tells `watch(done, total)`, in bytes, how far transformers is with the model of class `kind` that it
    reads in here. What `watch` raises ends the reading as _Stopped; after an error nothing holds the model.

    What transformers tells hangs on its version, and 4.57 tells of whole files at most. But torch puts every
    model together, and tells whoever asks of each module and parameter.
    """
    thread, model, heard, done = threading.get_ident(), None, 0, 0

    def on_module(module: nn.Module, name: str, child: nn.Module | None) -> None:
        nonlocal model
        if isinstance(module, kind) and threading.get_ident() == thread:
            model = module

    def on_tensor(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal heard, done
        if threading.get_ident() != thread:  # these hooks are the whole process's
            return
        if model is not None and tensor is not None and not tensor.is_meta:
            heard += 1
            if heard % _STRIDE == 0:
                done = max(done, min(total, _held(model)))
        try:
            watch(done, total)
        except BaseException as error:
            raise _Stopped(error) from None

    hooks = [
        torch_modules.register_module_module_registration_hook(on_module),
        torch_modules.register_module_parameter_registration_hook(on_tensor),
        torch_modules.register_module_buffer_registration_hook(on_tensor),
    ]
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # else half a model stays while anybody looks at it
        raise
    finally:
        model = None
        for hook in hooks:
            hook.remove()


def _held(model: nn.Module) -> int:
    """Bytes of what a model has got so far."""
    return sum(one.nbytes for one in (*model.parameters(), *model.buffers()) if not one.is_meta)


def _plan(folder: Path, model: nn.Module) -> dict[str, dict[str, list[tuple[nn.Module, str]]]]:
    """file -> tensor -> the places in the model that it goes to. Reads headers only."""
    places: dict[str, list[tuple[nn.Module, str]]] = {}
    shapes = {}
    for path, module in model.named_modules():
        wanted = {name: tuple(one.shape) for name, one in module._parameters.items() if one is not None}
        if isinstance(module, QuantizedLinear):
            wanted["weight"] = (module.out_features, module.in_features)
        for name, shape in wanted.items():
            full = f"{path}.{name}" if path else name
            places[full], shapes[full] = [(module, name)], shape
    kept = {name: (file, entry["shape"]) for file, name, entry in files.tensors(folder)}
    head, embedding = "lm_head.weight", "model.language_model.embed_tokens.weight"
    if head not in kept and hf_config.ties_embeddings(model.config):
        places[embedding] += places.pop(head)
    plan: dict[str, dict] = {}
    lost = []
    for name, where in places.items():
        if name not in kept:
            lost.append(name)
            continue
        file, shape = kept[name]
        if tuple(shape) != shapes[name]:
            raise ModelFolderError(
                f"{folder / file} holds {name} of shape {list(shape)}, but config.json asks for "
                f"{list(shapes[name])}. They belong to different models: download both again."
            )
        plan.setdefault(file, {})[name] = where
    if lost:
        raise ModelFolderError(
            f"{folder} lacks {len(lost)} tensors of its model, such as {sorted(lost)[0]}. Download the model "
            "again."
        )
    return plan


def _put(places: Sequence[tuple[nn.Module, str]], tensor: torch.Tensor) -> None:
    """One parameter for all of these places, or a weight to be packed. Where a model is tied, several share
    it."""
    (module, name), *_ = places
    if isinstance(module, QuantizedLinear) and name == "weight":
        return module.take(tensor)
    parameter = nn.Parameter(tensor, requires_grad=False)
    for module, name in places:
        module._parameters[name] = parameter
