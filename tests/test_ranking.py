"""Ranking a folder: requests from text files and metadata, nothing judged twice, nothing lost, bad files
named."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rr_tests.made import critique

from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.cli.main import main
from rr_models.critics.cached import CachedCritic
from rr_models.critics.local import load
from rr_models.judgement.ranking import RankBy
from rr_models.rank_folder import cache_in, rank_folder
from rr_models.records.prompt_lookup import of_critique, of_parameters, of_workflow
from rr_models.records.record import Record, save_image
from rr_models.shapes.generator import generate

REQUEST = "a large red circle on the left and a small blue star on the right"


@pytest.fixture(scope="module")
def critic():
    return load(SHAPES_CRITIC)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bilder mit Ümläuten")
    for seed in range(5):
        generate(REQUEST, seed=14 + seed).resize((96, 96)).save(folder / f"{seed}.png")
    generate("a small green square in the middle", seed=1).save(folder / "=wrong.png")
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "notes.md").write_text("not an image", "utf-8")
    return folder


@pytest.fixture
def folder(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "images")


def rank(critic, folder, out, on_progress=None, request=REQUEST, **options):
    return rank_folder(
        folder,
        CachedCritic(critic, cache_in(out)),
        out,
        request,
        on_image=on_progress,
        chunk_size=2,
        detail="scores",
        **options,
    )


@pytest.mark.slow
def test_a_folder_is_ranked_and_a_second_run_judges_only_what_is_new(critic, folder, tmp_path):
    out = tmp_path / "out"
    first = rank(critic, folder, out, best_files="copy", count=2)
    assert (first.judged, first.cached, len(first.images)) == (6, 0, 6)
    assert [name for name, _ in first.skipped] == ["broken.png"]
    assert first.images[0].file == "3.png" and first.images[0].score > first.images[-1].score
    table = list(csv.DictReader((out / "ranking.csv").open(encoding="utf-8-sig", newline="")))
    assert [row["rank"] for row in table] == ["1", "2", "3", "4", "5", "6", ""]
    assert "'=wrong.png" in [row["file"] for row in table], "a spreadsheet would take it for a formula"
    assert "skipped: cannot be read as an image" in table[-1]["status"]
    lines = [json.loads(line) for line in (out / "ranking.jsonl").read_text("utf-8").splitlines()]
    assert [line["file"] for line in lines] == [row.file for row in first.images]
    assert lines[0]["critique"]["request"] == REQUEST
    assert sorted(file.name for file in (out / "best").iterdir())[0] == "0001_3.png"

    os.rename(folder / "3.png", folder / "renamed.png")
    shutil.copy(folder / "0.png", folder / "twin.png")
    generate(REQUEST, seed=90).save(folder / "1.png")
    again = rank(critic, folder, out, best_files="link", count=1)
    assert (again.judged, again.cached) == (1, 6), "only the changed one; twins and names do not matter"
    assert [file.name for file in (out / "best").iterdir()] == ["0001_renamed.png"]
    weighed = rank(critic, folder, out, order=RankBy(weights={"physical_quality": 0.0}))
    assert weighed.judged == 0 and weighed.images[0].score == 4.0


class Enough(Exception):
    pass


def test_a_run_that_is_stopped_loses_nothing(critic, folder, tmp_path):
    def stop(done, total, left):
        if done >= 3:
            raise Enough

    with pytest.raises(Enough):
        rank(critic, folder, tmp_path / "out", on_progress=stop)
    so_far = (tmp_path / "out" / "ranking.jsonl").read_text("utf-8").splitlines()
    assert 0 < len(so_far) < 6
    told = []
    rest = rank(critic, folder, tmp_path / "out", on_progress=lambda *progress: told.append(progress))
    assert (rest.judged, rest.cached) == (6 - len(so_far), len(so_far))
    assert told[0] == (0, 7, None) and told[-1] == (7, 7, 0.0) and all(left >= 0 for _, _, left in told[1:])


def test_each_image_has_its_own_request(critic, folder, tmp_path):
    for file in folder.iterdir():
        if file.stem not in ("0", "1", "2"):
            file.unlink()
    (folder / "0.txt").write_text(f"\ufeff{REQUEST}\n", encoding="utf-8")
    info = PngInfo()
    info.add_text("parameters", f"{REQUEST}\nNegative prompt: blurry\nSteps: 20, Sampler: Euler")
    with Image.open(folder / "1.png") as image:
        image.save(folder / "1.png", pnginfo=info)
    found = rank(critic, folder, tmp_path / "out", request="")
    assert sorted(row.file for row in found.images) == ["0.png", "1.png"]
    assert found.skipped == [("2.png", "no request: none given, beside it or in its metadata")]
    lines = (tmp_path / "out" / "ranking.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["critique"]["request"] for line in lines} == {REQUEST}


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg"])
def test_what_was_saved_with_its_critique_keeps_its_request(critic, folder, tmp_path, suffix):
    """Even where the workflow has another prompt."""
    saved = tmp_path / "saved"
    saved.mkdir()
    with Image.open(folder / "3.png") as image:
        judged = critique(3.0, 3.0, request=f" {REQUEST} ")
        save_image(image, saved / f"3.{suffix}", Record(judged), {"prompt": graph("something else")})
    (row,) = rank(critic, saved, tmp_path / "out", request="").images
    (line,) = (tmp_path / "out" / "ranking.jsonl").read_text("utf-8").splitlines()
    assert row.file == f"3.{suffix}" and json.loads(line)["critique"]["request"] == REQUEST


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"critique": 3}', '{"critique": {"request": 3}}', "[" * 100_000]
)
def test_a_damaged_record_names_no_request(text):
    assert of_critique(text) == "" and of_critique(None) == ""


def graph(positive: str, **more) -> str:
    return json.dumps(
        {
            "1": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["9", 0], "text": positive}},
            "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["9", 0], "text": "ugly"}},
            "3": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["1", 0], "guidance": 3.5}},
            "4": {
                "class_type": "KSampler",
                "inputs": {"positive": ["3", 0], "negative": ["2", 0], "seed": 1},
            },
        }
        | more
    )


def test_requests_out_of_workflows_where_only_one_can_be_meant():
    assert of_workflow(graph("a cat")) == "a cat"
    text = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": ["7", 0]}}}
    text |= {"7": {"class_type": "PrimitiveString", "inputs": {"value": "a dog"}}}
    assert of_workflow(graph("", **text)) == "a dog"
    second = {"5": {"class_type": "KSampler", "inputs": {"positive": ["2", 0]}}}
    assert of_workflow(graph("a cat", **second)) == "", "two prompts: which one is meant?"
    circle = {"3": {"class_type": "Loop", "inputs": {"conditioning": ["3", 0]}}}
    assert of_workflow(graph("a cat", **circle)) == ""
    assert of_parameters("a cat\nNegative prompt: x\nSteps: 20") == "a cat"
    assert of_parameters("a cat,\non a chair\nSteps: 20, Seed: 1") == "a cat,\non a chair"
    assert of_parameters("somebody else's text") == of_parameters("Steps: 20") == ""


@given(
    st.text()
    | st.recursive(
        st.text(max_size=3) | st.integers() | st.lists(st.text(max_size=2)),
        lambda inner: st.dictionaries(st.sampled_from(["1", "inputs", "positive", "text"]), inner),
    ).map(json.dumps)
)
def test_no_metadata_make_it_fail(text):
    assert isinstance(of_workflow(text), str) and isinstance(of_parameters(text), str)


def test_the_command(capsys, folder, tmp_path):
    out = tmp_path / "out"
    command = [
        "rank",
        str(folder),
        "--out",
        str(out),
        "--request",
        REQUEST,
        "--best-files",
        "copy",
        "--count",
        "1",
    ]
    assert main(command) == 1, "one file is not an image"
    said = capsys.readouterr().out
    assert "6 image(s) ranked: 6 judged now, 0 cached, 1 skipped" in said
    assert "1. 3.png: 4.00" in said and "Skipped: broken.png" in said
    (folder / "broken.png").unlink()
    assert main(command) == 0 and "0 judged now, 6 cached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/none"], "is not a folder"),
        (["{}"], "there is no image"),
        (["{folder}", "--rank-by", "mood", "--request", "x"], "has no aspect 'mood'"),
        (["{folder}", "--count", "0", "--request", "x"], "count and chunk_size must be 1 or more"),
        (["{folder}", "--source", "a.png"], "not edits"),
    ],
)
def test_bad_input_is_named(capsys, folder, tmp_path, arguments, said):
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [one.replace("{folder}", str(folder)).replace("{}", str(empty)) for one in arguments]
    assert main(["rank", *filled]) == 2
    assert said in capsys.readouterr().err
