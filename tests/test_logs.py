"""Logs: many writers lose nothing, spreadsheets run nothing, and half a line damages no other."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_models.records import append_log

ROOT = Path(__file__).resolve().parents[1]
# Every process writes lines far longer than a pipe's or a disk block's size, as critiques are.
WRITER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from rr_models.records import append_log
who, folder = sys.argv[1], Path(sys.argv[2])
for number in range({count}):
    row = {{"who": who, "number": number, "text": "长 text, \\"quoted\\"\\n" * (300 + number % 7)}}
    append_log.append_jsonl(folder / "log.jsonl", row)
    append_log.append_csv(folder / "log.csv", row)
"""


@pytest.mark.slow
def test_a_thousand_parallel_appends_lose_nothing(tmp_path):
    processes, count = 5, 200
    code = WRITER.format(root=str(ROOT), count=count)
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(who), str(tmp_path)]) for who in range(processes)
    ]
    assert [process.wait() for process in running] == [0] * processes
    expected = {(str(who), number) for who in range(processes) for number in range(count)}
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").split("\n")[:-1]]
    rows = append_log.read_csv(tmp_path / "log.csv")
    assert len(lines) == len(rows) == processes * count
    assert {(line["who"], line["number"]) for line in lines} == expected
    assert {(row["who"], int(row["number"])) for row in rows} == expected
    assert all(len(line["text"]) >= 300 * 16 for line in (*lines, *rows))


def test_threads_of_one_process_wait_for_each_other_too(tmp_path):
    file = tmp_path / "log.csv"
    threads = [
        threading.Thread(target=lambda: [append_log.append_csv(file, {"a": "x" * 9000}) for _ in range(25)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(row["a"]) for row in append_log.read_csv(file)] == [9000] * 100


def test_waiting_too_long_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(append_log, "LOCK_TIMEOUT", 0.0)
    file = tmp_path / "log.jsonl"
    with (
        append_log._locked(file),
        pytest.raises(TimeoutError, match="log.jsonl is being written by another program"),
    ):
        append_log.append_jsonl(file, {})
    append_log.append_jsonl(file, {"a": 1})
    assert file.read_text("utf-8") == '{"a": 1}\n'


def test_links_to_one_log_share_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(append_log, "LOCK_TIMEOUT", 0.0)
    file, link = tmp_path / "log.jsonl", tmp_path / "link.jsonl"
    file.touch()
    try:
        link.symlink_to(file)
    except OSError:
        pytest.skip("this user may not make symbolic links")
    with append_log._locked(file), pytest.raises(TimeoutError):
        append_log.append_jsonl(link, {})


def test_a_log_leaves_nothing_beside_it_but_its_lock(tmp_path):
    append_log.append_jsonl(tmp_path / "log.jsonl", {"a": 1})
    others = {file.name for file in tmp_path.iterdir()} - {"log.jsonl"}
    assert others <= {".log.jsonl.lock"}  # on Windows the lock goes when it is released
    assert all((tmp_path / name).stat().st_size == 0 for name in others)


@pytest.mark.parametrize("begin", [b'{"a": 1}\n{"half', b'{"a": 1}\n{"half\n'])
def test_half_a_line_damages_no_other(tmp_path, begin):
    file = tmp_path / "log.jsonl"
    file.write_bytes(begin)
    append_log.append_jsonl(file, {"b": 2})
    first, _, last, end = file.read_text("utf-8").split("\n")
    assert (json.loads(first), json.loads(last), end) == ({"a": 1}, {"b": 2}, "")


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "log.jsonl"
    append_log.append_jsonl(file, {"a": 1})
    write, calls = os.write, []

    def full(handle, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(handle, data[:5])

    monkeypatch.setattr(append_log.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        append_log.append_jsonl(file, {"b": 2})
    monkeypatch.undo()
    assert calls and file.read_text("utf-8") == '{"a": 1}\n'


def test_csv_begins_with_the_mark_that_excel_needs(tmp_path):
    file = tmp_path / "new folder" / "log.csv"
    append_log.append_csv(file, {"request": "一只狐狸", "seed": 3})
    append_log.append_csv(file, {"request": "b", "seed": None})
    assert file.read_bytes() == "\ufeffrequest,seed\r\n一只狐狸,3\r\nb,\r\n".encode()


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'quoted", "18446744073709551615"]
)
def test_no_cell_is_run_or_rounded_by_a_spreadsheet(tmp_path, text):
    file = tmp_path / "log.csv"
    append_log.append_csv(file, {"a": text})
    with file.open(encoding="utf-8-sig", newline="") as lines:
        assert list(csv.reader(lines))[1] == [f"'{text}"]
    assert append_log.read_csv(file) == [{"a": text}]


def test_numbers_stay_numbers_unless_a_spreadsheet_would_round_them():
    assert (
        append_log.guarded(-1.5) == -1.5 and append_log.guarded(7) == "7" and append_log.guarded(-7) == "-7"
    )
    assert append_log.guarded(2**64 - 1) == "'18446744073709551615"


@given(
    st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1)
)
def test_any_text_comes_back(tmp_path_factory, cells):
    file = tmp_path_factory.mktemp("csv") / "log.csv"
    row = {f"c{number}": cell for number, cell in enumerate(cells)}
    append_log.append_csv(file, row)
    append_log.append_csv(file, row)
    assert append_log.read_csv(file) == [row, row]


@given(st.dictionaries(st.text(), st.text(alphabet=st.characters()) | st.floats(allow_nan=False) | st.none()))
def test_any_data_comes_back(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("jsonl") / "log.jsonl"
    append_log.append_jsonl(file, data)
    append_log.append_jsonl(file, {"after": 1})
    first, second, end = file.read_text("utf-8").split("\n")
    assert (json.loads(first), json.loads(second), end) == (data, {"after": 1}, "")


def test_a_log_with_other_columns_is_left_alone(tmp_path):
    file = tmp_path / "log.csv"
    append_log.append_csv(file, {"a": 1, "b": 2})
    with pytest.raises(ValueError, match="log.csv has no column mood.*Move it"):
        append_log.append_csv(file, {"a": 1, "mood": 2})
    append_log.append_csv(file, {"b": 3})
    assert append_log.read_csv(file) == [{"a": "1", "b": "2"}, {"a": "", "b": "3"}]
