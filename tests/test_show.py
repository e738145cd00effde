"""rational-rewards show: what it prints for images, histories, verdicts and logs, and its exit status."""

from __future__ import annotations

import json

from PIL import Image
from rr_tests.histories import finished
from rr_tests.made import critique

from rr_models.cli.main import main
from rr_models.judgement.verdict import PairScore, Verdict
from rr_models.records import append_log
from rr_models.records import record as records
from rr_models.records.record import Record


def show(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["show", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def saved(folder, record: Record, name: str = "a.png"):
    records.save_image(Image.new("RGB", (8, 8)), folder / name, record)
    return folder / name


def test_an_image_shows_its_critique(capsys, tmp_path):
    judged = critique(2.0, 3.0, request="一只狐狸", source={"critic": "Shapes critic", "images": ["aa"]})
    record = Record(judged, "a red fox", 42, 2, "bb", "2026-11-25T18:00:00+00:00")
    status, out, _ = show(capsys, saved(tmp_path, record))
    assert status == 0
    for said in (
        "request: 一只狐狸",
        "prompt: a red fox",
        "seed: 42, image 3 of its batch",
        "Shapes critic",
        "saved: 2026",
        "changed after it was judged",
        "overall 2.50",
        "# Detailed Judgement",
    ):
        assert said in out, said


def test_json_is_the_records(capsys, tmp_path):
    record = Record(critique(2.0, 3.0), seed=2**64 - 1)
    status, out, _ = show(capsys, saved(tmp_path, record), "--json")
    (data,) = json.loads(out)
    assert status == 0 and Record.from_dict(data) == record and data["file"].endswith("a.png")


def test_a_history_tells_its_rounds_and_the_best_critique(capsys, tmp_path):
    state = finished([[critique(2.0, 2.0, refined="better")], [critique(4.0, 4.0)]])
    file = tmp_path / "history.json"
    file.write_text(json.dumps(state.to_dict()), "utf-8")
    status, out, _ = show(capsys, file)
    assert status == 0 and "Round 1 (seed 7)" in out and "Best: round 2" in out and "Score: 4.0" in out


def test_a_verdict_tells_who_won(capsys, tmp_path):
    pair = PairScore("text_faithfulness", "Text Faithfulness", "scored", 2.0, 3.0, "B", "clearer")
    file = saved(tmp_path, Record(Verdict("t2i-pair", "a request", (pair,), "complete")))
    status, out, _ = show(capsys, file)
    assert status == 0 and "B wins" in out


def test_what_is_incomplete_exits_with_1(capsys, tmp_path):
    file = tmp_path / "log.jsonl"
    for found in (critique(3.0, 3.0), critique(3.0, None, text="cut off")):
        append_log.append_jsonl(file, Record(found).line())
    status, out, _ = show(capsys, file)
    assert status == 1 and "overall 3.00" in out and "incomplete" in out and "cut off" in out


def test_a_file_without_a_record_exits_with_2(capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    status, out, err = show(capsys, tmp_path / "plain.png")
    assert status == 2 and not out and "plain.png" in err and "no critique in this image" in err


def test_a_scorecard_is_drawn_for_an_image_a_folder_and_a_history(capsys, tmp_path):
    files = [saved(tmp_path, Record(critique(2.0, score), seed=1), f"{score}.png") for score in (3.0, 4.0)]
    state = finished([[critique(2.0, 2.0, refined="better")], [critique(4.0, 4.0)]])
    Image.new("RGB", (64, 64), "#123456").save(tmp_path / "round_01.png")
    history = tmp_path / "history.json"
    history.write_text(json.dumps(state.to_dict()), "utf-8")
    for given in (files[:1], files, [history]):
        assert show(capsys, *given, "--card", tmp_path / "card.png")[0] == 0
        with Image.open(tmp_path / "card.png") as card:
            assert card.width == 1200
            colors = {color for _, color in card.getcolors(1 << 24)}
        (tmp_path / "card.png").unlink()
    assert (0x12, 0x34, 0x56) in colors, "the history's own image of round 1"
    status, _, err = show(capsys, *files, history, "--card", tmp_path / "card.png")
    assert status == 2 and "drawn by itself" in err
    status, _, err = show(capsys, files[0], "--card", tmp_path / "card.txt")
    assert status == 2 and "card.txt" in err
    status, _, err = show(capsys, files[0], "--card", tmp_path / "no folder" / "card.png")
    assert status == 2 and "card.png cannot be written" in err
