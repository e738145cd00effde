"""Save Image with Critique and Load Critique in a real core: files, metadata, logs, and the way back."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from rr_tests.loops import CANDIDATES, HISTORY, loop, node

from rr_models.records import image_metadata
from rr_models.records import record as records
from rr_models.records.append_log import read_csv

WORKFLOW = {"workflow": {"nodes": [{"id": 1, "title": "中文"}]}}


def judged(count: int = 1, **save) -> dict:
    """Paint, judge, save."""
    return {
        "paint": node("RRTestPaint", prompt="brighter", seed=0, batch_size=count, fail_on=""),
        "judge": node(
            "RRTestMeasure", image=["paint", 0], request="a request", prompt="brighter", blind_above=1.0
        ),
        "save": node(
            "RationalRewardsSaveImage",
            candidates=["judge", 0],
            **{"filename_prefix": "kept/one", "format": "png", "log": "none"} | save,
        ),
    }


def files_of(core, run) -> list[Path]:
    return [
        core.base / "output" / shown["subfolder"] / shown["filename"]
        for shown in run.outputs["save"]["images"]
    ]


def test_the_file_is_core_s_own_with_the_critique_besides(core):
    prompt = judged(2, filename_prefix="same/%width%x%height%")
    prompt["core"] = node("SaveImage", images=["paint", 0], filename_prefix="same/core")
    run = core.run(prompt, extra_pnginfo=WORKFLOW)
    assert run.success, run.complaint
    assert [file.name for file in files_of(core, run)] == ["16x16_00001_.png", "16x16_00002_.png"]
    for index, ours in enumerate(files_of(core, run)):
        with Image.open(ours) as a, Image.open(ours.with_name(f"core_{index + 1:05}_.png")) as b:
            a.load(), b.load()
            assert a.tobytes() == b.tobytes()
            assert {name: a.text[name] for name in b.text} == dict(b.text)
            assert set(a.text) - set(b.text) == {"rational_rewards", "parameters"}
        (record,) = records.read(ours)
        seen = run.critiques("judge")[index]
        assert record.content.to_dict() == seen.to_dict()
        assert (record.prompt, record.seed, record.batch_index) == ("a request", None, index)
    assert torch.equal(run.value("save", 0), run.value("paint", 0))
    assert run.value("save", 1).splitlines() == [str(file) for file in files_of(core, run)]


def test_numbers_go_on_and_nothing_is_overwritten(core):
    names = [files_of(core, core.run(judged(filename_prefix="count"), core.executor())) for _ in range(2)]
    assert [file.name for (file,) in names] == ["count_00001_.png", "count_00002_.png"]


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_what_is_saved_is_loaded_again(core, kind):
    run = core.run(judged(format=kind, filename_prefix=f"round/{kind}", quality=100), extra_pnginfo=WORKFLOW)
    assert run.success, run.complaint
    (file,) = files_of(core, run)
    name = file.relative_to(core.base / "output").as_posix()
    again = core.run(
        {"load": node("RationalRewardsLoadCritique", file="", output_file=name), **kept_by("load")}
    )
    assert again.success, again.complaint
    candidates, image, prompt, _, refined, report = (again.slot("load", i)[0] for i in range(6))
    assert again.critiques("load") == run.critiques("judge")
    assert (prompt, refined) == ("a request", "brighter brighter")
    assert "Text Faithfulness" in report and torch.equal(candidates[0].image, image)
    assert (candidates[0].prompt, candidates[0].seed) == ("a request", None)
    assert torch.allclose(image, run.value("paint", 0), atol=0.01)
    if kind != "jpeg":
        with Image.open(file) as image:
            assert json.loads(image_metadata.load(image)["workflow"]) == WORKFLOW["workflow"]


def kept_by(load: str) -> dict:
    """An output node, without which nothing runs."""
    return {"show": node("PreviewAny", source=[load, 5])}


def test_a_loop_is_saved_with_its_history_and_gone_on_with(core):
    prompt = loop()
    prompt["save"] = node(
        "RationalRewardsSaveImage",
        candidates=["end", CANDIDATES],
        filename_prefix="loops/best",
        history=["end", HISTORY],
    )
    run = core.run(prompt)
    assert run.success, run.complaint
    (file,) = files_of(core, run)
    (record,) = records.read(file)
    assert (record.prompt, record.seed, record.batch_index) == ("grey brighter brighter", 0, None)
    assert run.value("save", 1).splitlines()[1] == str(file.with_suffix(".json"))
    (told,) = records.read(file.with_suffix(".json"))
    assert told.content.to_dict() == run.value("end", HISTORY).to_dict()

    name = file.with_suffix(".json").relative_to(core.base / "output").as_posix()
    again = core.run(
        {"load": node("RationalRewardsLoadCritique", file="", output_file=name), **kept_by("load")}
    )
    assert again.success, again.complaint
    assert again.value("load", 2) == "grey brighter brighter" and again.value("load", 3) == 0
    assert again.value("load", 6).to_dict() == told.content.to_dict()
    assert "Best: round 3" in again.value("load", 5)


def test_a_json_has_no_image_so_what_needs_one_does_not_run(core):
    (core.base / "input" / "bare.json").write_text(
        json.dumps(core.run(judged()).critiques("judge")[0].to_dict()), "utf-8"
    )
    prompt = {"load": node("RationalRewardsLoadCritique", file="bare.json"), **kept_by("load")}
    prompt["preview"] = node("PreviewImage", images=["load", 1])
    run = core.run(prompt)
    assert run.success, run.complaint
    assert "preview" not in run.outputs and run.critiques("load")[0].request == "a request"
    prompt["unpack"] = node("RationalRewardsUnpackImages", candidates=["load", 0])
    prompt["preview"] = node("PreviewImage", images=["unpack", 0])
    assert "loaded from a JSON file, without its image" in core.run(prompt).complaint


def test_a_file_that_changes_is_read_again_and_one_that_does_not_is_not(core):
    file = core.base / "input" / "changing.json"
    prompt = {"load": node("RationalRewardsLoadCritique", file="changing.json"), **kept_by("load")}
    critique = core.run(judged()).critiques("judge")[0].to_dict()
    executor = core.executor()
    for request, ran in (("one", True), ("one", False), ("two", True)):
        file.write_text(json.dumps(critique | {"request": request}), "utf-8")
        # core notes in the prompt what it has found out, as it does for every queued one anew
        run = core.run(copy.deepcopy(prompt), executor)
        assert run.success, run.complaint
        assert ("load" in run.executed) == ran and run.critiques("load")[0].request == request


def test_the_name_of_the_file_may_come_from_another_node(core):
    run = core.run(judged(filename_prefix="linked/one"))
    (file,) = files_of(core, run)
    prompt = {
        "load": node("RationalRewardsLoadCritique", file="", output_file=["name", 0]),
        **kept_by("load"),
    }
    prompt["name"] = node("PrimitiveString", value=file.relative_to(core.base / "output").as_posix())
    again = core.run(prompt)
    assert again.success, again.complaint
    assert again.critiques("load") == run.critiques("judge")
    prompt["name"]["inputs"]["value"] = "gone.png"
    gone = core.run(prompt)
    assert not gone.success and "there is no gone.png" in gone.complaint


def test_logs_have_a_line_per_image(core):
    run = core.run(seeded(judged(3, filename_prefix="logged/a", log="both"), 2**62))
    assert run.success, run.complaint
    folder = core.base / "output" / "logged"
    lines = [json.loads(line) for line in (folder / "critiques.jsonl").read_text("utf-8").splitlines()]
    rows = read_csv(folder / "critiques.csv")
    names = [file.name for file in files_of(core, run)]
    assert [line["file"] for line in lines] == [row["file"] for row in rows] == names
    assert [row["seed"] for row in rows] == [str(2**62)] * 3
    assert lines[0]["scores"]["text_faithfulness"] == float(rows[0]["text_faithfulness"])
    assert [record.content for record in records.read(folder / "critiques.jsonl")] == [
        record.content for file in files_of(core, run) for record in records.read(file)
    ]


def seeded(prompt: dict, seed: int) -> dict:
    """The images come with this seed."""
    prompt["judge"]["inputs"]["image"] = ["pack", 0]
    prompt["pack"] = node("RationalRewardsPackImages", image=["paint", 0], seed=["n", 0])
    return prompt | {"n": node("PrimitiveInt", value=seed)}


def test_a_log_that_cannot_be_written_costs_no_image(core):
    folder = core.base / "output" / "blocked"
    (folder / "critiques.csv").mkdir(parents=True)
    run = core.run(judged(filename_prefix="blocked/a", log="csv"))
    assert run.success, run.complaint
    assert files_of(core, run)[0].is_file()
    assert "is saved, but not logged" in run.outputs["save"]["text"][0]


def test_disable_metadata_writes_the_image_alone(core, monkeypatch):
    from comfy.cli_args import args

    monkeypatch.setattr(args, "disable_metadata", True)
    for kind, suffix in image_metadata.FORMATS.items():
        run = core.run(judged(format=kind, filename_prefix="plain/a", log="both"), extra_pnginfo=WORKFLOW)
        assert run.success, run.complaint
        with Image.open(files_of(core, run)[0]) as image:
            assert image_metadata.load(image) == {} and files_of(core, run)[0].suffix == suffix
    assert {file.suffix for file in (core.base / "output" / "plain").iterdir()} == {".png", ".webp", ".jpg"}


def test_a_workflow_too_large_for_a_jpeg_is_told(core):
    large = {"workflow": {"nodes": ["x" * 70_000]}}
    run = core.run(judged(format="jpeg", filename_prefix="large"), extra_pnginfo=large)
    assert run.success, run.complaint
    assert "workflow did not fit into the jpeg" in run.outputs["save"]["text"][0]


def test_transparency_is_kept_as_core_keeps_it(core):
    prompt = judged(filename_prefix="clear/ours")
    prompt["alpha"] = node("JoinImageWithAlpha", image=["paint", 0], alpha=["paint", 2])
    prompt["judge"]["inputs"]["image"] = ["alpha", 0]
    prompt["core"] = node("SaveImage", images=["alpha", 0], filename_prefix="clear/core")
    run = core.run(prompt)
    assert run.success, run.complaint
    (ours,) = files_of(core, run)
    with Image.open(ours) as a, Image.open(ours.with_name("core_00001_.png")) as b:
        assert a.mode == b.mode == "RGBA" and a.tobytes() == b.tobytes()


def test_galleries_are_told_what_the_graph_says_beyond_doubt(core):
    details = core.library("nodes.common.sampler_metadata").sampler_metadata
    prompt = {
        "1": node("CheckpointLoaderSimple", ckpt_name="sdxl.safetensors"),
        "2": node("CLIPTextEncode", text="blurry", clip=["1", 1]),
        "3": node(
            "KSampler", model=["1", 0], negative=["2", 0], steps=20, cfg=7.0, sampler_name="euler", seed=1
        ),
        "4": node("VAEDecode", samples=["3", 0], vae=["1", 2]),
        "5": node("RationalRewardsSaveImage", candidates=["7", 0]),
        "7": node("RationalRewardsCritique", image=["4", 0]),
        "6": node("KSampler", steps=99),
    }
    known = {
        "Negative prompt": "blurry",
        "Steps": 20,
        "Sampler": "euler",
        "CFG scale": 7.0,
        "Model": "sdxl.safetensors",
    }
    assert details(prompt, "5") == known
    prompt["3"]["inputs"]["latent_image"] = ["6", 0]
    assert details(prompt, "5") == {name: told for name, told in known.items() if name != "Steps"}
    assert details(None, "5") == details(prompt, "gone") == {}


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({}, "choose an image"),
        ({"file": "gone.png"}, "there is no gone.png"),
        ({"output_file": "../input/bare.json"}, "outside ComfyUI's folder"),
        ({"output_file": "/etc/passwd"}, "outside ComfyUI's folder"),
        ({"file": "../secret.json"}, "outside ComfyUI's folder"),
        ({"output_file": "notes.txt"}, "must end in one of .png"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_runs(core, inputs, complaint):
    run = core.run({"load": node("RationalRewardsLoadCritique", **{"file": ""} | inputs), **kept_by("load")})
    assert not run.success and complaint in run.complaint


def test_an_image_without_a_critique_is_told(core):
    Image.new("RGB", (8, 8)).save(core.base / "input" / "plain.png")
    run = core.run({"load": node("RationalRewardsLoadCritique", file="plain.png"), **kept_by("load")})
    assert not run.success and "no critique in this image" in run.complaint
