"""Prepare a model folder for loading: the model on the meta device, and the object that loads its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import CriticError
from . import hf_config, model_folder
from .precision import Precision
from .prequantized import PrequantizedWeights
from .quantized_linear import quantize_layers
from .weights import META, SafetensorsWeights, Weights

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration


def meta_model(
    folder: Path, precision: Precision, attention: str = hf_config.SDPA
) -> Qwen3VLForConditionalGeneration:
    """The folder's Qwen3-VL with all parameters on the meta device, where they hold no memory. Buffers are
    real. CriticError if transformers cannot provide the model's class."""
    try:  # transformers takes seconds to import, so it waits until a model is needed
        from transformers import Qwen3VLForConditionalGeneration
    except (ImportError, RuntimeError) as error:
        raise CriticError(
            f"transformers cannot provide Qwen3-VL ({error}). It needs transformers >= 4.57.1. A torchvision "
            "that does not fit the installed torch has this effect too: install the matching one, or none."
        ) from error
    with torch.inference_mode(False), _parameters_on_meta(precision.dtype):
        model = Qwen3VLForConditionalGeneration(hf_config.load_config(folder, attention))
    if precision.quantizes:
        quantize_layers(model.model.language_model, precision.name, precision.dtype, precision.kernel)
    return model.eval()


def weights_of(folder: Path, model: Qwen3VLForConditionalGeneration) -> Weights:
    """What loads the folder's weights into `model`, which `meta_model` made. Reads headers only."""
    prequantized = model_folder.quantization_method(folder) is not None
    return (PrequantizedWeights if prequantized else SafetensorsWeights)(folder, model)


@contextlib.contextmanager
def _parameters_on_meta(dtype: torch.dtype) -> Iterator[None]:
    """Modules created in this context keep only the shape of their parameters. (Created under
    `torch.device("meta")`, they would lose the values of their buffers as well.)"""
    register = nn.Module.register_parameter

    def register_on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None:
            shape = torch.empty_like(param, dtype=dtype, device=META)
            param = nn.Parameter(shape, requires_grad=False)
        register(self, name, param)

    nn.Module.register_parameter = register_on_meta
    try:
        yield
    finally:
        nn.Module.register_parameter = register
