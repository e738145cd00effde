"""Scorecards: critiques, comparisons and refine loops as pictures to look at. Pillow only; knows nothing of
models, tensors or ComfyUI."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image

from ..judgement.critique import Critique
from ..judgement.thresholds import Thresholds
from ..judgement.verdict import Verdict
from ..loop.state import State
from .layout import paint
from .pair import pair
from .sheet import sheet
from .single import single
from .story import story
from .theme import THEMES, Theme

WIDTH = 1200
"""Of every scorecard, in pixels."""


def draw(
    found: Critique | Sequence[Critique] | Verdict | State,
    pictures: Sequence[Image.Image | None] | Mapping[int, Image.Image] = (),
    *,
    sources: Sequence[Image.Image] = (),
    threshold: float | None = None,
    seeds: Sequence[str] = (),
    theme: str = "light",
) -> Image.Image:
    """One RGB picture, 1200 pixels wide and as high as it takes.

    * a critique: its picture (and the `sources` of an edit), scores, reasons, better request
    * several critiques: a contact sheet, best first; `seeds` says what to write beside each
    * a verdict: `pictures` A and B side by side, aspect by aspect
    * the state of a loop: its story; `pictures` by the number of the round, or else the thumbnails that the
      loop has kept; the thresholds are the loop's own

    Pictures may be missing or None; their places say so. `threshold` is the score that every aspect should
    reach; by default two thirds up the scale, which is 3 of 1 to 4. ValueError where it is off the scale,
    where images and critiques differ in number, or where there is nothing to show.
    """
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}, not {theme!r}.")
    how = THEMES[theme]
    if isinstance(found, State):
        if not found.history:
            raise ValueError("The loop has no round yet, so there is no story to tell.")
        numbered = dict(pictures.items() if isinstance(pictures, Mapping) else enumerate(pictures, 1))
        return paint(story(found, _thumbnails(found) | numbered), WIDTH, how)
    shown = list(pictures.values() if isinstance(pictures, Mapping) else pictures)
    if isinstance(found, Verdict):
        a, b = _as_many(shown, 2)
        return paint(pair(a, b, found, sources), WIDTH, how)
    critiques = [found] if isinstance(found, Critique) else list(found)
    if not critiques:
        raise ValueError("There is no critique to show.")
    shown = _as_many(shown, len(critiques))
    labels = list(seeds) or [""] * len(critiques)
    if len(labels) != len(critiques):
        raise ValueError(f"{len(labels)} seeds but {len(critiques)} critiques; give one each.")
    worst, best = critiques[0].scale
    thresholds = Thresholds(worst + (best - worst) * 2 / 3 if threshold is None else threshold)
    if len(critiques) == 1:
        return paint(single(shown[0], critiques[0], sources, thresholds, labels[0]), WIDTH, how)
    return paint(sheet(shown, critiques, thresholds, labels), WIDTH, how)


def _thumbnails(state: State) -> dict[int, Image.Image]:
    kept = {past.number: past.thumbnail for past in state.history}
    return {number: Image.open(io.BytesIO(data)) for number, data in kept.items() if isinstance(data, bytes)}


def _as_many(pictures: list, count: int) -> list:
    if pictures and len(pictures) != count:
        raise ValueError(f"{len(pictures)} pictures but {count} judgements; give one each, or none at all.")
    return pictures or [None] * count


__all__ = ["THEMES", "WIDTH", "Theme", "draw"]
