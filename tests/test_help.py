"""The help pages have an image each, as the frontend finds it, and nothing that it could not show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "web" / "docs"
PAGES = sorted(f"{page.parent.name}/{page.stem}" for page in DOCS.glob("*/*.md"))


def test_every_page_is_there_in_both_languages():
    assert PAGES == sorted(
        f"{folder.name}/{language}" for folder in DOCS.iterdir() for language in ("en", "zh")
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_its_node(page):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    assert text.startswith("# ") and f"]({page}.png)" in text
    # The frontend looks for images below web/docs, wherever the page itself lies.
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (DOCS / name).stat().st_size < 60_000, f"{name}: run scripts/draw_nodes.py"
        with Image.open(DOCS / name) as image:
            image.verify()
