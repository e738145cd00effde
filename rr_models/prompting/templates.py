"""A wording that is not this project's own: chat turns with slots for the request and the pictures.

Templates come from a model card (model_card.py) or from a JSON file of the user's, read here:

    {"t2i": [{"role": "system", "content": "..."}, {"role": "user", "content": "{request} ... {image} ..."}]}

The tasks are "t2i", "edit", "t2i-pair" and "edit-pair", each of them optional. A slot stands in braces:
{request} once in each task, {image} for the generated or the edited picture, {source} in front of it for
edits, {image_a} and then {image_b} instead of {image} for pairs. With several sources, {source} is all of
them, one below the other. Nothing else in the text means anything: other braces are only braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..judgement.task import Task
from .rubric import digest

MAX_SOURCES = 8
"""Templates are made for at most this many source images."""
MAX_BYTES = 1_000_000
"""A file that holds a wording is not larger."""

ROLES = ("system", "user", "assistant")

_PICTURES = {
    Task.T2I: ("image",),
    Task.EDIT: ("source", "image"),
    Task.T2I_PAIR: ("image_a", "image_b"),
    Task.EDIT_PAIR: ("source", "image_a", "image_b"),
}
_SLOT = re.compile(r"\{(request|source|image|image_a|image_b)\}")


@dataclass(frozen=True)
class Request:
    """The place of the request in a text."""


Text = tuple["str | Request", ...]


@dataclass(frozen=True)
class Turn:
    """One message: texts, with None for each picture. `plain`: its one text is no list of parts."""

    role: str
    content: tuple[Text | None, ...]
    plain: bool = False


@dataclass(frozen=True)
class Template:
    """The wording of one task. `turns` holds it for each number of source images that it can be used with."""

    task: str
    origin: str
    turns: Mapping[int, tuple[Turn, ...]]

    def messages(self, request: str, sources: int = 1) -> list[dict]:
        """Chat messages in the form of rubric.messages. The request goes into its place as it is, whatever
        it holds. ValueError for a number of sources that the template has no place for."""
        if sources < 1:
            raise ValueError(f"sources must be 1 or more, not {sources}.")
        if not Task.parse(self.task).has_source:
            sources = 1  # there are none
        if sources not in self.turns:
            usable = ", ".join(map(str, self.turns))
            raise ValueError(
                f"The wording {self.name} takes {usable} source images, not {sources}. Give as many as it "
                "takes, or choose another wording."
            )
        return [{"role": turn.role, "content": _filled(turn, request)} for turn in self.turns[sources]]

    @cached_property
    def name(self) -> str:
        """Origin and hash, recorded on every critique."""
        return f"{self.origin}/{digest([m for n in self.turns for m in self.messages('{request}', n)])}"


def _filled(turn: Turn, request: str) -> str | list[dict]:
    texts = [
        None if text is None else "".join(piece if isinstance(piece, str) else request for piece in text)
        for text in turn.content
    ]
    if turn.plain:
        return texts[0] or ""
    return [{"type": "image"} if text is None else {"type": "text", "text": text} for text in texts]


def _check_turns(turns: tuple[Turn, ...]) -> None:
    """ValueError unless these are turns that a chat template of the Qwen3-VL family takes."""
    for number, turn in enumerate(turns):
        if turn.role not in ROLES:
            raise ValueError(f"a role must be one of {', '.join(ROLES)}, not {turn.role[:40]!r}")
        if turn.role == "system" and number:
            raise ValueError("a system turn must be the first")
        if turn.role != "user" and None in turn.content:
            raise ValueError(f"a picture stands in the {turn.role} turn; pictures belong into a user turn")
    if not turns or turns[-1].role != "user":
        raise ValueError("the last turn must be the user's")


def read_file(path: Path | str) -> dict[str, Template]:
    """The templates in a user's file, by task. ValueError names the file, the task, the rule and the mend."""
    path = Path(path)
    data = _load(path)
    if not isinstance(data, dict) or not data:
        raise ValueError(f"{path}: this must be an object with one or more of {_tasks()}.")
    return {task: _template(task, told, path) for task, told in data.items()}


def _load(path: Path) -> object:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: the template file cannot be read ({error.strerror or error}).") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path}: a template file may hold {MAX_BYTES} bytes at most. Shorten it.")
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is no JSON ({error}). See the form in the documentation.") from error


def _template(task: str, told: object, path: Path) -> Template:
    where = f"{path}, {task}"
    if task not in _PICTURES:
        raise ValueError(f"{path}: there is no task {task[:40]!r}. The tasks are {_tasks()}.")
    if not isinstance(told, list) or not told:
        raise ValueError(f"{where}: this must be a list of turns, each with a role and a content.")
    for number, turn in enumerate(told, 1):
        if not isinstance(turn, dict) or set(turn) != {"role", "content"}:
            raise ValueError(f"{where}, turn {number}: it must be an object with role and content, no more.")
        if not all(isinstance(value, str) for value in turn.values()):
            raise ValueError(f"{where}, turn {number}: role and content must be texts.")
    _check_slots(where, task, [slot for turn in told for slot in _SLOT.findall(turn["content"])])
    counts = range(1, MAX_SOURCES + 1 if "source" in _PICTURES[task] else 2)
    turns = {n: tuple(Turn(turn["role"], _content(turn["content"], n)) for turn in told) for n in counts}
    try:
        _check_turns(turns[1])
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from error
    return Template(task, f"file/{path.name}", turns)


def _check_slots(where: str, task: str, found: list[str]) -> None:
    pictures = _PICTURES[task]
    for slot in ("request", *pictures):
        if found.count(slot) != 1:
            raise ValueError(
                f"{where}: {{{slot}}} must stand in it once, not {found.count(slot)} times. "
                "Put it where it belongs."
            )
    in_order = [slot for slot in found if slot != "request"]
    for slot in in_order:
        if slot not in pictures:
            raise ValueError(f"{where}: {{{slot}}} belongs to another task. Take it out.")
    if tuple(in_order) != pictures:
        order = ", ".join(f"{{{slot}}}" for slot in pictures)
        raise ValueError(f"{where}: the pictures must stand in the order {order}. Exchange them.")


def _content(text: str, sources: int) -> tuple[Text | None, ...]:
    """The parts of a turn; a text that would be empty is left out."""
    parts: list[Text | None] = []
    said: list[str | Request] = []
    for number, piece in enumerate(_SLOT.split(text)):
        if number % 2 == 0:
            said += [piece] if piece else []
        elif piece == "request":
            said.append(Request())
        else:
            parts += [tuple(said)] if said else []
            parts += [None, *[("\n",), None] * (sources - 1 if piece == "source" else 0)]
            said = []
    return (*parts, tuple(said)) if said or not parts else tuple(parts)


def _tasks() -> str:
    return ", ".join(Task)
