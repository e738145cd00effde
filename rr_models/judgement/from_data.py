"""Plain data, as read from JSON -> dataclasses, checked by pydantic: no unknown field, no wrong type.

pydantic reads lists as tuples and objects as dataclasses only if it may also convert scalars, so dataclasses
that are read from data declare their scalars with the types below, which are not converted: a text never
becomes a number.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, Strict, ValidationError, create_model

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Text = Annotated[str, Strict()]
Filled = Annotated[str, Strict(), Field(pattern=r"\S")]  # holds more than blanks
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]

T = TypeVar("T")


def from_data(cls: type[T], data: object, name: str) -> T:
    """`data` as an object of the dataclass `cls`. ValueError with the first fault: the field within `name`,
    the rule, and what was given instead."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{name} must be an object, not {reprlib.repr(data)}.")
    try:
        return _model(cls)(value=data).value
    except ValidationError as error:
        raise ValueError(_sentence(error.errors()[0], cls, name)) from error


@lru_cache(None)
def _model(cls: type) -> Any:
    """A model around `cls`, since that is how a plain dataclass gets a configuration."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(f"{cls.__name__}Data", __config__=config, value=(cls, ...))


def _sentence(fault: ErrorDetails, cls: type, name: str) -> str:
    """A fault that pydantic found, in this library's words."""
    path = fault["loc"][1:]
    field = name + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    given, context = reprlib.repr(fault["input"]), fault.get("ctx", {})
    match fault["type"]:
        case "recursion_loop" | "recursion_depth_exceeded":
            return f"{name} is nested too deeply."
        case "missing":
            return f"{field} is missing."
        case "unexpected_keyword_argument":
            parent, _, unknown = field.rpartition(".")
            known = f"; its fields are: {', '.join(f.name for f in fields(cls))}" if len(path) == 1 else ""
            return f"{parent} has no field {unknown!r}{known}."
        case "literal_error" | "enum":
            choices = context["expected"].replace("'", "").replace(" or ", ", ")
            return f"{field} must be one of {choices}, not {given}."
        case "too_long":
            return f"{field} must hold {context['max_length']} values, not {context['actual_length']}."
        case "value_error":
            return f"{field}: {context['error']}"
        case kind:
            rule = _RULES.get(kind) or fault["msg"].removeprefix("Input should be ")
            return f"{field} must be {rule}, not {given}."


_RULES = {
    "string_type": "a text",
    "string_pattern_mismatch": "a text that is not empty",
    "string_unicode": "a text without halves of surrogate pairs",
    "int_type": "a whole number",
    "float_type": "a finite number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "dataclass_type": "an object",
}
