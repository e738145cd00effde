"""Loading a model folder as a critic: precision, damage, and folders that other versions saved."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints import hf_config
from rr_models.critics import local
from rr_models.critics.judging import critique
from rr_models.errors import CriticError, ModelFolderError
from rr_models.prompting import rubric

REQUEST = "A red fox asleep on a blue chair."


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def critic(folder: Path) -> local.LocalCritic:
    return local.load(folder)


def answer(critic: local.LocalCritic) -> str:
    image = torch.rand(96, 64, 3, generator=torch.Generator().manual_seed(1))
    return critique(critic, [image], REQUEST)[0].text


def test_precision(folder, caplog):
    with caplog.at_level(logging.INFO, logger="rr_models"):
        assert local.load(folder).model.dtype == torch.float32
    assert "loaded in fp32, because" in caplog.text
    half = local.load(folder, dtype="bfloat16", name="half")
    assert repr(half) == "LocalCritic(half, cpu, bf16)"
    assert len(critique(half, [torch.rand(64, 64, 3)], REQUEST, max_new_tokens=2)) == 1
    with pytest.raises(ValueError, match="precision.*float8"):
        local.load(folder, dtype="float8")


def test_max_pixels_lowers_the_cap(folder):
    small = local.load(folder, max_pixels=32 * 32)
    assert (
        critique(small, [torch.rand(128, 128, 3)], REQUEST, max_new_tokens=1)[0].source["max_pixels"] == 1024
    )


def test_weights_that_lack_a_tensor_are_refused(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    lacking = Path(shutil.copytree(folder, tmp_path / "lacking"))
    tensors = load_file(lacking / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight"))
    del tensors[name]
    save_file(tensors, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match="up_proj"):
        local.load(lacking)


def test_a_broken_folder_is_refused_before_it_is_loaded(folder, tmp_path):
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    with (broken / "model.safetensors").open("r+b") as stream:
        stream.truncate(5000)
    with pytest.raises(ModelFolderError, match="model.safetensors"):
        local.load(broken)


def with_tokenizer_config(folder: Path, copy: Path, **changes) -> Path:
    shutil.copytree(folder, copy)
    file = copy / "tokenizer_config.json"
    told = {**json.loads(file.read_text("utf-8")), **changes}
    file.write_text(json.dumps({name: value for name, value in told.items() if value is not None}), "utf-8")
    return copy


@pytest.mark.parametrize("named", ["TokenizersBackend", "Qwen2Tokenizer", "PreTrainedTokenizerFast", "New"])
def test_the_tokenizer_does_not_hang_on_the_class_that_the_folder_names(folder, critic, tmp_path, named):
    """Which class that is depends on the transformers that saved it; 4.57 knows no TokenizersBackend."""
    changes = {"tokenizer_class": named, "extra_special_tokens": ["<|image_pad|>"], "backend": "tokenizers"}
    other = local.load(with_tokenizer_config(folder, tmp_path / "other", **changes))
    for task in ("t2i", "edit"):
        assert other.generator.prompts.segments(task, REQUEST) == critic.generator.prompts.segments(
            task, REQUEST
        )
    assert other.tokenizer.eos_token == "<|im_end|>" and other.tokenizer.pad_token == "<|endoftext|>"


def test_rotary_settings_are_read_under_their_new_names(folder, critic, tmp_path):
    """As transformers 5 saves them; 4.57 knows the old names only."""
    renamed = Path(shutil.copytree(folder, tmp_path / "renamed"))
    config = json.loads((renamed / "config.json").read_text("utf-8"))
    text = config["text_config"]
    theta, scaling = text.pop("rope_theta", None), text.pop("rope_scaling", None)
    text.setdefault("rope_parameters", {**(scaling or {}), "rope_theta": theta})
    (renamed / "config.json").write_text(json.dumps(config), "utf-8")
    other = local.load(renamed)
    assert torch.equal(
        other.model.model.language_model.rotary_emb.inv_freq,
        critic.model.model.language_model.rotary_emb.inv_freq,
    )
    assert answer(other) == answer(critic)


SAMPLES = (
    rubric.messages("edit", "把天空变成粉红色。 Keep “the rest”!")[-1]["content"],
    "  two  blanks\n\n\n\ttab 1234567 it's I'LL e\u0301 \U0001f98a <think>x</think> <|im_end|>",
)


def test_a_real_qwen_vocabulary_gives_the_ids_of_its_own_class(core_folder, folder, tmp_path):
    """The vocabulary that the ComfyUI core brings along, saved as Qwen3-VL folders are."""
    from transformers import AutoTokenizer

    core = core_folder / "comfy" / "text_encoders" / "qwen25_tokenizer"
    own = AutoTokenizer.from_pretrained(core)
    own.save_pretrained(tmp_path)
    shutil.copy(folder / "chat_template.jinja", tmp_path)
    told = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8")) | {
        "tokenizer_class": "Qwen2Tokenizer"
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told), "utf-8")
    ours = hf_config.load_tokenizer(tmp_path)
    for sample in (*(part["text"] for part in SAMPLES[0] if part["type"] == "text"), SAMPLES[1]):
        ids = own(sample, add_special_tokens=False).input_ids
        assert ours(sample, add_special_tokens=False).input_ids == ids
        for skip in (True, False):
            assert ours.decode(ids, skip_special_tokens=skip) == own.decode(ids, skip_special_tokens=skip)
    assert ours.get_added_vocab() == own.get_added_vocab()
    assert (ours.eos_token, ours.pad_token) == (own.eos_token, own.pad_token)


@pytest.mark.parametrize("content", ["{}", '{"model": {"type": "Nothing"}}', "<html>"])
def test_a_broken_tokenizer_is_an_error_that_names_the_folder(folder, tmp_path, content: str):
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ModelFolderError, match=r"tokenizer in .*broken.*Download"):
        local.load(broken)


def test_a_folder_that_names_no_end_token_is_refused(folder, tmp_path):
    endless = with_tokenizer_config(folder, tmp_path / "endless", eos_token=None)
    (endless / "special_tokens_map.json").unlink(missing_ok=True)  # as transformers 4 saves
    for file in ("config.json", "generation_config.json"):
        told = json.loads((endless / file).read_text("utf-8"))
        for part in (told, told.get("text_config", {})):
            part.pop("eos_token_id", None)
        (endless / file).write_text(json.dumps(told), "utf-8")
    with pytest.raises(ModelFolderError, match="eos_token"):
        local.load(endless)


@pytest.mark.slow
def test_a_torchvision_that_does_not_fit_is_named(folder, tmp_path):
    """The most common broken install: torchvision is there, but was built for another torch."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('torchvision::nms does not exist')", "utf-8"
    )
    (tmp_path / "torchvision-0.28.0.dist-info").mkdir()
    (tmp_path / "torchvision-0.28.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n", "utf-8"
    )
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run(
        [sys.executable, "-c", f"from rr_models.critics.local import load; load({str(folder)!r})"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "CriticError" in run.stderr and "A torchvision that does not fit" in run.stderr


def attentions(model) -> dict[str, str]:
    parts = {"vision": model.model.visual, "text": model.model.language_model, "all": model}
    return {name: part.config._attn_implementation for name, part in parts.items()}


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "eager"},
        {"_attn_implementation_internal": "eager", "output_attentions": True},
    ],
)
def test_attention_is_sdpa_whatever_the_folder_says(folder, tmp_path, told):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text("utf-8"))
    for part in (config, config["text_config"], config["vision_config"]):
        part.update(told)
    (copy / "config.json").write_text(json.dumps(config), "utf-8")
    critic = local.load(copy)
    assert attentions(critic.model) == {"vision": "sdpa", "text": "sdpa", "all": "sdpa"}
    assert not critic.model.config.output_attentions


