"""The wording that a checkpoint was published with: read from README.md in the model's folder, never run.

A model card shows how its model is asked as Python functions, build_t2i_messages and build_i2i_messages.
card_reader.py works out what they would return for a request that is not known yet; here that is checked and
becomes a template. So a request is data: where the published function would itself be led astray by what a
request holds (by an "<image>" in it, say), the template is not. A request that the function uses more than
once stands in every one of those places.
"""

from __future__ import annotations

import ast
import contextlib
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..card_expressions import Function
from ..card_reader import Module
from ..card_signature import Signature
from ..card_values import (
    REQUEST,
    REQUESTS,
    SIGNS,
    TRIMS,
    Budget,
    Opaque,
    TooMuch,
    Unreadable,
    picture,
    pictures,
)
from ..judgement.aspects import RATIONAL_REWARDS, Profile
from .templates import MAX_BYTES, MAX_SOURCES, Request, Template, Text, Turn, check_turns

FILE = "README.md"
FUNCTIONS = {"t2i": "build_t2i_messages", "edit": "build_i2i_messages"}

_FENCE = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})[ \t]*\{?\.?([\w+-]*)")
_PYTHON = ("", "python", "python3", "py", "py3")
_PICTURE_KEYS = ("image", "image_url", "url", "path", "data", "base64")
_CODE = 400_000  # characters that are parsed, all tries to find the readable parts of blocks counted
_ATTEMPTS = 3  # that a function's definitions are given, if there are several


@dataclass(frozen=True)
class Card:
    """The templates that a card holds, by task; `notices` say which of its functions could not be used."""

    templates: Mapping[str, Template] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def read(folder: Path | str, profile: Profile = RATIONAL_REWARDS) -> Card:
    """The card in a model's folder. Without a README.md, or without such functions in it, it is empty."""
    file = Path(folder) / FILE
    if not file.is_file():
        return Card()
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES} bytes")
        return _card(content.decode("utf-8-sig").replace("\r\n", "\n"), profile)
    except UnicodeDecodeError:
        why = "is not UTF-8 text"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    return Card(notices=(f"{file} was not read ({why}). This project's wording is used instead.",))


def _card(card: str, profile: Profile) -> Card:
    module, templates, left = Module(), {}, Budget(size=_CODE)
    failed: dict[str, list[Unreadable]] = {task: [] for task in FUNCTIONS}
    named = any(f"def {name}" in card for name in FUNCTIONS.values())
    for line, code in _blocks(card) if named else ():
        with contextlib.suppress(TooMuch):
            for tree in _trees(code, left):
                ast.increment_lineno(tree, line)
                module.add(tree)
        for task, name in FUNCTIONS.items():
            # of several definitions the first that can be used
            again = task not in templates and len(failed[task]) < _ATTEMPTS
            if again and re.search(rf"\bdef {name}\b", code):
                try:
                    templates[task] = _template(task, module, profile)
                except Unreadable as error:
                    failed[task].append(error)
    notices = tuple(
        f"{FILE}: {FUNCTIONS[task]} cannot be used ({errors[0]}). This project's wording is used instead."
        for task, errors in failed.items()
        if errors and task not in templates
    )
    return Card(templates, notices)


def _blocks(card: str) -> Iterator[tuple[int, str]]:
    """The code blocks that may hold Python, each with the number of the line that opens it."""
    fence, start, lines = None, 0, []
    for number, line in enumerate(card.split("\n"), 1):
        if fence is None:
            if found := _FENCE.match(line):
                fence, start, lines = found, number, []
            continue
        indent, marks, language = fence.groups()
        bare = line.strip()
        blank = len(line) - len(line.lstrip(" \t"))
        if bare.startswith(marks) and not bare.strip(marks[0]) and blank <= len(indent) + 3:
            if language.lower() in _PYTHON:
                yield start, "\n".join(lines)
            fence = None
        else:
            lines.append(line[min(blank, len(indent)) :])
    if fence is not None and fence[3].lower() in _PYTHON:
        yield start, "\n".join(lines)


def _trees(code: str, left: Budget) -> Iterator[ast.Module]:
    """The syntax of a block: whole if it can be, otherwise of those parts of it that are Python. TooMuch
    when no more code may be parsed."""
    for text in dict.fromkeys((code, textwrap.dedent(code))):
        if tree := _parsed(text, left):
            yield tree
            return
    lines = code.split("\n")
    starts = [n for n, line in enumerate(lines) if line[:1].strip()] + [len(lines)]
    done = 0
    for at, start in enumerate(starts[:-1]):
        if start < done:
            continue
        for end in starts[at + 1 :]:
            if tree := _parsed("\n".join(lines[start:end]), left):
                ast.increment_lineno(tree, start)
                yield tree
                done = end
                break


