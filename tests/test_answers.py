"""Every answer file with its expected reading: what a person who knows the protocol would take from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rr_models.judgement.task import Task
from rr_models.parsing.parse import parse, parse_pair, summary_dict

ANSWERS = Path(__file__).parent / "data" / "answers"
CASES = sorted(ANSWERS.glob("*.json"))


def test_there_are_enough_of_every_kind():
    tasks = [json.loads(case.read_text(encoding="utf-8"))["task"] for case in CASES]
    assert len(tasks) >= 100
    assert {task: tasks.count(task) >= 10 for task in set(tasks)} == dict.fromkeys(
        ("t2i", "edit", "t2i-pair", "edit-pair"), True
    )


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_an_answer_is_read_as_a_person_would(case: Path):
    told = json.loads(case.read_text(encoding="utf-8"))
    text = case.with_suffix(".txt").read_bytes().decode("utf-8")
    read = parse_pair if Task.parse(told["task"]).is_pair else parse
    result = read(text, told["task"], "a request", truncated=told.get("truncated", False))
    found = summary_dict(result) | {"analysis": result.analysis}
    expected = told["expect"]
    notes = expected.pop("notes", None)  # what has to be said among them; an empty list asks for silence
    if notes is not None:
        assert [note for note in notes if not any(note in said for said in found["notes"])] == []
        assert notes or not found["notes"]
    assert _part(found, expected) == expected


def _part(found, expected):
    """What of `found` is also in `expected`; numbers as near as they are written there."""
    if isinstance(expected, dict):
        assert set(expected) <= set(found)
        return {key: _part(found[key], value) for key, value in expected.items()}
    return pytest.approx(found, abs=1e-6) if isinstance(expected, float) and found is not None else found
