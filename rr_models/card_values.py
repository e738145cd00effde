"""Values of a function that is read and not run, and what its text operations make of them.

A text is a str in which private signs stand for what is not known: the request, a picture that the function
was given, anything else. So a text can be split, joined and formatted as usual, and the request, put in
afterwards, changes none of it. Work is bounded by a Budget.
"""

from __future__ import annotations

import inspect
import re
import string
import textwrap
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_FIRST = 0xF0000  # of a private use area, where no text has anything
REQUEST = chr(_FIRST)
"""The request; the next three signs are it without blanks in front, behind, and on both sides."""
UNKNOWN = chr(_FIRST + 4)
_IMAGE = _FIRST + 16
SIGNS = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + 255)}]")
REQUESTS = re.compile(f"([{REQUEST}-{chr(_FIRST + 3)}])")
TRIMS = ("", "lstrip", "rstrip", "strip")

_LONGEST = 200_000
_FORMAT = re.compile(r"[<>^]?\+?\d{0,2}(?:\.\d)?[dfs]?")
_PERCENT = re.compile(r"%(?:\((\w+)\))?([sd%])|(%)")
_PLAIN_METHODS = (
    *("startswith", "endswith", "removeprefix", "removesuffix", "upper", "lower", "title", "capitalize"),
    *("splitlines", "isspace"),
)


class Unreadable(ValueError):
    """The reading of a function met something that it does not know."""


class TooMuch(Unreadable):
    """The reading of a function went over its budget."""


@dataclass(frozen=True)
class Opaque:
    """A value of which only its dotted `name` is known, if any, and which of the given pictures are in it."""

    name: str = ""
    images: frozenset[str] = frozenset()
    given: bool = False  # an argument itself, and so surely there


def picture(number: int) -> Opaque:
    """One of the pictures that the function is given."""
    return Opaque(images=frozenset(chr(_IMAGE + number)), given=True)


def pictures(value: object) -> frozenset[str]:
    """The signs of the pictures in a value that is no container."""
    if isinstance(value, str):
        return frozenset(sign for sign in SIGNS.findall(value) if ord(sign) >= _IMAGE)
    return value.images if isinstance(value, Opaque) else frozenset()


class Budget:
    """Bounds steps, and characters and items that are made."""

    def __init__(self, steps: int = 30_000, size: int = 5_000_000):
        self.steps, self.size = steps, size

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise TooMuch("it takes too many steps")

    def take(self, size: int) -> None:
        """Call before something of this many characters or items is made."""
        if size > min(_LONGEST, self.size):
            raise TooMuch("it makes too much text")
        self.size -= size


