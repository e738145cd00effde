"""Progress, and Stop, for a model that transformers loads.

What transformers reports depends on its version, and 4.57 reports complete files at most. But every model is
built from torch modules, and torch calls hooks for each module, parameter and buffer.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules import module as torch_modules

from .weights import OnProgress

_TENSORS_PER_COUNT = 8
"""Tensors between two counts of the bytes a model holds; a count takes a millisecond for a large model."""


class StoppedByCallback(BaseException):
    """Carries an exception of the callback through code that would turn it into one of its own, as torch does
    with every Exception. `errors` holds it, to be popped, so that the two do not reference each other."""

    def __init__(self, error: BaseException):
        self.errors = [error]


@contextlib.contextmanager
def report_progress(model_class: type[nn.Module], total: int, on_progress: OnProgress) -> Iterator[None]:
    """While in this context, calls `on_progress(done, total)`, in bytes, as this thread loads a model of
    `model_class`.

    An exception of `on_progress` ends the loading as StoppedByCallback; after any exception, nothing
    references the half-loaded model.
    """
    thread, model, tensors, done = threading.get_ident(), None, 0, 0

    def on_module(module: nn.Module, name: str, child: nn.Module | None) -> None:
        nonlocal model
        if isinstance(module, model_class) and threading.get_ident() == thread:
            model = module

    def on_tensor(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal tensors, done
        if threading.get_ident() != thread:  # these hooks apply to the complete process
            return
        if model is not None and tensor is not None and not tensor.is_meta:
            tensors += 1
            if tensors % _TENSORS_PER_COUNT == 0:
                done = max(done, min(total, _bytes_held(model)))
        try:
            on_progress(done, total)
        except BaseException as error:
            raise StoppedByCallback(error) from None

    hooks = [
        torch_modules.register_module_module_registration_hook(on_module),
        torch_modules.register_module_parameter_registration_hook(on_tensor),
        torch_modules.register_module_buffer_registration_hook(on_tensor),
    ]
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # else the traceback would hold half a model
        raise
    finally:
        model = None
        for hook in hooks:
            hook.remove()


def _bytes_held(model: nn.Module) -> int:
    """Bytes of the tensors that a model holds so far."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()) if not tensor.is_meta)
