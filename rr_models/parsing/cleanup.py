"""An answer's text without what is no part of the answer: thinking, quote marks, and a loop at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence

LINES, CHARACTERS = "lines", "characters"
"""What a loop repeats."""

_COPIES = 4  # this many copies of one thing at the end of an answer are a loop, not emphasis
_LONGEST_LOOP = 200  # lines or characters
_SHORTEST_TAIL = 60  # characters; "......" is no loop

_THINK = re.compile(r"(?P<opens>^[ \t]*<think(?:ing)?>)|</think(?:ing)?>", re.I | re.M)
_ODD_LINE_ENDS = re.compile("[\v\f\x85\u2028\u2029]")
_QUOTED_LINE = re.compile(r"^[ \t]*>[ \t]?", re.M)


def plain_lines(text: str) -> str:
    """The text with "\\n" at the end of every line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if "\n" in text else _ODD_LINE_ENDS.sub("\n", text)


def without_thinking(text: str) -> str:
    """The answer without think blocks, of which the line breaks stay, so that lines keep their numbers; ""
    if the thinking never ends."""
    kept: list[str] = []
    start, thinking, thought = 0, False, False
    first, closed = len(text) - len(text.lstrip()), text.lower().rfind("</think")
    for tag in _THINK.finditer(text):
        before, after = text[tag.start() - 1 : tag.start()], text[tag.end() : tag.end() + 1]
        if thinking:
            if not tag["opens"]:
                kept.append("\n" * text.count("\n", start, tag.end()))
                thinking, start = False, tag.end()
        elif tag["opens"]:
            rest_of_line = text[tag.end() : tag.end() + 40].partition("\n")[0]
            if tag.start() > max(first, closed) and rest_of_line.strip():
                continue  # a text that mentions the tag
            kept.append(text[start : tag.start()])
            start = tag.start()
            thinking = thought = True
        elif not thought and (before in ("", "\n") or after in ("", "\n")):
            # the opening tag was part of the prompt
            kept.append("\n" * text.count("\n", start, tag.end()))
            start, thought = tag.end(), True
    return "".join(kept) + ("" if thinking else text[start:])


def without_quote_marks(text: str) -> str:
    """Without the marks of a Markdown quote, if every line of the answer has one."""
    lines = [line for line in text.split("\n") if line.strip()]
    quoted = len(lines) > 1 and all(line.lstrip().startswith(">") for line in lines)
    return _QUOTED_LINE.sub("", text) if quoted else text


def without_loop(lines: list[str]) -> tuple[list[str], str]:
    """The lines up to the end of the first copy of what repeats at the end, and what repeats: LINES,
    CHARACTERS of the last line (which stay) or "" if nothing does."""
    numbers = [number for number, line in enumerate(lines) if line and not line.isspace()]
    texts = [lines[number].strip() for number in numbers]
    if end := _first_copy(texts):
        return lines[: numbers[end - 1] + 1], LINES
    tail = texts[-1][-12 * _LONGEST_LOOP :] if texts else ""
    return lines, CHARACTERS if _first_copy(tail, _SHORTEST_TAIL) else ""


def _first_copy(items: Sequence[str], shortest: int = 1) -> int:
    """Where the first copy of what repeats at the end ends (the last copy may be incomplete); 0 if nothing
    repeats."""
    last = len(items) - 1
    for period in range(1, min(_LONGEST_LOOP, len(items) // _COPIES) + 1):
        if not items[last - period].startswith(items[last]):
            continue
        start = last
        while start > period and items[start - 1] == items[start - 1 - period]:
            start -= 1
        start -= period
        if len(items) - start >= max(_COPIES * period, shortest):
            return start + period
    return 0
