"""Model folders: complete ones pass, and every damage is reported with the file that is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rr_tests import tiny

from rr_models.checkpoints import model_folder
from rr_models.errors import ModelFolderError, RationalRewardsError


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def in_shards(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "sharded", shard="200KB")


@pytest.fixture
def folder(complete: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete, tmp_path / "tiny"))


@pytest.fixture
def shards(in_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(in_shards, tmp_path / "sharded"))


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(ModelFolderError) as caught:
        model_folder.check(folder)
    assert isinstance(caught.value, RationalRewardsError)
    for word in words:
        assert word in str(caught.value)


def test_complete_folders_pass(complete: Path, in_shards: Path):
    model_folder.check(complete)
    model_folder.check(in_shards)
    assert len(list(in_shards.glob("*.safetensors"))) > 1


def test_no_folder(tmp_path: Path):
    refused(tmp_path / "nowhere", "nowhere")
    refused(tmp_path, "config.json")


def test_another_kind_of_model(folder: Path):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "qwen2_5_vl"}), "utf-8")
    refused(folder, "qwen2_5_vl", "qwen3_vl")


def test_quantized_weights(folder: Path):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    assert model_folder.quantization_method(folder) is None
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert model_folder.quantization_method(folder) == "bitsandbytes"
    model_folder.check(folder)


def test_special_tokens_are_read_in_either_form(tmp_path: Path):
    assert model_folder.special_tokens(tmp_path) == {}
    (tmp_path / "special_tokens_map.json").write_text(
        '{"eos_token": "old", "pad_token": {"content": "pad"}}', "utf-8"
    )
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "end", "bos_token": null}', "utf-8")
    assert model_folder.special_tokens(tmp_path) == {"eos_token": "end", "pad_token": "pad"}


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_broken_config(folder: Path, content: str):
    (folder / "config.json").write_text(content, "utf-8")
    refused(folder, "config.json")


def test_a_truncated_weight_file(folder: Path):
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    refused(folder, "model.safetensors", "cut short", "Download")


@pytest.mark.parametrize("size", [0, 4, 100])
def test_a_weight_file_without_a_complete_header(folder: Path, size: int):
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.truncate(size)
    refused(folder, "model.safetensors", "header")


def test_a_pointer_file_instead_of_weights(folder: Path):
    (folder / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "utf-8"
    )
    refused(folder, "model.safetensors", "header")


def test_a_missing_shard(shards: Path):
    missing = sorted(shards.glob("*.safetensors"))[1]
    missing.unlink()
    refused(shards, f"it lacks {missing.name}.")


def test_shards_that_do_not_fit_the_index(shards: Path):
    first, second = sorted(shards.glob("*.safetensors"))[:2]
    shutil.copy(first, second)
    refused(shards, second.name, "index")


def test_an_empty_index(shards: Path):
    (shards / "model.safetensors.index.json").write_text('{"weight_map": {}}', "utf-8")
    refused(shards, "model.safetensors.index.json")


def test_pickled_weights(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "pytorch_model.bin", "run code")


def test_no_weights(folder: Path):
    (folder / "model.safetensors").unlink()
    refused(folder, "no weights")


def test_no_tokenizer(folder: Path):
    (folder / "tokenizer.json").unlink()
    refused(folder, "it lacks tokenizer.json.")
    (folder / "vocab.json").touch()
    refused(folder, "it lacks merges.txt.")


def test_all_missing_files_are_reported_at_once(shards: Path):
    missing = sorted(shards.glob("*.safetensors"))[1]
    for file in (missing, shards / "tokenizer.json", shards / "preprocessor_config.json"):
        file.unlink()
    refused(shards, f"it lacks {missing.name}, tokenizer.json, preprocessor_config.json.")


def test_parts_without_their_index(shards: Path):
    (shards / "model.safetensors.index.json").unlink()
    refused(shards, "lacks model.safetensors.index.json")


def test_no_image_settings(folder: Path):
    settings = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    (folder / "preprocessor_config.json").unlink()
    refused(folder, "preprocessor_config.json")
    (folder / "processor_config.json").write_text(
        json.dumps({"image_processor": settings}), "utf-8"
    )  # as transformers 5 saves
    model_folder.check(folder)
    assert model_folder.preprocessing(folder) == settings


@pytest.mark.parametrize("file", ["tokenizer_config.json", "chat_template.json"])
def test_the_chat_template_may_be_in_three_files(folder: Path, file: str):
    template = (folder / "chat_template.jinja").read_text("utf-8")
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text("{}", "utf-8")
    refused(folder, "chat template")
    (folder / file).write_text(json.dumps({"chat_template": template}), "utf-8")
    model_folder.check(folder)
    assert model_folder.chat_template(folder) == template


def test_find_looks_one_and_two_levels_deep(complete: Path, tmp_path: Path):
    first, second = tmp_path / "LLM", tmp_path / "more"
    shutil.copytree(complete, first / "RationalRewards-8B-T2I")
    shutil.copytree(complete, first / "TIGER-Lab" / "Edit")
    shutil.copytree(complete, first / "a" / "b" / "too deep")
    shutil.copytree(complete, second / "RationalRewards-8B-T2I")
    (first / "llama").mkdir()
    (first / "llama" / "config.json").write_text('{"model_type": "llama"}', "utf-8")
    (first / "broken").mkdir()
    (first / "broken" / "config.json").write_text("{", "utf-8")
    assert model_folder.find([first, second, tmp_path / "nowhere"]) == {
        "RationalRewards-8B-T2I": first / "RationalRewards-8B-T2I",
        "TIGER-Lab/Edit": first / "TIGER-Lab" / "Edit",
    }
