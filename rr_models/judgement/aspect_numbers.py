"""Numbers by aspect as a user writes them: "text_rendering=0.5, physical_quality=2"."""

from __future__ import annotations

import re


def parse(text: str, name: str, example: str) -> dict[str, float]:
    """Numbers by aspect key, separated by commas, semicolons or line ends, from the input called `name`.

    ValueError for anything else, and for an aspect given twice; `example` shows in the message what the input
    takes.
    """
    numbers: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,，\n;]", text))):
        key, _, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"{name}: {part!r} is not an aspect and {example}.") from None
        if key in numbers:
            raise ValueError(f"{name}: {key} is given twice. Remove one.")
        numbers[key] = value
    return numbers


def weights(text: str) -> dict[str, float]:
    """How much each aspect counts in the overall score; see `parse`."""
    return parse(text, "weights", "a number, such as text_rendering=0.5")


def thresholds(text: str) -> dict[str, float]:
    """The score that each aspect must reach; see `parse`."""
    return parse(text, "aspect_thresholds", "a score, such as text_faithfulness=3.5")