def _parsed(code: str, left: Budget) -> ast.Module | None:
    left.take(len(code) + 500)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are none
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _template(task: str, module: Module, profile: Profile) -> Template:
    function = module.names.get(FUNCTIONS[task])
    if function is None:
        raise Unreadable("it is not plain Python at the top of a block")
    if not isinstance(function, Function):
        raise Unreadable("it is decorated, or not a plain function, or depends on the rest of the code")
    signature = Signature(function.node.args, task)
    turns, problem, budget = {}, None, Budget()
    for sources in range(1, MAX_SOURCES + 1) if task == "edit" else (0,):
        try:
            images = [picture(number) for number in range(sources + 1)]
            arguments = signature.arguments(REQUEST, images)
            results = module.results(FUNCTIONS[task], arguments, budget)
            turns[sources or 1] = _turns(task, results, images, profile)
        except Unreadable as error:
            problem = problem or error
    if not turns:
        raise problem
    return Template(task, "model card", turns)


def _turns(task: str, results: list, images: list[Opaque], profile: Profile) -> tuple[Turn, ...]:
    """What a function returned, checked, as the turns of a template."""
    read = [_conversation(result) for result in results]
    if not read:
        raise Unreadable("it always raises an error")
    turns, found = read[0]
    if any(one != read[0] for one in read[1:]):
        raise Unreadable("its text depends on what is not known without running it")
    try:
        check_turns(turns)
    except ValueError as error:
        raise Unreadable(str(error)) from error
    if len(found) != len(images):
        raise Unreadable(f"it has places for {len(found)} pictures instead of {len(images)}")
    for place, image in zip(found, images, strict=True):
        if place and place != image.images:
            raise Unreadable("its pictures are not in the order sources, edited picture")
    texts = [text for turn in turns for text in turn.content if text is not None]
    if not any(isinstance(piece, Request) for text in texts for piece in text):
        raise Unreadable("the request is nowhere in its text")
    _check_questions(
        "".join(piece for text in texts for piece in text if isinstance(piece, str)), task, profile
    )
    return turns


def _check_questions(text: str, task: str, profile: Profile) -> None:
    told = " ".join(text.lower().replace("&", "and").split())
    for aspect in profile.aspects(task):
        if aspect.name.lower().replace("&", "and") not in told:
            raise Unreadable(f"its text does not ask for {aspect.name}")
    for heading in ("Justification", "Score"):
        if not re.search(rf"^[\s#*\d.)-]*{heading}\b", text, re.IGNORECASE | re.MULTILINE):
            raise Unreadable(f"its text does not ask for the heading {heading}")


def _conversation(messages: object) -> tuple[tuple[Turn, ...], list[frozenset[str]]]:
    """The turns, and for each picture in them the sign of what the code puts there, if anything."""
    if not isinstance(messages, (list, tuple)) or not messages:
        raise Unreadable("it does not return a list of messages")
    turns, found = [], []
    for message in messages:
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise Unreadable("a message is not a dict with role and content")
        role, content = message["role"], message["content"]
        if not isinstance(role, str) or SIGNS.search(role):
            raise Unreadable("the role of a message is not known")
        if isinstance(content, (str, Opaque)):
            turns.append(Turn(role, (_text(content),), plain=True))
            continue
        if not isinstance(content, (list, tuple)):
            raise Unreadable("the content of a message is neither a text nor a list of parts")
        parts = []
        for part in content:
            if not isinstance(part, dict):
                raise Unreadable("a part of a message is not a dict")
            if part.get("type") in ("image", "image_url", "input_image"):
                found.append(_place(part))
                parts.append(None)
            elif part.get("type") == "text" and part.keys() == {"type", "text"}:
                parts.append(_text(part["text"]))
            else:
                raise Unreadable("a part of a message is neither a text nor a picture")
        turns.append(Turn(role, tuple(parts)))
    return tuple(turns), found


def _text(text: object) -> Text:
    if not isinstance(text, str) or set(SIGNS.findall(REQUESTS.sub("", text))):
        raise Unreadable("its text depends on what is not known without running it")
    return tuple(
        Request(TRIMS[ord(piece) - ord(REQUEST)]) if REQUESTS.fullmatch(piece) else piece
        for piece in REQUESTS.split(text)
        if piece
    )


def _place(part: dict) -> frozenset[str]:
    """The picture that a part shows; none if the part is only a place for one."""
    values = [value for key, value in part.items() if key in _PICTURE_KEYS]
    values = [one for value in values for one in (value.values() if isinstance(value, dict) else [value])]
    found = frozenset().union(*map(pictures, values))
    if len(found) > 1 or (values and not found):
        raise Unreadable("a picture in it is not one of those it is given")
    if any(REQUESTS.search(value) for value in values if isinstance(value, str)):
        raise Unreadable("the request stands within a picture")
    return found
