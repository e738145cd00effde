"""The English locale and the help pages follow from the schemas; the Chinese texts are complete."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import generate_docs
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def nodes(comfy_core) -> dict[str, type]:
    classes = comfy_core.nodes.NODE_CLASS_MAPPINGS
    return {name: node for name, node in classes.items() if name.startswith("RationalRewards")}


def test_locale_and_help_pages_are_up_to_date(nodes):
    for file, text in generate_docs.generate(nodes).items():
        name = file.relative_to(ROOT).as_posix()
        assert file.read_text("utf-8") == text, f"{name}: run python scripts/generate_docs.py"


def test_every_page_has_notes_written_by_hand(nodes):
    for name in nodes:
        for language, heading in (("en", "## Good to know\n- "), ("zh", "## 须知\n- ")):
            assert generate_docs.notes(generate_docs.PAGES / name / f"{language}.md").startswith(heading)


@pytest.mark.parametrize("change", ["missing", "unknown", "empty", "order"])
def test_an_incomplete_translation_is_an_error(change):
    english = json.loads((generate_docs.LOCALES / "en" / "nodeDefs.json").read_text("utf-8"))
    chinese = copy.deepcopy(english)
    generate_docs.check_translation(english, chinese)
    inputs = chinese["RationalRewardsGate"]["inputs"]
    if change == "missing":
        del inputs["threshold"]
    elif change == "unknown":
        inputs["bar"] = inputs["threshold"]
    elif change == "empty":
        inputs["threshold"]["tooltip"] = ""
    else:
        inputs["candidates"] = inputs.pop("candidates")
    with pytest.raises(ValueError, match="locales/zh/nodeDefs.json"):
        generate_docs.check_translation(english, chinese)
