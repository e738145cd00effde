"""A wording that is not this project's own: chat turns with slots for the request and the images.

Templates come from a model card (model_card.py) or from a JSON file of the user, read here:

    {"t2i": [{"role": "system", "content": "..."}, {"role": "user", "content": "{request} ... {image} ..."}]}

The tasks are "t2i", "edit", "t2i-pair" and "edit-pair", each of them optional. A slot is a name in braces:
{request} once in each task, {image} for the generated or edited image, {source} before it for edits,
{image_a} and then {image_b} instead of {image} for pairs. With several sources, {source} stands for all of
them, one below the other. Other braces in the text are only braces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from ..files import read_json
from ..judgement.from_data import Text as String
from ..judgement.from_data import from_data
from ..judgement.task import Task
from .rubric import digest

MAX_SOURCES = 8
"""Most source images of a template."""
MAX_BYTES = 1_000_000
"""Largest size of a file that holds a wording."""

Role = Literal["system", "user", "assistant"]
ROLES = get_args(Role)

_IMAGE_SLOTS: dict[str, tuple[str, ...]] = {
    Task.T2I: ("image",),
    Task.EDIT: ("source", "image"),
    Task.T2I_PAIR: ("image_a", "image_b"),
    Task.EDIT_PAIR: ("source", "image_a", "image_b"),
}
_SLOT = re.compile(r"\{(request|source|image|image_a|image_b)\}")


@dataclass(frozen=True)
class Request:
    """The slot of the request in a text."""


Text = tuple["str | Request", ...]


@dataclass(frozen=True)
class Turn:
    """One message: its texts, with None for each image. `plain`: the content is one text, not a list of
    parts."""

    role: str
    content: tuple[Text | None, ...]
    plain: bool = False


@dataclass(frozen=True)
class Template:
    """The wording of one task: `turns` by the number of source images that it can be used with."""

    task: str
    origin: str
    turns: Mapping[int, tuple[Turn, ...]]

    def messages(self, request: str, sources: int = 1) -> list[dict]:
        """Chat messages in the form of rubric.messages. The request goes into its slot unchanged, braces and
        all. ValueError for a number of sources that the template has no slots for."""
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
        """Origin and hash; every critique records it."""
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
    """ValueError unless a chat template of the Qwen3-VL family takes these turns."""
    for number, turn in enumerate(turns):
        if turn.role not in ROLES:
            raise ValueError(f"a role must be one of {', '.join(ROLES)}, not {turn.role[:40]!r}")
        if turn.role == "system" and number:
            raise ValueError("a system turn must be the first")
        if turn.role != "user" and None in turn.content:
            raise ValueError(f"the {turn.role} turn holds an image; images belong in a user turn")
    if not turns or turns[-1].role != "user":
        raise ValueError("the last turn must be the user's")


@dataclass(frozen=True)
class _TurnForm:
    """One turn in a user's file."""

    role: Role
    content: String


def read_file(path: Path | str) -> dict[str, Template]:
    """The templates in a user's file, by task. ValueError names the file, the task, the rule and the fix."""
    path = Path(path)
    data = read_json(path, MAX_BYTES)
    if not isinstance(data, dict) or not data:
        raise ValueError(f"{path}: this must be an object with one or more of {_tasks()}.")
    return {task: _template(task, turns, path) for task, turns in data.items()}


def _template(task: str, data: object, path: Path) -> Template:
    name = f"{path}, {task}"
    if task not in _IMAGE_SLOTS:
        raise ValueError(f"{path}: there is no task {task[:40]!r}. The tasks are {_tasks()}.")
    if not isinstance(data, list) or not data:
        raise ValueError(f"{name}: this must be a list of turns, each with a role and a content.")
    try:
        forms = [from_data(_TurnForm, turn, f"turn {number}") for number, turn in enumerate(data, 1)]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    _check_slots(name, task, [slot for form in forms for slot in _SLOT.findall(form.content)])
    counts = range(1, MAX_SOURCES + 1 if "source" in _IMAGE_SLOTS[task] else 2)
    turns = {n: tuple(Turn(form.role, _content(form.content, n)) for form in forms) for n in counts}
    try:
        _check_turns(turns[1])
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from error
    return Template(task, f"file/{path.name}", turns)


def _check_slots(name: str, task: str, slots: list[str]) -> None:
    image_slots = _IMAGE_SLOTS[task]
    for slot in ("request", *image_slots):
        if slots.count(slot) != 1:
            raise ValueError(
                f"{name}: {{{slot}}} must appear once, not {slots.count(slot)} times. "
                "Put it where it belongs."
            )
    in_order = [slot for slot in slots if slot != "request"]
    for slot in in_order:
        if slot not in image_slots:
            raise ValueError(f"{name}: {{{slot}}} belongs to another task. Remove it.")
    if tuple(in_order) != image_slots:
        order = ", ".join(f"{{{slot}}}" for slot in image_slots)
        raise ValueError(f"{name}: the images must come in the order {order}. Swap them.")


def _content(text: str, sources: int) -> tuple[Text | None, ...]:
    """The parts of a turn; a text that would be empty is left out."""
    parts: list[Text | None] = []
    pieces: list[str | Request] = []
    for number, piece in enumerate(_SLOT.split(text)):
        if number % 2 == 0:
            pieces += [piece] if piece else []
        elif piece == "request":
            pieces.append(Request())
        else:
            parts += [tuple(pieces)] if pieces else []
            parts += [None, *[("\n",), None] * (sources - 1 if piece == "source" else 0)]
            pieces = []
    return (*parts, tuple(pieces)) if pieces or not parts else tuple(parts)


def _tasks() -> str:
    return ", ".join(Task)
