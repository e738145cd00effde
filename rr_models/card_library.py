"""What a few functions of the standard library make of the values of a card's code. Nothing is run.

Each takes the reader that met the call, for its budget and for what it knows of values; NotImplemented says
that the result is not known.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from itertools import zip_longest

from .card_values import SIGNS, Opaque, containers, text, text_method, without_indent

_ONE_WORD = re.compile(r"(\()?([\w<>/ -]+)(?(1)\))")
_TYPES = {"str": str, "list": list, "tuple": tuple, "dict": dict, "int": int, "bytes": bytes}


def _len(reader, value: object) -> object:
    known = isinstance(value, (list, tuple, dict)) or (isinstance(value, str) and not SIGNS.search(value))
    return len(value) if known else NotImplemented


def _range(reader, *bounds: object) -> object:
    if not all(isinstance(bound, int) for bound in bounds):
        return NotImplemented
    numbers = range(*bounds)
    reader.budget.take(len(numbers))
    return list(numbers)


def _isinstance(reader, value: object, kinds: object) -> object:
    names = [one.name for one in (kinds if isinstance(kinds, tuple) else (kinds,)) if isinstance(one, Opaque)]
    if isinstance(value, Opaque) or not names or not all(name in _TYPES for name in names):
        return Opaque()
    return isinstance(value, tuple(_TYPES[name] for name in names))


def _copied(reader, value: object) -> object:
    reader.budget.take(sum(map(len, containers(value))))
    return copy.deepcopy(value)


def _dict(reader, *args: object, **names: object) -> object:
    return {**(reader.known_dict(args[0]) if args else {}), **names}


def _split(reader, pattern: object, value: object) -> object:
    """re.split at a plain word, which stands in the result if it is in brackets."""
    if not (isinstance(pattern, str) and isinstance(value, str) and (word := _ONE_WORD.fullmatch(pattern))):
        return NotImplemented
    found = text_method(reader.budget, value, "split", [word[2]], {})
    return [part for one in found for part in (word[2], one)][1:] if word[1] else found


LIBRARY: dict[str, Callable] = {
    "len": _len,
    "range": _range,
    "isinstance": _isinstance,
    "print": lambda reader, *args, **names: None,
    "str": lambda reader, value="": text(value),
    "list": lambda reader, values=(): reader.items(values),
    "tuple": lambda reader, values=(): tuple(reader.items(values)),
    "dict": _dict,
    "reversed": lambda reader, values: reader.items(values)[::-1],
    "enumerate": lambda reader, values, start=0: list(enumerate(reader.items(values), start)),
    "zip": lambda reader, *values, strict=False: list(zip(*map(reader.items, values), strict=strict)),
    "itertools.zip_longest": lambda reader, *values: list(zip_longest(*map(reader.items, values))),
    "map": lambda reader, function, values: [
        reader.called(function, [value], {}) for value in reader.items(values)
    ],
    "iter": lambda reader, values: reader.items(values),
    "next": lambda reader, values: reader.list_method(values, "pop", [0]),
    "re.split": _split,
    "copy.copy": _copied,
    "copy.deepcopy": _copied,
    "textwrap.dedent": lambda reader, value: without_indent(reader.budget, value, clean=False),
    "inspect.cleandoc": lambda reader, value: without_indent(reader.budget, value, clean=True),
}
