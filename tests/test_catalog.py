"""Checkpoints by name: those in folders and in the Hugging Face cache, and those that are only known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rr_models.checkpoints import catalog, model_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def model(folder: Path, kind: str = "qwen3_vl") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}), "utf-8")
    return folder


def repository(cache: Path, name: str, *revisions: str, main: str = "") -> Path:
    """A repository as huggingface_hub lays it out."""
    folder = cache / f"models--{name.replace('/', '--')}"
    for age, revision in enumerate(revisions):
        snapshot = model(folder / "snapshots" / revision)
        os.utime(snapshot, (age, age))
    if main:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(main, "utf-8")
    return folder / "snapshots"


def test_the_cache_offers_the_last_revision(cache):
    named = repository(cache, "TIGER-Lab/RationalRewards-8B-T2I", "old", "new", main="old")
    loose = repository(cache, "me/tuned--twice", "old", "new")
    model(cache / "models--x--llama" / "snapshots" / "a", "llama")
    (cache / "models--y--empty").mkdir()
    assert catalog.cached_models() == {
        "TIGER-Lab/RationalRewards-8B-T2I": named / "old",
        "me/tuned--twice": loose / "new",
    }


def test_a_missing_cache_is_empty(cache):
    assert catalog.cached_models() == {}


def test_the_catalog_lists_folders_then_the_cache_then_the_known_checkpoints(cache, tmp_path):
    edit = model(tmp_path / "LLM" / "TIGER-Lab" / "RationalRewards-8B-Edit")
    repository(cache, "TIGER-Lab/RationalRewards-8B-Edit", "a", main="a")
    small = repository(cache, "Qwen/Qwen3-VL-2B-Instruct", "a", main="a") / "a"
    offered = catalog.available_models([tmp_path / "LLM", tmp_path / "nowhere"])
    assert list(offered.items()) == [
        ("TIGER-Lab/RationalRewards-8B-Edit", edit),
        ("Qwen/Qwen3-VL-2B-Instruct", small),
        ("RationalRewards-8B-T2I (17.5 GB, not downloaded)", None),
        ("Qwen3-VL-4B-Instruct (8.9 GB, not downloaded)", None),
        ("Qwen3-VL-8B-Instruct (17.5 GB, not downloaded)", None),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "RationalRewards-8B-T2I",
        "rationalrewards-8b-t2i",
        "TIGER-Lab/RationalRewards-8B-T2I",
        "RationalRewards-8B-T2I (17.5 GB, not downloaded)",
    ],
)
@pytest.mark.parametrize("where", ["RationalRewards-8B-T2I", "TIGER-Lab/RationalRewards-8B-T2I"])
def test_a_name_finds_its_model_in_any_folder(name, where, tmp_path):
    assert catalog.locate(name, {"other": tmp_path, where: tmp_path / "it"}) == tmp_path / "it"
    assert catalog.known_checkpoint(name) is catalog.KNOWN_CHECKPOINTS[0]


def test_an_unknown_name_finds_nothing(tmp_path):
    assert catalog.locate("llama", {"RationalRewards-8B-T2I": tmp_path}) is None
    another = {"me/RationalRewards-8B-T2I": tmp_path}
    assert catalog.locate("TIGER-Lab/RationalRewards-8B-T2I", another) is None
    assert catalog.locate("/no/such/RationalRewards-8B-T2I", another) is None
    assert catalog.known_checkpoint("me/RationalRewards-8B-T2I") is None
    assert (
        catalog.locate(catalog.KNOWN_CHECKPOINTS[0].label, {catalog.KNOWN_CHECKPOINTS[0].label: None}) is None
    )
    assert catalog.known_checkpoint("llama") is None


def test_every_known_size_is_that_of_its_shape():
    """Two bytes a weight of the model that the checkpoint's published shape makes."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    torch = pytest.importorskip("torch")
    shapes = {  # hidden, layers, inner, heads, tied; depth, hidden, inner, deepstack of the vision tower
        "2B": ((2048, 28, 6144, 16, True), (24, 1024, 4096, [5, 11, 17])),
        "4B": ((2560, 36, 9728, 32, True), (24, 1024, 4096, [5, 11, 17])),
        "8B": ((4096, 36, 12288, 32, False), (27, 1152, 4304, [8, 16, 24])),
    }
    sizes = {}
    for size, ((hidden, layers, inner, heads, tied), (depth, width, wide, deepstack)) in shapes.items():
        config = Qwen3VLConfig(
            text_config={
                "vocab_size": 151936,
                "hidden_size": hidden,
                "intermediate_size": inner,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "num_key_value_heads": 8,
                "head_dim": 128,
                "rope_scaling": {"mrope_section": [24, 20, 20], "rope_type": "default"},
            },
            vision_config={
                "depth": depth,
                "hidden_size": width,
                "intermediate_size": wide,
                "num_heads": 16,
                "out_hidden_size": hidden,
                "deepstack_visual_indexes": deepstack,
                "num_position_embeddings": 2304,
            },
            tie_word_embeddings=tied,
        )
        with torch.device("meta"):
            built = Qwen3VLForConditionalGeneration(config)
        built.tie_weights()
        sizes[size] = 2 * sum(parameter.numel() for parameter in built.parameters())
    for known in catalog.KNOWN_CHECKPOINTS:
        assert known.size == next(size for name, size in sizes.items() if f"-{name}" in known.name)


def test_the_built_in_critic_is_a_critic():
    assert model_folder.is_critic(model_folder.SHAPES_CRITIC)
