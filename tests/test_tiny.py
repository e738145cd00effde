"""Test models have the sizes of real ones, so that no kernel of any processor refuses them."""

from __future__ import annotations

import _random_model as random_model
import pytest
import torch
from rr_tests import tiny

MULTIPLE = 128
"""Rows and columns of all linear layers of published Qwen3-VL models, but for one of the 8B's vision tower.
bitsandbytes' kernels for AVX512-BF16 need 64 columns and 32 rows."""


@pytest.mark.parametrize("name", ["tests", "tiny", "0.1b"])
def test_layers_have_sizes_as_in_real_models(name: str):
    if name == "tests":
        model = tiny.make_model(tiny.make_tokenizer())
    else:
        model = random_model.make(name, "meta").model
    layers = {path: module for path, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    sizes = {path: tuple(layer.weight.shape) for path, layer in layers.items()}
    odd = {path: size for path, size in sizes.items() if any(length % MULTIPLE for length in size)}
    assert sizes and not odd
