"""The wording that a checkpoint was published with, read from the Python code on its model card (README.md).

A card shows how its model is asked: by functions named build_t2i_messages and build_i2i_messages. Nothing on
a card is evaluated. The syntax tree of such a function is compared with the published shape: texts that are
joined, filled in and split at "<image>", and the two messages made of them. A function of any other shape is
refused with a notice. Sizes are limited before and while the code is read, so that no card takes long or much
memory.
"""

from __future__ import annotations

import ast
import re
import string
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..judgement.aspects import RATIONAL_REWARDS
from ..judgement.task import Task
from .templates import Request, Template, Text, Turn

FILE = "README.md"
FUNCTIONS = {
    Task.T2I: ("build_t2i_messages", ("image",)),
    Task.EDIT: ("build_i2i_messages", ("source", "edited")),
}
"""For each task its function, and what the names of the image arguments contain. The request comes first."""

MAX_BYTES = 256_000
"""Bytes of a card. The published one has 30,000."""
MAX_CODE, MAX_TOKENS, MAX_NESTING = 20_000, 4_000, 20
"""Characters, tokens and open brackets in the code block of a function. The published blocks have up to
9,800, 2,600 and 4. Without the limit on tokens, 20,000 characters can cost ast.parse 80 ms and 30 MB."""
MAX_STATEMENTS = 50
"""Statements of a function. The published functions have up to 11."""
MAX_TEXT = 100_000
"""Characters of all the texts made while a function is read. The published functions make up to 17,000."""

_REQUEST = "\U000f0000"  # stands for the request while a card is read; a card may not contain it
_REFUSED = re.compile("[\ud800-\udfff\U000f0000]")  # nor half a surrogate pair, which is not valid text


class Unreadable(ValueError):
    """A function is not in the published shape; the message says where and why."""


@dataclass(frozen=True)
class Card:
    """The templates on a card, by task; `notices` say which of its functions are not used, and why."""

    templates: Mapping[str, Template] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def read(folder: Path | str) -> Card:
    """The card in a model's folder; empty if there is no README.md, or none with such functions. Never raises
    for what a card contains: see `Card.notices`."""
    path = Path(folder) / FILE
    try:
        if not path.is_file():  # a pipe or a device would never end
            return Card()
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    return Card(notices=(f"{path} was not read ({reason}). This project's wording is used instead.",))


def parse(card: str) -> Card:
    """The templates in the text of a card, which `read` limits to MAX_BYTES."""
    blocks = ("\n" + card.replace("\r\n", "\n")).split("\n```")[1::2]
    defining = [block.partition("\n") for block in blocks if "\ndef build_" in block]
    python = [code for language, _, code in defining if language.strip().lower() in ("", "python", "py")]
    templates, notices = {}, []
    for task, (name, images) in FUNCTIONS.items():
        if f"def {name}" not in card:
            continue
        try:
            templates[task] = _template(task, _definition(name, python), images)
            continue
        except Unreadable as error:
            problem = f"is in a shape that is not read ({error})"
        except ValueError as error:
            problem = f"cannot be used ({error})"
        notices.append(
            f"{FILE}: {name} {problem}. This project's wording is used instead. "
            "To use a wording of your own, give it as a template file."
        )
    return Card(templates, tuple(notices))


def _definition(name: str, blocks: list[str]) -> ast.FunctionDef:
    """The syntax tree of a function that is defined once, at the top level of a code block."""
    codes = [code for code in blocks for _ in re.finditer(rf"^def {name}\b", code, re.MULTILINE)]
    if len(codes) != 1:
        raise Unreadable(f"Python code blocks define it {len(codes)} times at their left margin, not once")
    code = codes[0]
    if len(code) > MAX_CODE or sum(1 for _ in re.finditer(r"\w+|[^\w\s]|\n", code)) > MAX_TOKENS:
        raise Unreadable(f"its code block is longer than {MAX_CODE} characters or {MAX_TOKENS} tokens")
    nesting = 0
    for bracket in re.finditer(r"[\[({\])}]", code):
        nesting = nesting + 1 if bracket[0] in "[({" else max(nesting - 1, 0)
        if nesting > MAX_NESTING:
            raise Unreadable(f"its code block nests more than {MAX_NESTING} brackets")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown escapes such as \d
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"its code block is not Python: {getattr(error, 'msg', error)}") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise Unreadable("it is not a function at the top level of its code block")


