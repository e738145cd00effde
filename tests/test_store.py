"""The disk cache: entries complete or absent, bounded, shared by processes, and never in the way."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_models.critics.disk_cache import DiskCache, key_of

ROOT = Path(__file__).resolve().parents[1]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=4))
def test_what_is_put_in_comes_out(tmp_path_factory, data):
    store = DiskCache(tmp_path_factory.mktemp("store"))
    key = key_of(data)
    assert store.get(key) is None
    store.put(key, data)
    assert store.get(key) == DiskCache(store.folder).get(key) == json.loads(json.dumps(data))


def test_keys_tell_contents_apart_whatever_their_order():
    assert (
        key_of({"a": 1, "b": [2, "ü"]}) == key_of({"b": [2, "ü"], "a": 1}) != key_of({"a": 1, "b": ["ü", 2]})
    )
    assert key_of("1") != key_of(1) and key_of({}) != key_of([])


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-20],
        lambda raw: b"",
        lambda raw: b"\0" * len(raw),
        lambda raw: raw.replace(b"3.5", b"4.0"),
        lambda raw: b"[" * 100_000,
        lambda raw: b'{"key": 1}',
        lambda raw: b"[]",
        lambda raw: json.dumps({**json.loads(raw), "key": "another"}).encode(),
    ],
)
def test_a_damaged_entry_is_logged_once_and_replaced(tmp_path, caplog, damage):
    store = DiskCache(tmp_path)
    for name in ("a", "b"):
        store.put(key_of(name), {"score": 3.5})
        (file,) = tmp_path.glob(f"??/{key_of(name)}.json")
        file.write_bytes(damage(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert store.get(key_of("a")) is None and store.get(key_of("b")) is None
    assert len(caplog.records) == 1 and "damaged" in caplog.text
    store.put(key_of("a"), {"score": 3.5})
    assert store.get(key_of("a")) == {"score": 3.5}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("??/*"))


def test_the_limit_holds_and_what_was_used_last_stays(tmp_path):
    store = DiskCache(tmp_path, limit=20_000)
    for number in range(100):
        store.put(key_of(number), {"text": "x" * 900})
        for file in tmp_path.glob("??/*.json"):  # clocks of file systems are coarse: make every age distinct
            if file.stem == key_of(number):
                os.utime(file, ns=(number * 10**9, number * 10**9))
        assert store.get(key_of(0)) is not None, "read after every write, so always the youngest"
        assert size(tmp_path) <= 20_000 * 1.2
    assert store.get(key_of(99)) is not None and store.get(key_of(1)) is None


def test_a_folder_that_is_too_large_already_is_brought_under_the_limit(tmp_path):
    many = DiskCache(tmp_path)
    for number in range(50):
        many.put(key_of(number), {"text": "x" * 900})
    DiskCache(tmp_path, limit=10_000).put(key_of("one more"), {})
    assert size(tmp_path) <= 10_000


def test_half_written_files_of_the_past_are_swept_up(tmp_path):
    folder = tmp_path / "ab"
    folder.mkdir()
    old, new = folder / f"{'ab' * 32}.1.part", folder / f"{'ab' * 32}.2.part"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    DiskCache(tmp_path, limit=1000).put(key_of(1), {"a": "x" * 200})
    assert not old.exists() and new.exists()


def test_a_place_that_cannot_be_written_to_costs_nothing_but_the_entries(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way", "utf-8")
    store = DiskCache(tmp_path / "file" / "folder")
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            store.put(key_of(number), {"a": 1})
            assert store.get(key_of(number)) is None
    assert [record for record in caplog.records if "cannot be cached" in record.message][1:] == []
    assert "cannot be cached" in caplog.text


def test_a_limit_of_nothing_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="limit"):
        DiskCache(tmp_path, 0)


def test_processes_share_a_store(tmp_path):
    """Four at once write, read and make room in the same folder: none fails, none reads what it should
    not."""
    code = (
        "import random, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from rr_models.critics.disk_cache import DiskCache, key_of\n"
        f"store = DiskCache({str(tmp_path)!r}, limit=60_000)\n"
        "dice = random.Random(sys.argv[1])\n"
        "found = 0\n"
        "for _ in range(400):\n"
        "    number = dice.randrange(80)\n"
        "    data = store.get(key_of(number))\n"
        "    if data is None: store.put(key_of(number), {'number': number, 'text': 'x' * 900})\n"
        "    else:\n"
        "        assert data == {'number': number, 'text': 'x' * 900}\n"
        "        found += 1\n"
        "print(found)\n"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(one)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for one in range(4)
    ]
    ends = [job.communicate() for job in jobs]
    assert all(not error for _, error in ends), ends
    assert sum(int(out) for out, _ in ends) > 400, "most were found"
    assert not list(tmp_path.glob("??/*.part")) and size(tmp_path) < 90_000
