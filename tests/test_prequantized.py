"""Models that were quantized before they were saved: transformers loads them, with progress and Stop."""

from __future__ import annotations

import gc
import importlib.util
import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints import precision
from rr_models.critics import local
from rr_models.critics.judging import critique
from rr_models.errors import CriticError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def four_bit(folder, tmp_path_factory) -> Path:
    """The tiny critic as bitsandbytes saves it."""
    if not precision.has_bitsandbytes():
        pytest.skip("4-bit needs bitsandbytes >= 0.50, which is not installed here")
    from transformers import BitsAndBytesConfig, Qwen3VLForConditionalGeneration

    saved = Path(shutil.copytree(folder, tmp_path_factory.mktemp("saved") / "saved"))
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=["model.visual", "lm_head"]
    )
    (saved / "model.safetensors").unlink()
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, quantization_config=settings)
    model.save_pretrained(saved)
    return saved


def answer(critic: local.LocalCritic) -> str:
    image = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(1))
    return critique(critic, [image], "a fox", detail="scores", max_new_tokens=200)[0].text


def models(critic: local.LocalCritic) -> set[weakref.ref]:
    """All models of the critic's class in memory."""
    return {weakref.ref(found) for found in gc.get_objects() if type(found) is type(critic.model)}


def test_a_model_that_was_saved_in_4_bit_is_loaded_by_transformers(four_bit):
    critic = local.prepare(four_bit, CPU)
    assert critic.precision == "bitsandbytes" and critic.weights.device is None
    texts = []
    for _ in range(2):
        critic.weights.load(CPU)
        texts.append(answer(critic))
        critic.weights.unload()
        assert all(p.is_meta for p in critic.model.parameters())
    assert texts[0] == texts[1] != ""


def test_its_progress_grows_to_the_size_of_its_files(four_bit):
    critic = local.prepare(four_bit, CPU)
    reports = []
    critic.weights.load(CPU, lambda done, total: reports.append((done, total)))
    total = (four_bit / "model.safetensors").stat().st_size
    assert reports[0] == (0, total) and reports[-1] == (total, total) and reports == sorted(reports)
    steps = sorted({done for done, _ in reports})
    assert len(steps) > 5 and max(b - a for a, b in zip(steps, steps[1:], strict=False)) < 0.75 * total
    hooks = torch.nn.modules.module
    assert not hooks._global_parameter_registration_hooks and not hooks._global_module_registration_hooks
    torch.nn.Linear(1, 1)  # a module that is created later reports no progress
    assert reports[-1] == (total, total)


@pytest.mark.parametrize(
    ("kind", "share"), [(RuntimeError, 0), (RuntimeError, 0.5), (RuntimeError, 1), (KeyboardInterrupt, 0.5)]
)
def test_stop_ends_the_loading_and_leaves_nothing(four_bit, kind, share):
    critic = local.prepare(four_bit, CPU)
    begun, calls = set(), []

    def stop(done, total):
        calls.append(done)
        if len(calls) > 40 and done >= share * total:  # while the model is being built
            begun.update(models(critic) - before)
            raise kind("stop")

    gc.collect()
    gc.disable()  # it has to be freed at once, without the collector
    before = models(critic)
    try:
        with pytest.raises(kind, match="^stop$") as caught:
            critic.weights.load(CPU, stop)
        assert caught.value.__cause__ is None and (begun or share == 1)
        assert not any(model() for model in begun)
    finally:
        gc.enable()
    assert calls[-1] >= share * (four_bit / "model.safetensors").stat().st_size
    assert all(p.is_meta for p in critic.model.parameters()) and critic.weights.device is None
    assert torch.get_default_dtype() == torch.float32
    critic.weights.load(CPU)
    assert answer(critic) == answer(local.load(four_bit))


def quantized(folder: Path, copy: Path, **settings) -> Path:
    """A copy whose config.json says that it is quantized."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {"quantization_config": settings}), "utf-8")
    return copy


@pytest.mark.parametrize(
    ("method", "reason"),
    [("compressed-tensors", "Install compressed-tensors"), ("magic", "does not know the method")],
)
def test_a_quantized_model_that_cannot_be_loaded_names_the_package(folder, tmp_path, method, reason):
    if method != "magic" and importlib.util.find_spec("compressed_tensors"):
        pytest.skip("compressed-tensors is installed here")
    settings = {"quant_method": method, "format": "pack-quantized", "config_groups": {}}
    critic = local.prepare(quantized(folder, tmp_path / "saved", **settings), CPU)
    with pytest.raises(CriticError, match=f"(?s)saved is quantized by {method}.*{reason}"):
        critic.weights.load(CPU)
    with pytest.raises(ValueError, match="precision int8 is not available for saved"):
        local.prepare(tmp_path / "saved", CPU, "int8")


def test_fp8_is_dequantized_on_a_cpu_or_refused_with_the_reason(folder, tmp_path):
    """transformers 5 dequantizes it, 4.57 does not; no package changes that."""
    import transformers
    from safetensors.torch import load_file, save_file

    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [16, 16]}
    saved = quantized(
        folder, tmp_path / "saved", **settings, modules_to_not_convert=["model.visual", "lm_head"]
    )
    original, stored = load_file(folder / "model.safetensors"), {}
    for name, tensor in original.items():
        stored[name] = tensor
        if name.startswith("model.language_model.layers.") and name.endswith("proj.weight"):
            rows, columns = (length // 16 for length in tensor.shape)
            blocks = tensor.float().reshape(rows, 16, columns, 16)
            scale = blocks.abs().amax((1, 3)) / 448
            blocks = (blocks / scale[:, None, :, None]).reshape(tensor.shape)
            stored |= {name: blocks.to(torch.float8_e4m3fn), f"{name}_scale_inv": scale}
    save_file(stored, saved / "model.safetensors", metadata={"format": "pt"})
    critic = local.prepare(saved, CPU)
    if int(transformers.__version__.split(".")[0]) < 5:
        with pytest.raises(CriticError, match=r"GPU .* Use the unquantized model"):
            critic.weights.load(CPU)
        return
    critic.weights.load(CPU)
    for name, tensor in original.items():
        read = critic.model.get_parameter(name)
        torch.testing.assert_close(
            read.float(), tensor.float(), rtol=0, atol=0.04 * float(tensor.abs().max())
        )
    assert answer(critic)
