"""Load Critic in the real core: which models it offers, and what it says of those that it cannot load."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rr_tests import tiny

LOAD = "RationalRewardsLoadCritic"
KNOWN = "RationalRewards-8B-T2I (17.5 GB, not downloaded)"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("whole") / "tiny")


@pytest.fixture
def core(comfy_core, tmp_path, monkeypatch):
    """A core whose folders and cache are this test's own."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths["text_encoders"] = ([str(tmp_path / "text_encoders")], set())
    folder_paths.folder_names_and_paths.pop("LLM", None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return comfy_core


def load(core, model: str, **inputs):
    prompt = {
        "critic": {
            "class_type": LOAD,
            "inputs": {"model": model, "precision": "auto", "device": "cpu", "max_pixels": 65536} | inputs,
        },
        "show": {"class_type": "PreviewAny", "inputs": {"source": ["critic", 0]}},
    }
    return core.run(prompt)


def offered(core) -> list[str]:
    return core.nodes.NODE_CLASS_MAPPINGS[LOAD].GET_SCHEMA().inputs[0].options


def test_every_folder_that_extra_model_paths_names_is_searched(core, whole, tmp_path):
    """Read by core's own reader of that file, in the form that core documents."""
    from utils.extra_config import load_extra_path_config

    shutil.copytree(whole, tmp_path / "elsewhere" / "llm" / "one")
    shutil.copytree(whole, tmp_path / "elsewhere" / "more" / "TIGER-Lab" / "two")
    shutil.copytree(whole, tmp_path / "elsewhere" / "te" / "three")
    shutil.copytree(whole, tmp_path / "models" / "LLM" / "four")
    (tmp_path / "extra.yaml").write_text(
        f"mine:\n  base_path: {tmp_path / 'elsewhere'}\n  LLM: |\n    llm\n    more\n  text_encoders: te\n",
        "utf-8",
    )
    load_extra_path_config(str(tmp_path / "extra.yaml"))
    names = ["four", "one", "three", "TIGER-Lab/two"]
    assert offered(core)[:5] == [*names, "Shapes critic (built in, demo)"]
    for name in names:
        run = load(core, name)
        assert run.success, run.complaint
        assert run.value("critic").name == name


def test_the_hubs_cache_is_offered_under_the_repositorys_name(core, whole, tmp_path):
    snapshot = tmp_path / "cache" / "models--TIGER-Lab--RationalRewards-8B-T2I" / "snapshots" / "0a1b"
    shutil.copytree(whole, snapshot)
    assert "TIGER-Lab/RationalRewards-8B-T2I" in offered(core) and KNOWN not in offered(core)
    for name in ("TIGER-Lab/RationalRewards-8B-T2I", "RationalRewards-8B-T2I", KNOWN):
        run = load(core, name)
        assert run.success, run.complaint
        assert run.value("critic").name.endswith("RationalRewards-8B-T2I")


def test_a_known_model_that_is_not_here_stops_the_run_before_it_begins(core, tmp_path):
    assert KNOWN in offered(core)
    run = load(core, KNOWN)
    assert not run.success and run.rejected and not run.executed
    for said in (
        "TIGER-Lab/RationalRewards-8B-T2I",
        "17.5 GB",
        "models/LLM",
        "Switch download_if_missing on",
    ):
        assert said in run.complaint


def test_an_unknown_model_is_told_with_the_places_that_were_searched(core, tmp_path):
    run = load(core, "llama")
    assert run.rejected and "'llama'" in run.complaint and str(tmp_path / "models" / "LLM") in run.complaint


def test_a_folder_anywhere_wins_over_the_list(core, whole, tmp_path):
    run = load(core, "llama", folder=f" {whole} ")
    assert run.success, run.complaint
    assert run.value("critic").name == "tiny"
    run = load(core, "llama", folder=str(tmp_path / "nowhere"))
    assert not run.success and str(tmp_path / "nowhere") in run.complaint


def test_an_incomplete_folder_says_which_file_is_missing(core, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "models" / "LLM" / "half")
    (folder / "tokenizer.json").unlink()
    run = load(core, "half")
    assert not run.success and "it lacks tokenizer.json" in run.complaint


def test_the_precision_is_told_on_the_node_and_in_the_critique(core, whole):
    run = load(core, "x", folder=str(whole))
    told = [data for name, data in run.events if name == "progress_text"]
    said = "tiny: fp32, because most CPUs are slow in half precision"
    assert told == [{"node": "critic", "text": said}]
    run = load(core, "x", folder=str(whole), precision="int8")
    assert run.value("critic").precision in ("int8", "int8 (int8pack)")


def test_a_known_model_is_fetched_only_when_asked_for(core, whole, tmp_path, monkeypatch):
    """The download itself is tested in test_download.py; here, that the node asks for it, and where to."""
    asked = []

    def fetch(known, folder, watch):
        asked.append((known.repository, folder))
        watch(5, 10)
        shutil.copytree(whole, folder)

    monkeypatch.setattr(core.library("nodes.load_critic"), "download", fetch)
    assert load(core, KNOWN).rejected and not asked
    run = load(core, KNOWN, download_if_missing=True)
    assert run.success, run.complaint
    home = tmp_path / "models" / "LLM" / "RationalRewards-8B-T2I"
    assert asked == [("TIGER-Lab/RationalRewards-8B-T2I", home)]
    assert any(name == "progress" and (data["value"], data["max"]) == (5, 10) for name, data in run.events)
    told = [data["text"] for name, data in run.events if name == "progress_text"]
    assert told[0].startswith("Downloading TIGER-Lab/RationalRewards-8B-T2I (17.5 GB)")
    assert load(core, KNOWN, download_if_missing=True).success and len(asked) == 1
