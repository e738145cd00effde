"""Plain data, as read from JSON -> dataclasses, by their type hints: no unknown field, no wrong type.

pydantic would do this, but refuses a text with half a surrogate pair, which a browser's prompt may hold and
records must keep.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_KINDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a finite number"}
_KINDS |= {tuple: "a list", dict: "an object"}


def from_data(cls: type[T], data: object, name: str) -> T:
    """`data` as an object of the dataclass `cls`. ValueError names the field that is wrong, within `name`.

    Hints may be str, bool, int, float, an Enum, a dataclass, Any; tuples, dicts and None of these.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{name} must be an object, not {_short(data)}.")
    hints = _hints(cls)
    known = {field.name: field for field in fields(cls) if field.init}
    if unknown := [key for key in data if key not in known]:
        raise ValueError(f"{name} has no field {_short(unknown[0])}; its fields are: {', '.join(known)}.")
    for field in known.values():
        if field.name not in data and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name}.{field.name} is missing.")
    values = {key: _value(value, hints[key], f"{name}.{key}") for key, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _value(value: Any, hint: Any, name: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        (hint,) = (argument for argument in arguments if argument is not NoneType)
        return None if value is None else _value(value, hint, name)
    if is_dataclass(hint):
        return from_data(hint, value, name)
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        if len(kinds) != len(value):
            raise ValueError(f"{name} must hold {len(kinds)} values, not {len(value)}.")
        items = zip(value, kinds, strict=True)
        return tuple(_value(item, kind, f"{name}[{index}]") for index, (item, kind) in enumerate(items))
    if origin is dict and isinstance(value, Mapping):
        return {key: _value(item, arguments[1], f"{name}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return value
    elif isinstance(hint, type) and issubclass(hint, Enum):
        if value not in list(hint):
            raise ValueError(f"{name} must be one of {', '.join(map(str, hint))}, not {_short(value)}.")
        return hint(value)
    elif hint in (str, bool, int) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise ValueError(f"{name} must be {_KINDS[origin or hint]}, not {_short(value)}.")


@lru_cache(None)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
