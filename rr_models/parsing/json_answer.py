"""Answers in JSON: found in a text, and read by the same names as headings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..judgement.aspects import Profile
from ..judgement.task import Task
from .answer_reader import AnswerReader
from .headings import Heading
from .places import Place

_WHOLE = re.compile(r"\s*(?:```(?:json)?\s*)?([{\[\"].*[}\]\"])\s*(?:```)?\s*", re.I | re.S)
_WITHIN = re.compile(r"(?:^|\s)([{\[]\s*[{\"].*[}\]])", re.S)
_NAME_KEYS = ("name", "aspect", "criterion", "dimension", "category")
_MAX_DEPTH = 4
_TEXT_PLACES = {
    place.value: place for place in (Place.ANALYSIS, Place.SUMMARY, Place.COMMENTS, Place.REFINED)
}


def whole_json(answer: str) -> dict | list | str | None:
    """What an answer holds that is nothing but JSON."""
    return _loaded(_WHOLE.fullmatch(answer))


def json_within(answer: str) -> dict | list | str | None:
    """What the JSON within an answer holds."""
    return _loaded(_WITHIN.search(answer))


def read_json(data: dict | list, profile: Profile, task: Task) -> AnswerReader:
    """A reader that has read `data`."""
    reader = AnswerReader(profile, task)
    _read(reader, data, _MAX_DEPTH)
    return reader


def _loaded(match: re.Match | None) -> dict | list | str | None:
    try:
        data = json.loads(match[1]) if match else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, (dict, list, str)) else None


def _read(reader: AnswerReader, data: dict | list, depth: int) -> None:
    for key, value in _named_values(data):
        heading = reader.headings.find(f"# {key}:")
        if heading and heading.aspect:
            _read_aspect(reader, heading, value)
        elif heading and heading.name in _TEXT_PLACES and not isinstance(value, (Mapping, list)):
            reader.texts.lines[_TEXT_PLACES[heading.name]].append(str(value))
        elif depth and isinstance(value, (dict, list)):
            _read(reader, value, depth - 1)


def _read_aspect(reader: AnswerReader, heading: Heading, value: Any) -> None:
    reader.open_aspect(heading)
    parts = value.items() if isinstance(value, Mapping) else [(heading.part or "score", value)]
    for name, part in parts:
        reader.take(str(part), reader.headings.find(f"## {name}:"))


def _named_values(data: dict | list) -> list[tuple[Any, Any]]:
    """The values of JSON data by name: a list may hold objects that bring their names along."""
    if isinstance(data, Mapping):
        return list(data.items())
    named = []
    for item in data:
        keys = [key for key in item if str(key).lower() in _NAME_KEYS] if isinstance(item, Mapping) else []
        if keys:
            rest = {key: value for key, value in item.items() if key != keys[0]}
            named.append((item[keys[0]], rest))
        else:
            named.append(("", item))
    return named