def _template(task: Task, function: ast.FunctionDef, images: tuple[str, ...]) -> Template:
    """What a function returns, as a template. ValueError if this project cannot ask with its text."""
    system, parts = _Function(function, images).messages()
    if [part for part in parts if isinstance(part, int)] != list(range(len(images))):
        raise ValueError(f"it does not show each of its images once, in the order {', '.join(images)}")
    text = "\n".join([system, *(part for part in parts if isinstance(part, str))])
    if text.count(_REQUEST) != 1:
        raise ValueError(f"the request stands in its text {text.count(_REQUEST)} times, not once")
    asked = " ".join(text.lower().replace("&", "and").split())
    for aspect in RATIONAL_REWARDS.aspects(task):
        if aspect.name.lower().replace("&", "and") not in asked:
            raise ValueError(f"its text does not ask for {aspect.name}")
    for heading in ("Justification", "Score"):
        if not re.search(rf"^[ \t#*\d.)-]*{heading}\b", text, re.IGNORECASE | re.MULTILINE):
            raise ValueError(f"its text does not ask for the heading {heading}")
    content = tuple(None if isinstance(part, int) else _slots(part) for part in parts)
    return Template(
        task, "model card", {1: (Turn("system", (_slots(system),), plain=True), Turn("user", content))}
    )


def _slots(text: str) -> Text:
    before, request, after = text.partition(_REQUEST)
    return tuple(piece for piece in (before, Request() if request else "", after) if piece)


def _shape(code: str) -> ast.AST:
    statement = ast.parse(code).body[0]
    return statement.value if isinstance(statement, ast.Expr) else statement


# The published shape. A name that begins with "_" stands for any expression.
_IMAGE = _shape("base64.b64encode(_image).decode()")
_SPLIT = _shape('_text.split("<image>")')
_PIECE = _shape("_texts[_index]")
_TEXT_PART = _shape('{"type": "text", "text": _text}')
_IMAGE_PART = _shape('{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_image}"}}')
_OPTIONAL_PART = _shape("if len(_texts) > _count: _parts.append(_part)")
_RETURN = _shape('return [{"role": "system", "content": _system}, {"role": "user", "content": _parts}]')


def _match(shape: Any, node: Any) -> list[Any] | None:
    """What stands for the "_" names of a shape, in order; None if the node has another shape."""
    if isinstance(shape, ast.Name) and shape.id.startswith("_"):
        return [node]
    if type(shape) is not type(node):
        return None
    if isinstance(shape, ast.AST):
        shape, node = ([getattr(owner, name, None) for name in shape._fields] for owner in (shape, node))
    if not isinstance(shape, list):
        return [] if shape == node else None
    if len(shape) != len(node):
        return None
    expressions = []
    for pair in zip(shape, node, strict=True):
        if (nodes := _match(*pair)) is None:
            return None
        expressions += nodes
    return expressions