def text(value: object) -> str:
    """What str() makes of a value."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    found = pictures(value)
    return next(iter(found)) if len(found) == 1 else UNKNOWN


def truth(value: object) -> bool | None:
    """Whether a value counts as true, None if that is not known."""
    if isinstance(value, Opaque):
        return True if value.given else None
    if isinstance(value, str) and value and not SIGNS.sub("", value):
        return None
    return bool(value)


def equal(a: object, b: object) -> bool | None:
    """Whether two values are equal, None if that is not known. A request is never what stands in the code."""
    for value in (a, b):
        if isinstance(value, (list, tuple, dict)):
            return None
        if isinstance(value, Opaque) or truth(value) is None:
            return None
    return a == b


def within(part: object, whole: object) -> bool | None:
    """Whether a text is in another, or a value among others; None if that is not known."""
    if isinstance(whole, str):
        if not isinstance(part, str) or SIGNS.search(part) or truth(whole) is None:
            return None
        return part in whole
    if not isinstance(whole, (list, tuple, dict)):
        return None
    found = [equal(part, one) for one in whole]
    return True if True in found else None if None in found else False


def containers(value: object) -> Iterator:
    """Every list, tuple and dict that can be reached, each once."""
    seen, open_ = set(), [value]
    while open_:
        one = open_.pop()
        if isinstance(one, (list, tuple, dict, ChainMap)) and id(one) not in seen:
            seen.add(id(one))
            open_ += one.values() if isinstance(one, (dict, ChainMap)) else one
            yield one


def join(budget: Budget, parts: list) -> str:
    texts = list(map(text, parts))
    budget.take(sum(map(len, texts)))
    return "".join(texts)


def formatted(value: object, spec: str, conversion: str | None) -> str:
    """One field of a format string or an f-string."""
    if conversion not in (None, "", "s"):
        return UNKNOWN
    known = not isinstance(value, Opaque) and not SIGNS.search(text(value))
    if spec and known and isinstance(value, (int, float, str)) and _FORMAT.fullmatch(spec):
        return format(str(value) if conversion else value, spec)
    return text(value) if spec in ("", "s") else UNKNOWN


def braces(budget: Budget, template: str, args: list, names: Mapping[str, object]) -> str:
    """str.format."""
    parts, automatic = [], 0
    for literal, field, spec, conversion in string.Formatter().parse(template):
        parts.append(literal)
        if field is None:
            continue
        if not field:
            field, automatic = str(automatic), automatic + 1
        if not (field.isdecimal() or field.isidentifier()):
            raise Unreadable(f"a format field {field[:40]!r} is not understood")
        parts.append(
            formatted(args[int(field)] if field.isdecimal() else names[field], spec or "", conversion)
        )
    return join(budget, parts)


def percent(budget: Budget, template: str, value: object) -> str:
    """The % of a text."""
    values = list(value) if isinstance(value, tuple) else [value]
    parts, end = [], 0
    for found in _PERCENT.finditer(template):
        name, kind, bad = found.groups()
        if bad:
            raise Unreadable("a % field is not understood")
        parts.append(template[end : found.start()])
        end = found.end()
        if kind == "%":
            parts.append("%")
            continue
        if name and not isinstance(value, dict):
            raise Unreadable("a % field has a name, but what follows has none")
        one = value[name] if name else values.pop(0)
        parts.append(UNKNOWN if kind == "d" and type(one) is not int else one)
    if values and not isinstance(value, dict):
        raise Unreadable("not all of the values behind % are used")
    return join(budget, [*parts, template[end:]])


def trimmed(value: str, how: str, characters: str | None = None) -> str:
    """str.strip and its kin. Where the request stands at an edge, it is noted to be trimmed as well."""
    value = getattr(value, how)(characters)
    for edge, bit, place in (("rstrip", 1, 0), ("lstrip", 2, len(value) - 1)):
        if how != edge and value and REQUESTS.fullmatch(value[place]):
            if characters is not None:
                raise Unreadable("signs are stripped from the request")
            value = value[:place] + chr(ord(value[place]) | bit) + value[place + 1 :]
    return value


def text_method(budget: Budget, value: str, method: str, args: list, names: dict) -> object:
    """A method of a text; Opaque where the result hangs on what is not known."""
    budget.take(len(value))
    unknown = Opaque(images=pictures(value).union(*map(pictures, args)))
    if method == "format":
        return braces(budget, value, args, names)
    if method == "format_map" and len(args) == 1 and isinstance(args[0], dict):
        return braces(budget, value, [], args[0])
    if method == "join" and len(args) == 1 and isinstance(args[0], (list, tuple)):
        between = [part for one in args[0] for part in (value, one)][1:]
        return join(budget, between)
    if names.keys() - {"maxsplit", "keepends"} or any(isinstance(arg, Opaque) for arg in args):
        return unknown
    first = args[0] if args else None
    literal = isinstance(first, str) and first != "" and not SIGNS.search(first)
    if method in TRIMS and len(args) <= 1 and (first is None or literal):
        return trimmed(value, method, first)
    if method in ("split", "rsplit", "partition", "rpartition", "count") and (
        literal or not SIGNS.search(value)
    ):
        found = getattr(value, method)(*args, **names)
        budget.take(0 if isinstance(found, int) else len(found))
        return found
    if method == "replace" and literal and 2 <= len(args) <= 3:
        budget.take(len(value) + value.count(first) * len(text(args[1])))
        return value.replace(*args)
    plain = not SIGNS.search("".join(text(arg) for arg in (value, *args)))
    return getattr(value, method)(*args, **names) if method in _PLAIN_METHODS and plain else unknown


def without_indent(budget: Budget, value: object, clean: bool) -> object:
    """textwrap.dedent, or inspect.cleandoc if `clean`."""
    if not isinstance(value, str):
        return Opaque(images=pictures(value))
    budget.take(9 * len(value))  # a tab may become eight blanks
    return inspect.cleandoc(value) if clean else textwrap.dedent(value)
