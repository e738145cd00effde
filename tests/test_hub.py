"""Checkpoints by name: what lies in folders and in the hub's cache, and what is only known."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rr_models.checkpoints import catalog, model_folder

VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
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


def test_the_cache_is_where_huggingface_hub_has_it(tmp_path):
    """Every combination of the variables that name it, against the library's own answer."""
    code = (
        "import sys, json, importlib, os\nimport huggingface_hub.constants as own\n"
        "said = []\n"
        "for variables in json.loads(sys.argv[1]):\n"
        f"    [os.environ.pop(name, None) for name in {VARIABLES}]\n"
        "    os.environ.update(variables)\n"
        "    said.append(importlib.reload(own).HF_HUB_CACHE)\n"
        "print(json.dumps(said))"
    )
    places = ({}, *({name: f"~/{name}/$USER_PLACE"} for name in VARIABLES))
    sets = [a | b for a, b in itertools.combinations_with_replacement(places, 2)]
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(sets)],
        env=environment | {"USER_PLACE": "here"},
        capture_output=True,
        text=True,
        check=True,
    )
    for variables, theirs in zip(sets, json.loads(run.stdout), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("HF_HUB_CACHE")
            patch.setenv("USER_PLACE", "here")
            for name, value in variables.items():
                patch.setenv(name, value)
            # the library expands a legacy variable twice or not at all, which comes to the same place
            assert str(catalog.cache_folder()) == os.path.expandvars(os.path.expanduser(theirs)), variables


def test_the_cache_offers_the_revision_that_was_asked_for_last(own_cache):
    named = repository(own_cache, "TIGER-Lab/RationalRewards-8B-T2I", "old", "new", main="old")
    loose = repository(own_cache, "me/tuned--twice", "old", "new")
    model(own_cache / "models--x--llama" / "snapshots" / "a", "llama")
    (own_cache / "models--y--empty").mkdir()
    assert catalog.cached_models() == {
        "TIGER-Lab/RationalRewards-8B-T2I": named / "old",
        "me/tuned--twice": loose / "new",
    }


def test_a_cache_that_is_not_there_is_empty(own_cache):
    assert catalog.cached_models() == {}


def test_the_catalogue_lists_folders_then_the_cache_then_what_is_known(own_cache, tmp_path):
    edit = model(tmp_path / "LLM" / "TIGER-Lab" / "RationalRewards-8B-Edit")
    repository(own_cache, "TIGER-Lab/RationalRewards-8B-Edit", "a", main="a")
    small = repository(own_cache, "Qwen/Qwen3-VL-2B-Instruct", "a", main="a") / "a"
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
def test_a_name_finds_its_model_wherever_it_lies(name, where, tmp_path):
    assert catalog.locate(name, {"other": tmp_path, where: tmp_path / "it"}) == tmp_path / "it"
    assert catalog.known_checkpoint(name) is catalog.KNOWN_CHECKPOINTS[0]


def test_an_unknown_name_is_nobodys(tmp_path):
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
