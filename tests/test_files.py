"""Files are replaced whole or not at all, and JSON that cannot be read is an error that names the file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rr_models.errors import first_line
from rr_models.files import read_json, replacing


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("old", "utf-8")
    with replacing(file) as part:
        part.write_text("new", "utf-8")
        assert file.read_text("utf-8") == "old"
    assert file.read_text("utf-8") == "new" and list(tmp_path.iterdir()) == [file]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("old", "utf-8")
    with pytest.raises(OSError, match="No space"), replacing(file) as part:
        part.write_text("half", "utf-8")
        raise OSError(28, "No space left on device")
    assert file.read_text("utf-8") == "old" and list(tmp_path.iterdir()) == [file]


def test_several_writers_never_mix(tmp_path: Path):
    file = tmp_path / "a.txt"

    def write(letter: str) -> None:
        for _ in range(50):
            with replacing(file) as part:
                part.write_text(letter * 10_000, "utf-8")

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if file.exists():
            seen.add(file.read_text("utf-8"))
    assert seen <= {letter * 10_000 for letter in "abc"} and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.json is not JSON: Expecting value"),
        (b"{", "a.json is not JSON"),
        (b"\xff\xfe", "a.json is not text in UTF-8"),
        (b"[" * 100_000, "a.json is not JSON that can be read: it is nested too deeply"),
        (b"1" * 5_000, "a.json is not JSON"),
        (b" " * 200_001, "a.json is too large: it may hold 200000 bytes"),
        ("é".encode() * 100_001, "a.json is too large"),
        (None, "a.json cannot be read: No such file"),
    ],
)
def test_bad_json_is_an_error_that_names_the_file(tmp_path: Path, content: bytes | None, message: str):
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_json(file, 200_000)


def test_a_byte_order_mark_is_no_part_of_json(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": "\\ud800"}')
    assert read_json(tmp_path / "a.json") == {"a": "\ud800"}


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("One.\nTwo."), "One"), (ValueError(), "ValueError"), (OSError(2, "Gone"), "[Errno 2] Gone")],
)
def test_the_first_line_of_an_error(error: Exception, line: str):
    assert first_line(error) == line
