"""rational-rewards show: what it prints of pictures, histories, verdicts and logs, and its exit status."""

from __future__ import annotations

import json

from PIL import Image
from rr_tests.histories import finished
from rr_tests.made import critique

from rr_models import logs, records
from rr_models.__main__ import main
from rr_models.records import Record
from rr_models.verdict import PairScore, Verdict


def show(capsys, *arguments) -> tuple[int, str, str]:
    status = main(["show", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def saved(folder, record: Record, name: str = "a.png"):
    records.save_picture(Image.new("RGB", (8, 8)), folder / name, record)
    return folder / name


def test_a_picture_tells_its_critique(capsys, tmp_path):
    judged = critique(2.0, 3.0, request="一只狐狸", source={"critic": "Shapes critic", "images": ["aa"]})
    record = Record(judged, "a red fox", 42, 2, "bb", "2026-11-25T18:00:00+00:00")
    status, out, _ = show(capsys, saved(tmp_path, record))
    assert status == 0
    for said in (
        "request: 一只狐狸",
        "prompt: a red fox",
        "seed: 42, picture 3 of its batch",
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
    (told,) = json.loads(out)
    assert status == 0 and Record.from_dict(told) == record and told["file"].endswith("a.png")


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
        logs.append_jsonl(file, Record(found).line())
    status, out, _ = show(capsys, file)
    assert status == 1 and "overall 3.00" in out and "incomplete" in out and "cut off" in out


def test_a_file_without_a_record_exits_with_2(capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    status, out, err = show(capsys, tmp_path / "plain.png")
    assert status == 2 and not out and "plain.png" in err and "no critique in this picture" in err
