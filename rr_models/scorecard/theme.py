"""Colours and sizes of the scorecard, light and dark. Good and bad differ in hue and in lightness, so that
red-green colour-blind people can tell them apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """`paper` behind all, `panel` behind a part; `ink` to read, `soft` for what is less important,
    `faint` for lines and empty tracks."""

    paper: str
    panel: str
    ink: str
    soft: str
    faint: str
    good: str
    bad: str
    best: str
    added: str
    added_ink: str
    removed: str
    removed_ink: str


LIGHT = Theme(
    paper="#f4f5f8",
    panel="#ffffff",
    ink="#171b26",
    soft="#5b6478",
    faint="#e2e6ee",
    good="#087a5d",
    bad="#c2410c",
    best="#2457d6",
    added="#d3f3e6",
    added_ink="#065f46",
    removed="#fde3d8",
    removed_ink="#9a3412",
)
DARK = Theme(
    paper="#12151d",
    panel="#1c212c",
    ink="#f1f3f8",
    soft="#a3adc2",
    faint="#343c4d",
    good="#3ddcab",
    bad="#ff9666",
    best="#7ea6ff",
    added="#10453a",
    added_ink="#8ff0d0",
    removed="#55301f",
    removed_ink="#ffc2a3",
)
THEMES = {"light": LIGHT, "dark": DARK}

HEAD, BODY, READ, SMALL = 17, 15, 14, 13
"""Font sizes, in pixels; READ is for requests and prompts, which may be long."""
BIG, MEDIUM = 64, 30
"""Sizes of an overall score: of one image, and of one of several."""
WIDTH, MARGIN = 1200, 28
"""Of every scorecard, in pixels."""
INNER = WIDTH - 2 * MARGIN
GAP, PAD, ROUND = 12, 20, 12
"""The space between parts, inside panels, and the radius of corners, in pixels."""
