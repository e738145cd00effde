"""Rank Folder in the real core: the best come out, nothing is judged twice, Stop loses nothing."""

from __future__ import annotations

import pytest

from rr_models.shapes.generator import generate

REQUEST = "a large red circle on the left and a small blue star on the right"


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for seed in range(9):
        generate(REQUEST, seed=14 + seed).resize((96, 96)).save(folder / f"{seed}.png")
    return folder


def ranked(folder, **inputs) -> dict:
    model = "Shapes critic (built in, demo)"
    return {
        "critic": node(
            "RationalRewardsLoadCritic", model=model, precision="auto", device="auto", max_pixels=802816
        ),
        "rank": node(
            "RationalRewardsRankFolder",
            **{"critic": ["critic", 0], "folder": str(folder), "request": REQUEST, "rank_by": "overall"}
            | {"count": 2, "best_files": "none"}
            | inputs,
        ),
        "best": node("PreviewImage", images=["rank", 0]),
    }


def test_stop_loses_nothing_and_the_next_run_goes_on(comfy_core, folder):
    place = "RationalRewards/stopped"
    steps = []

    def press_stop(name, data):
        if name == "progress" and data["node"] == "rank" and data["max"] == 9:
            steps.append(data["value"])
            if data["value"] >= 4:
                comfy_core.interrupt()

    run = comfy_core.run(ranked(folder, results=place), on_event=press_stop)
    assert run.interrupted
    out = comfy_core.base / "output" / place
    kept = len((out / "ranking.jsonl").read_text("utf-8").splitlines())
    assert 0 < kept < 9
    told = []
    run = comfy_core.run(
        ranked(folder, results=place),
        on_event=lambda name, data: told.append(data["text"]) if name == "progress_text" else None,
    )
    assert run.success, run.complaint
    assert f"{9 - kept} judged now, {kept} cached" in run.value("rank", 4)
    told = [text for text in told if " of 9" in text]  # loading has its own words
    assert told[0] == "0 of 9" and told[-1] == "9 of 9, 0 min 0 s left"
    assert [file[-5:] for file in run.slot("rank", 1)][0] == "3.png"
    assert [one.shape for one in run.slot("rank", 0)] == [(1, 96, 96, 3)] * 2
    assert run.slot("rank", 2) == sorted(run.slot("rank", 2), reverse=True)
    assert run.value("rank", 3) == str(out / "ranking.csv") and (out / "ranking.csv").is_file()
    assert len(run.outputs["best"]["images"]) == 2 and run.outputs["rank"]["text"]


def test_what_is_no_folder_of_images_is_an_error(comfy_core, tmp_path):
    for folder, said in (
        (" ", "folder is empty"),
        (tmp_path, "there is no image"),
        ("none", "there is no folder"),
    ):
        run = comfy_core.run(ranked(folder))
        assert not run.success and said in run.complaint
