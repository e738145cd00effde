"""Scorecards: critiques, comparisons and refine loops drawn as images. Needs only Pillow; knows nothing of
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
from .theme import THEMES, WIDTH, Theme
from .words import AUTO, LANGUAGES, Words, language_of


def draw(
    content: Critique | Sequence[Critique] | Verdict | State,
    images: Sequence[Image.Image | None] | Mapping[int, Image.Image] = (),
    *,
    sources: Sequence[Image.Image] = (),
    threshold: float | None = None,
    seeds: Sequence[int | None] = (),
    date: str = "",
    theme: str = "light",
    language: str = AUTO,
) -> Image.Image:
    """One RGB image, 1200 pixels wide and as high as needed.

    * a critique: its image (and the `sources` of an edit), scores, justifications, refined request
    * several critiques: a contact sheet, best first
    * a verdict: `images` A and B side by side, aspect by aspect
    * the state of a loop: its rounds; `images` by round number, by default the loop's own thumbnails; the
      thresholds are the loop's own

    `seeds`, one per critique, and the `date` on which it was saved are written on the card where they are
    known. `language` is "en" or "zh"; "auto" is that of the request. What the critic wrote is not translated.

    Images may be missing or None; a box says so. `threshold` is the score that every aspect should
    reach; by default two thirds up the scale, which is 3 of 1 to 4. ValueError where it is off the scale,
    where images and critiques differ in number, or where there is nothing to show.
    """
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}, not {theme!r}.")
    if language not in (AUTO, *LANGUAGES):
        raise ValueError(f"language must be one of {', '.join((AUTO, *LANGUAGES))}, not {language!r}.")
    colors = THEMES[theme]
    if isinstance(content, State):
        if not content.history:
            raise ValueError("The loop has no round yet, so there is nothing to show.")
        numbered = dict(images.items() if isinstance(images, Mapping) else enumerate(images, 1))
        words = _words(language, content.request)
        return paint(story(content, _thumbnails(content) | numbered, words, date), WIDTH, colors)
    shown = list(images.values() if isinstance(images, Mapping) else images)
    if isinstance(content, Verdict):
        a, b = _as_many(shown, 2)
        words = _words(language, content.request)
        return paint(pair(a, b, content, sources, words, date), WIDTH, colors)
    critiques = [content] if isinstance(content, Critique) else list(content)
    if not critiques:
        raise ValueError("There is no critique to show.")
    shown = _as_many(shown, len(critiques))
    seeds = list(seeds) or [None] * len(critiques)
    if len(seeds) != len(critiques):
        raise ValueError(f"{len(seeds)} seeds but {len(critiques)} critiques; give one each.")
    worst, best = critiques[0].scale
    thresholds = Thresholds(worst + (best - worst) * 2 / 3 if threshold is None else threshold)
    for critique in critiques:
        thresholds.check(critique)
    words = _words(language, critiques[0].request)
    if len(critiques) == 1:
        block = single(shown[0], critiques[0], sources, thresholds, words, seeds[0], date)
    else:
        block = sheet(shown, critiques, thresholds, words, seeds, date)
    return paint(block, WIDTH, colors)


def _words(language: str, request: str) -> Words:
    return LANGUAGES[language_of(request) if language == AUTO else language]


def _thumbnails(state: State) -> dict[int, Image.Image]:
    kept = {past.number: past.thumbnail for past in state.history}
    return {number: Image.open(io.BytesIO(data)) for number, data in kept.items() if isinstance(data, bytes)}


def _as_many(images: list, count: int) -> list:
    if images and len(images) != count:
        raise ValueError(f"{len(images)} images but {count} judgements; give one each, or none at all.")
    return images or [None] * count


__all__ = ["AUTO", "LANGUAGES", "THEMES", "WIDTH", "Theme", "draw"]