class _Function:
    """Follows the statements of one function. `names` holds what each name stands for: a text (str), the
    texts that a split gives (tuple), an image (its index), or the parts of a message (list of both)."""

    def __init__(self, node: ast.FunctionDef, images: tuple[str, ...]):
        arguments = node.args
        names = [argument.arg for argument in arguments.args]
        others = (arguments.posonlyargs, arguments.vararg, arguments.kwonlyargs, arguments.kwarg)
        if any((*others, arguments.defaults, node.decorator_list)) or len(names) != 1 + len(images):
            raise Unreadable(f"it is not a plain function of the request and {len(images)} image(s)")
        for name, word in zip(names[1:], images, strict=True):
            if word not in name:
                raise Unreadable(f"its argument {name} is not named after the {word} image")
        if len(node.body) > MAX_STATEMENTS:
            raise Unreadable(f"it has more than {MAX_STATEMENTS} statements")
        self.statements = node.body
        self.names: dict[str, object] = {name: index for index, name in enumerate(names[1:])}
        self.names[names[0]] = _REQUEST
        self.characters = 0

    def messages(self) -> tuple[str, list[str | int]]:
        """The system text, and the parts of the user message: texts, and images as indices."""
        for statement in self.statements:
            try:
                if nodes := _match(_RETURN, statement):
                    system, parts = self._value(nodes[0], str), self._value(nodes[1], list)
                    self._count(system, *(part for part in parts if isinstance(part, str)))
                    return system, parts
                self._follow(statement)
            except Unreadable as error:
                raise Unreadable(f"line {statement.lineno} of its code block: {error}") from error
        raise Unreadable("it does not return a system and a user message")

    def _follow(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=parts)):
                self.names[name] = [self._part(part) for part in parts]
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.names[name] = self._value(value, (str, tuple, int))
            case _:
                match _match(_OPTIONAL_PART, statement):
                    case [texts, ast.Constant(value=int(count)), parts, part]:
                        if len(self._value(texts, tuple)) > count:
                            self._value(parts, list).append(self._part(part))
                    case _:
                        raise Unreadable(f"this {type(statement).__name__} is not read")

    def _part(self, node: ast.expr) -> str | int:
        if nodes := _match(_TEXT_PART, node):
            return self._value(nodes[0], str)
        if nodes := _match(_IMAGE_PART, node):
            return self._value(nodes[0], int)
        raise Unreadable("a part of a message is neither a text nor an image in a data URL")

    def _value(self, node: ast.expr, kind: type | tuple[type, ...], depth: int = 0) -> Any:
        """What an expression stands for. Unreadable if that is nothing of this kind."""
        value = self._read(node, depth) if depth < MAX_NESTING else None
        if not isinstance(value, kind):
            raise Unreadable(f"this {type(node).__name__} is not read")
        return value

    def _read(self, node: ast.expr, depth: int) -> object:
        def text(inner: ast.expr) -> str:
            return self._value(inner, str, depth + 1)

        match node:
            case ast.Constant(value=str(value)):
                return None if _REFUSED.search(value) else value
            case ast.Name(id=name):
                return self.names.get(name)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([text(left), text(right)])
            case ast.JoinedStr(values=values):
                return self._joined([text(value) for value in values])
            case ast.FormattedValue(value=ast.Name() as name, conversion=-1, format_spec=None):
                return text(name)
            case ast.Call(
                func=ast.Attribute(value=template, attr="format"), args=args, keywords=keywords
            ) if all(keyword.arg for keyword in keywords):
                named = {str(keyword.arg): text(keyword.value) for keyword in keywords}
                return self._formatted(text(template), [text(arg) for arg in args], named)
        if nodes := _match(_IMAGE, node):
            return self._value(nodes[0], int, depth + 1)
        if nodes := _match(_SPLIT, node):
            whole = text(nodes[0])
            self._count(whole)
            return tuple(whole.split("<image>"))
        match _match(_PIECE, node):
            case [texts, ast.Constant(value=int(index))]:
                pieces = self._value(texts, tuple, depth + 1)
                return pieces[index] if index < len(pieces) else None
        return None

    def _formatted(self, template: str, positional: list[str], named: dict[str, str]) -> str:
        self._count(template)
        texts, unnamed = [], iter(positional)
        try:
            for literal, name, spec, conversion in string.Formatter().parse(template):
                if spec or conversion or _REQUEST in literal:
                    raise ValueError
                texts.append(literal)
                if name is not None:
                    texts.append(named[name] if name else next(unnamed))
        except (ValueError, LookupError, StopIteration) as error:
            raise Unreadable("a text with .format holds more than plain fields") from error
        return self._joined(texts)

    def _joined(self, texts: list[str]) -> str:
        self._count(*texts)
        return "".join(texts)

    def _count(self, *texts: str) -> None:
        self.characters += sum(map(len, texts))
        if self.characters > MAX_TEXT:
            raise Unreadable(f"it makes more than {MAX_TEXT} characters of text")
