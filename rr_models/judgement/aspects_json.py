"""Aspects and profiles of the user's own, read from plain data (a JSON file or a node's text).

Two forms. A changed profile: {"profile": "rational-rewards", "add": [ASPECT, ...], "drop":
["text_rendering", ...]}, each field optional. A new profile: {"name": ..., "aspects": [ASPECT, ...],
"worst": 0, "best": 10}, the scale optional. An ASPECT is {"name", "question", "levels": [worst, ..., best]}
with, optionally, "optional" and "aliases". Unknown fields are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import parse_json, read_json
from .aspects import BEST, PROFILES, RATIONAL_REWARDS, WORST, Aspect, Profile
from .from_data import Filled, Flag, Number, Text, from_data

_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class _AspectForm:
    name: Filled
    question: Filled
    levels: tuple[Filled, ...]
    optional: Flag = False
    aliases: tuple[Filled, ...] = ()


@dataclass(frozen=True)
class _ChangedProfile:
    profile: Text = RATIONAL_REWARDS.name
    add: tuple[Any, ...] = ()
    drop: tuple[Text, ...] = ()


@dataclass(frozen=True)
class _NewProfile:
    name: Text
    aspects: tuple[Any, ...]
    worst: Number = WORST
    best: Number = BEST


def read(file: Path | str) -> Profile:
    """The profile in a JSON file; ValueError names the file and the fault."""
    file = Path(file)
    data = read_json(file, _MAX_BYTES)
    try:
        return profile(data)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def loads(text: str) -> Profile:
    """The profile in a JSON text; an empty text gives the profile of RationalRewards."""
    if not text.strip():
        return RATIONAL_REWARDS
    try:
        data = parse_json(text)
    except ValueError as error:
        raise ValueError(f"aspects: the text {error}") from error
    return profile(data)


def profile(data: object) -> Profile:
    """The profile that the data describes, in one of the two forms above."""
    if isinstance(data, Mapping) and "aspects" in data:
        new = from_data(_NewProfile, data, "profile")
        aspects = tuple(aspect(item, f"aspects[{index}]") for index, item in enumerate(new.aspects))
        return Profile(new.name, aspects, aspects, new.worst, new.best)
    change = from_data(_ChangedProfile, data, "aspects")
    if change.profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {change.profile!r}.")
    added = tuple(aspect(item, f"add[{index}]") for index, item in enumerate(change.add))
    return PROFILES[change.profile].changed(added, change.drop)


def aspect(data: object, field: str = "aspect") -> Aspect:
    """One aspect; `field` names it in errors. Its key is its name in lower case with "_" between the
    words."""
    form = from_data(_AspectForm, data, field)
    name = " ".join(form.name.split())
    return Aspect(
        key="_".join(re.findall(r"\w+", name.lower())),
        name=name,
        question=" ".join(form.question.split()),
        levels=tuple(" ".join(level.split()) for level in form.levels),
        optional=form.optional,
        aliases=tuple(" ".join(alias.split()) for alias in form.aliases),
    )
