"""Draw a finished refine loop as one picture: its rounds side by side, with prompt and scores.

    python scripts/draw_loop.py LOOP_FOLDER PICTURE.png

LOOP_FOLDER is what Refine End writes with save_rounds on, such as the folder that the demo names.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, SIDE, TEXT = 300, 20, 260, 190
INK, GREY, GOOD, BAD, PAPER, LINE = "#1d2330", "#6b7385", "#1f9d55", "#d1495b", "#ffffff", "#d9dde5"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("folder", type=Path)
    options.add_argument("picture", type=Path)
    args = options.parse_args()
    history = json.loads((args.folder / "history.json").read_text("utf-8"))
    bar = history["settings"]["bar"]
    rounds = history["rounds"]
    lines = max(len(textwrap.wrap(past["prompt"], 46)) for past in rounds)
    height = SIDE + TEXT + 15 * lines + 90
    sheet = Image.new("RGB", (WIDTH * len(rounds) + MARGIN, height), PAPER)
    for index, past in enumerate(rounds):
        picture = Image.open(args.folder / f"round_{past['number']:02}.png").convert("RGB")
        panel(sheet, MARGIN + WIDTH * index, past, picture, bar, past["number"] == history["best"])
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, height - 30), history["reason"], INK, font(15))
    sheet.save(args.picture, optimize=True)


def panel(sheet: Image.Image, x: int, past: dict, picture: Image.Image, bar: float, best: bool) -> None:
    """One round: heading, picture, a bar per aspect, the prompt."""
    pen = ImageDraw.Draw(sheet)
    head = f"Round {past['number']}" + (" - kept" if best else "")
    pen.text((x, 12), head, GOOD if best else INK, font(17))
    y = 40
    sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
    pen.rectangle([x - 1, y - 1, x + SIDE, y + SIDE], outline=GOOD if best else LINE, width=3 if best else 1)
    y += SIDE + 12
    for aspect in past["critique"]["aspects"]:
        score = aspect["score"]
        shown = {"not_applicable": "N/A", "missing": "missing"}.get(aspect["status"]) or f"{score:.1f}"
        color = GREY if score is None else GOOD if score >= bar else BAD
        pen.text((x, y), aspect["name"], GREY, font(13))
        pen.text((x + SIDE, y), shown, color, font(13), anchor="ra")
        pen.rectangle([x, y + 18, x + SIDE, y + 23], fill=LINE)
        if score is not None:
            pen.rectangle([x, y + 18, x + SIDE * (score - 1) / 3, y + 23], fill=color)
        y += 34
    y += 8
    pen.text((x, y), "prompt", GREY, font(13))
    for line in textwrap.wrap(past["prompt"], 46):
        y += 15
        pen.text((x, y + 3), line, INK, font(12))


def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
