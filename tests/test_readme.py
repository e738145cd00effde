"""The Chinese README is up to date with the English one: the same sections, commands, code and figures."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", page, re.DOTALL | re.MULTILINE)


def test_the_sections_are_the_same():
    levels = [re.findall(r"^(#+) ", page, re.MULTILINE) for page in (ENGLISH, CHINESE)]
    assert levels[0] == levels[1]
    assert ENGLISH.count("\n| **") == CHINESE.count("\n| **") > 10


def test_code_and_commands_are_the_same():
    commands = [[block for block in fenced(page, "") if "▶" not in block] for page in (ENGLISH, CHINESE)]
    assert commands[0] == commands[1] != []
    code = [[ast.dump(ast.parse(block)) for block in fenced(page, "python")] for page in (ENGLISH, CHINESE)]
    assert code[0] == code[1] != []


def test_links_and_what_is_spelled_as_code_are_the_same():
    for pattern in (r"\]\(([^)]+)\)", r"`([^`\n]+)`"):
        found = [set(re.findall(pattern, page)) for page in (ENGLISH, CHINESE)]
        to_each_other = {"README.md", "README.zh.md"}
        assert found[0] - to_each_other == found[1] - to_each_other


def test_the_figures_are_the_same():
    figures = [
        [re.findall(r"\d+(?:\.\d+)?", row) for row in re.findall(r"^\|.*", page, re.MULTILINE)]
        for page in (ENGLISH, CHINESE)
    ]
    assert figures[0] == figures[1] and any("17.5" in row for row in figures[0])
