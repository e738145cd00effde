"""Aspects and profiles of the user's own, read from plain data (a JSON file or a node's text).

Two forms. A change to a profile there is: {"profile": "rational-rewards", "add": [ASPECT, ...], "drop":
["text_rendering", ...]}, each part optional. A whole new one: {"name": ..., "aspects": [ASPECT, ...],
"worst": 0, "best": 10}, the scale optional. An ASPECT is {"name", "question", "levels": [worst, ...,
best]} and, optionally, "optional" and "aliases".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

from .aspects import BEST, PROFILES, RATIONAL_REWARDS, WORST, Aspect, Profile

_ASPECT = {"name": str, "question": str, "levels": list, "optional": bool, "aliases": list}
_CHANGE = {"profile": str, "add": list, "drop": list}
_WHOLE = {"name": str, "aspects": list, "worst": Real, "best": Real}
_KINDS = {str: "a text", list: "a list", bool: "true or false", Real: "a number"}


def read(file: Path | str) -> Profile:
    """The profile in a JSON file; ValueError names the file and what is wrong in it."""
    file = Path(file)
    try:
        return loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"aspects: {file} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def loads(text: str) -> Profile:
    """The profile in a JSON text; no text is the profile of RationalRewards."""
    if not text.strip():
        return RATIONAL_REWARDS
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"aspects: this is no JSON ({error}).") from error
    return profile(data)


def profile(data: Mapping) -> Profile:
    """The profile that the data describes, in one of the two forms above."""
    if isinstance(data, Mapping) and "aspects" in data:
        _check(data, _WHOLE, needed=("name", "aspects"), what="profile")
        aspects = tuple(map(aspect, data["aspects"]))
        return Profile(
            data["name"], aspects, aspects, float(data.get("worst", WORST)), float(data.get("best", BEST))
        )
    _check(data, _CHANGE, needed=(), what="aspects")
    name = data.get("profile", RATIONAL_REWARDS.name)
    if name not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {name!r}.")
    drop = data.get("drop", [])
    if not all(isinstance(key, str) for key in drop):
        raise ValueError(f"drop must list keys of aspects such as 'text_rendering', not {str(drop)[:60]}.")
    return PROFILES[name].changed(tuple(map(aspect, data.get("add", ()))), tuple(drop))


def weights(text: str) -> dict[str, float]:
    """How much aspects count: "text_rendering=0.5, physical_quality=2", with commas or line ends between."""
    return numbers_by_aspect(text, "weights", "a number, such as text_rendering=0.5")


def numbers_by_aspect(text: str, name: str, wanted: str) -> dict[str, float]:
    """Numbers by the key of an aspect, from an input `name`; in an error `wanted` says what they are."""
    found: dict[str, float] = {}
    for said in filter(None, (part.strip() for part in re.split(r"[,\n;]", text))):
        key, _, number = (part.strip() for part in said.partition("="))
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"{name}: {said!r} is not an aspect and {wanted}.") from None
        if key in found:
            raise ValueError(f"{name}: {key} is given twice.")
        found[key] = value
    return found


def aspect(data: Mapping) -> Aspect:
    """One aspect. Its key is its name in small letters with "_" between the words."""
    _check(data, _ASPECT, needed=("name", "question", "levels"), what="aspect")
    texts = [data["name"], data["question"], *data["levels"], *data.get("aliases", ())]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"aspect {data['name']!r}: its name, question, levels and aliases must be words.")
    name = " ".join(data["name"].split())
    return Aspect(
        key="_".join(re.findall(r"\w+", name.lower())),
        name=name,
        question=" ".join(data["question"].split()),
        levels=tuple(" ".join(level.split()) for level in data["levels"]),
        optional=data.get("optional", False),
        aliases=tuple(" ".join(alias.split()) for alias in data.get("aliases", ())),
    )


def _check(data: Mapping, fields: Mapping[str, type], needed: tuple[str, ...], what: str) -> None:
    """ValueError unless `data` has all that is needed, nothing unknown, and each of the right kind."""
    may = ", ".join(fields)
    if not isinstance(data, Mapping):
        raise ValueError(f"{what}: this must be an object with {may}, not {str(data)[:60]!r}.")
    for field in needed:
        if field not in data:
            raise ValueError(f"{what}: {field!r} is missing. It needs {', '.join(needed)}.")
    for field, value in data.items():
        if field not in fields:
            raise ValueError(f"{what}: {field!r} is unknown. It may have {may}.")
        kind = fields[field]
        if not isinstance(value, kind) or (kind is Real and isinstance(value, bool)):
            raise ValueError(f"{what}: {field!r} must be {_KINDS[kind]}, not {str(value)[:60]!r}.")
