"""Loading weights: the same numbers as with transformers, nothing twice in memory, nothing left behind."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import psutil
import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints import loading, precision
from rr_models.critics import local
from rr_models.errors import ModelFolderError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("models") / "tiny", shard="200KB")


@pytest.fixture(scope="module")
def tied_folder(tmp_path_factory) -> Path:
    """As the 2B and 4B are published: with tied embeddings and no lm_head."""
    from safetensors.torch import load_file, save_file

    folder = tiny.make(tmp_path_factory.mktemp("models") / "tied")
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = True
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["folder", "tied_folder"])
def test_every_number_is_the_one_that_transformers_loads(kind, dtype, request):
    from transformers import Qwen3VLForConditionalGeneration

    folder = request.getfixturevalue(kind)
    ours = local.load(folder, dtype=dtype).model
    theirs = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=dtype)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, tensor in ours.state_dict().items():
        assert tensor.dtype == state[name].dtype and torch.equal(tensor, state[name]), name
    buffers = dict(theirs.named_buffers())
    for name, buffer in ours.named_buffers():
        assert buffer.dtype == buffers[name].dtype and torch.equal(buffer, buffers[name]), name
    shared = ours.lm_head.weight is ours.model.language_model.embed_tokens.weight
    assert shared == (kind == "tied_folder")
    assert not ours.training and not any(p.requires_grad for p in ours.parameters())


def test_a_prepared_critic_holds_no_weights_until_they_are_loaded(folder):
    critic = local.prepare(folder, CPU, torch.bfloat16)
    assert all(p.is_meta for p in critic.model.parameters()) and critic.weights.device is None
    assert critic.model.dtype == torch.bfloat16
    reports = []
    critic.weights.load(CPU, lambda done, total: reports.append((done, total)))
    assert critic.weights.size == sum(p.nbytes for p in critic.model.parameters())
    total = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert reports[0] == (0, total) and reports[-1] == (total, total) and reports == sorted(reports)
    assert len(reports) > 20
    critic.weights.load(CPU, lambda done, total: pytest.fail("it was loaded already"))
    critic.weights.unload()
    assert all(p.is_meta for p in critic.model.parameters()) and critic.weights.device is None


def test_a_tied_model_counts_its_vocabulary_once(tied_folder):
    critic = local.load(tied_folder)
    assert critic.weights.size == sum(p.nbytes for p in critic.model.parameters())
    critic.weights.unload()
    assert critic.model.lm_head.weight is critic.model.model.language_model.embed_tokens.weight


@pytest.mark.platform("linux")  # which tells in /proc what is mapped where
def test_a_file_of_the_right_precision_is_mapped_and_not_copied(folder):
    model = local.load(folder, dtype=torch.float32).model
    mapped = [
        [int(end, 16) for end in line.split()[0].split("-")]
        for line in Path("/proc/self/maps").read_text("utf-8").splitlines()
        if str(folder) in line
    ]
    for name, parameter in model.named_parameters():
        assert any(start <= parameter.data_ptr() < end for start, end in mapped), f"{name} is a copy"


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory until it is asked"
)
def test_unloading_returns_freed_memory_to_the_system(folder):
    critic = local.load(folder)
    large = torch.ones(30 << 18)
    del large  # from now on glibc takes blocks of up to its size, 30 MB, from the heap
    blocks = [torch.ones(1 << 18) for _ in range(200)]  # 1 MB each
    above = torch.ones(1 << 18)  # what is freed below it stays with the process
    del blocks
    before = psutil.Process().memory_info().rss
    critic.weights.unload()
    assert before - psutil.Process().memory_info().rss > 100e6
    del above


def test_an_exception_of_on_progress_ends_the_loading_and_leaves_nothing(folder):
    critic = local.prepare(folder, CPU)

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        critic.weights.load(CPU, stop)
    assert all(p.is_meta for p in critic.model.parameters()) and critic.weights.device is None
    critic.weights.load(CPU)
    assert not any(p.is_meta for p in critic.model.parameters())


def test_a_file_that_is_cut_in_half_after_the_check(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    critic = local.prepare(copy, CPU)
    half = sorted(copy.glob("*.safetensors"))[1]
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    with pytest.raises(ModelFolderError, match=f"{half.name} cannot be read"):
        critic.weights.load(CPU)
    assert all(p.is_meta for p in critic.model.parameters())


def test_weights_of_another_size_are_refused_before_they_are_loaded(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text("utf-8"))
    config["text_config"]["intermediate_size"] = 384
    (copy / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelFolderError, match=r"shape \[256, 128\], but config.json asks for \[384, 128\]"):
        local.prepare(copy, CPU)


def test_a_read_only_folder_is_enough(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    before = {file: file.stat().st_mtime_ns for file in copy.iterdir()}
    for file in copy.iterdir():
        file.chmod(0o444)
    copy.chmod(0o555)
    try:
        local.load(copy).weights.unload()
        assert {file: file.stat().st_mtime_ns for file in copy.iterdir()} == before
    finally:
        copy.chmod(0o755)


def test_nothing_is_filled_with_random_numbers(folder, monkeypatch):
    """Drawing 8 billion of them would take minutes."""
    drawn = []
    real = torch.Tensor.normal_

    def draw(tensor, *args, **options):
        drawn.extend([] if tensor.is_meta else [tensor.shape])
        return real(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "normal_", draw)
    model = loading.meta_model(folder, precision.choose_precision("fp32", CPU, folder))
    assert not drawn and all(p.is_meta for p in model.parameters())