def test_a_chosen_attention_is_the_vision_towers_alone(folder, critic, monkeypatch):
    from transformers import AttentionInterface

    sdpa, asked = AttentionInterface()["sdpa"], []

    def mine(module, *args, **options):
        asked.append(type(module).__name__)
        return sdpa(module, *args, **options)

    AttentionInterface.register("mine", mine)
    monkeypatch.setattr(hf_config, "check_attention", lambda choice, device, dtype: choice)
    other = local.load(folder, attention="mine")
    assert attentions(other.model) == {"vision": "mine", "text": "sdpa", "all": "sdpa"}
    assert answer(other) == answer(critic)
    assert asked == ["Qwen3VLVisionAttention"] * len(other.model.model.visual.blocks)


def test_flash_attention_is_refused_where_it_cannot_be_had(folder, monkeypatch):
    card = torch.device("cuda")
    with pytest.raises(ValueError, match="attention must be one of sdpa, flash_attention_2, not 'flash'"):
        local.load(folder, attention="flash")
    with pytest.raises(ValueError, match="CUDA and ROCm GPUs, not on cpu. Use sdpa"):
        local.load(folder, attention="flash_attention_2")
    with pytest.raises(ValueError, match="16 bit, this precision in 32. Use sdpa, or precision bf16"):
        hf_config.check_attention("flash_attention_2", card, torch.float32)
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(CriticError, match="flash-attn, which cannot be imported .*pip install flash-attn"):
        hf_config.check_attention("flash_attention_2", card, torch.bfloat16)
    monkeypatch.setitem(sys.modules, "flash_attn", sys)
    assert hf_config.check_attention("flash_attention_2", card, torch.bfloat16) == "flash_attention_2"
    config = hf_config.load_config(folder, "flash_attention_2")
    assert config.vision_config._attn_implementation == "flash_attention_2"
    assert config.text_config._attn_implementation == config._attn_implementation == "sdpa"
