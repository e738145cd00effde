"""Which argument of a card's function is the request, and which are pictures: told by their names."""

from __future__ import annotations

import ast
import re

from .card_values import Opaque, Unreadable

_WORD = re.compile(r"base64|b64|[a-z]+")
# one of several things, without the plural's s
_REQUEST = {"prompt", "request", "instruction", "query", "question", "caption", "description", "text"}
_SOURCE = {"source", "src", "input", "original", "orig", "before", "reference", "ref"}
_RESULT = {"edited", "edit", "result", "output", "generated", "after", "target", "candidate"}
_IMAGE = {"image", "img", "picture", "photo", "path", "file", "url", "uri", "pil", "byte", "b64", "base64"}
_IMAGE |= _SOURCE | _RESULT
_SETTING = {"system", "template", "token", "placeholder", "format", "type", "mime", "mode", "model", "role"}
_SETTING |= {"size", "pixel", "detail", "rubric", "guideline", "prefix", "suffix", "max", "min"}
_LISTS = {"list", "List", "Sequence", "Iterable", "tuple", "Tuple"}


class Signature:
    """The arguments of a function that builds messages. Unreadable if request and pictures cannot be told."""

    def __init__(self, node: ast.arguments, task: str):
        positional = [*node.posonlyargs, *node.args]
        defaults = [None] * (len(positional) - len(node.defaults)) + node.defaults + node.kw_defaults
        by_name = {
            one.arg: default for one, default in zip([*positional, *node.kwonlyargs], defaults, strict=True)
        }
        kinds = {name: _kind(name, default) for name, default in by_name.items()}
        self.needed = [name for name, default in by_name.items() if default is None]
        requests = [name for name, kind in kinds.items() if kind == "request"]
        if not requests:
            requests = [name for name in self.needed if not kinds[name]][:1]
        elif len(requests) > 1:
            requests = [name for name in requests if name in self.needed]
        if len(requests) != 1:
            raise Unreadable("it cannot be told which of its arguments is the request")
        self.request = requests[0]
        self.images = [name for name, kind in kinds.items() if kind == "image"] or [
            name for name in self.needed if not kinds[name] and name != self.request
        ]
        self.lists = {
            one.arg
            for one in (*positional, *node.kwonlyargs)
            if _plural(one.arg) or _outer(one.annotation) in _LISTS
        }
        if not self.images:
            raise Unreadable("it cannot be told which of its arguments is the picture")
        self.edited = self._edited() if task == "edit" else ""

    def _edited(self) -> str:
        """The argument of the edited picture; "" if it stands at the end of the only list."""
        if len(self.images) == 1:
            if self.images[0] not in self.lists:
                raise Unreadable("it takes one picture instead of a source and an edited one")
            return ""
        named = [n for n in self.images if _RESULT & {*_words(n)} and not _SOURCE & {*_words(n)}]
        single = [n for n in self.images if n not in self.lists]
        return (named or single or self.images)[-1]

    def arguments(self, request: str, images: list[Opaque]) -> dict[str, object]:
        """Values for the arguments: the request, and pictures in the order sources, then the one that is
        judged. Unreadable if it has not as many places."""
        found: dict[str, object] = {name: Opaque() for name in self.needed}
        found[self.request] = request
        left = list(images)
        if self.edited:
            last = left.pop()
            found[self.edited] = [last] if self.edited in self.lists else last
        names = [name for name in self.images if name != self.edited]
        for number, name in enumerate(names, 1):
            if name in self.lists:
                count = len(left) - sum(later in self.needed for later in names[number:])
                found[name], left = left[:count], left[count:]
            elif left:
                found[name] = left.pop(0)
            elif name in self.needed:
                raise Unreadable(f"there is no picture for its argument {name}")
        if left:
            raise Unreadable(f"it has no place for {len(left)} of the pictures")
        return found


def _kind(name: str, default: ast.expr | None) -> str:
    """request, image, or "" for anything else. The last word that tells something counts."""
    words = _words(name)
    number = isinstance(default, ast.Constant) and isinstance(default.value, (bool, int, float))
    if number or _SETTING & {*words}:
        return ""
    for word in reversed(words):
        if word in _REQUEST:
            return "request"
        if word in _IMAGE:
            return "image"
    return ""


def _words(name: str) -> list[str]:
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return [word.removesuffix("s") for word in _WORD.findall(spread)]


def _plural(name: str) -> bool:
    last = _WORD.findall(name.lower())[-1:]
    return last == ["list"] or (last != ["bytes"] and "".join(last).endswith("s"))


def _outer(annotation: ast.expr | None) -> str:
    """The outermost name of an annotation: "list" of `list[bytes] | None`."""
    while isinstance(annotation, (ast.Subscript, ast.BinOp)):
        annotation = annotation.value if isinstance(annotation, ast.Subscript) else annotation.left
    if isinstance(annotation, ast.Attribute):
        return annotation.attr
    return annotation.id if isinstance(annotation, ast.Name) else ""
