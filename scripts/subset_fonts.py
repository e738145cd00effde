"""Subset the scorecard's fonts from complete ones: the characters that prompts are written in, and no more.

    python scripts/subset_fonts.py INTER_FOLDER NotoSansCJK-Regular.ttc noto-emoji-emoji-400-normal.woff2

INTER_FOLDER holds Inter-Regular.otf and Inter-SemiBold.otf (Debian: fonts-inter), the second comes with
Debian's fonts-noto-cjk, the third with npm's @fontsource/noto-emoji. Needs fonttools and brotli.
"""

from __future__ import annotations

import argparse
from pathlib import Path

# not pinned: see above
from fontTools import subset  # pyright: ignore[reportMissingImports]
from fontTools.ttLib import TTCollection, TTFont  # pyright: ignore[reportMissingImports]

FONTS = Path(__file__).resolve().parents[1] / "rr_models" / "scorecard" / "fonts"
LATIN = ((0x20, 0x7F), (0xA0, 0x250), (0x2C6, 0x2DE), (0x370, 0x400), (0x400, 0x530), (0x1E00, 0x1F00))
SYMBOLS = ((0x2010, 0x2050), (0x2070, 0x20C0), (0x2100, 0x2300), (0x25A0, 0x2600), (0x2713, 0x2714))
CHINESE = ((0x3000, 0x3100), (0xFF00, 0xFFF0), (0x2014, 0x2027), (0xB7, 0xB8))
"""Kana, punctuation and full-width forms, in addition to the 6,763 characters of GB 2312."""


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    for name in ("inter", "cjk", "emoji"):
        options.add_argument(name, type=Path)
    args = options.parse_args()
    for weight in ("Regular", "SemiBold"):
        subset_font(
            TTFont(args.inter / f"Inter-{weight}.otf"),
            code_points(*LATIN, *SYMBOLS),
            f"Inter-{weight}.otf",
            ["kern"],
        )
    (simplified,) = (
        font for font in TTCollection(args.cjk).fonts if font["name"].getDebugName(4) == "Noto Sans CJK SC"
    )
    subset_font(simplified, code_points(*CHINESE) | gb2312(), "NotoSansSC-Regular.otf")
    emoji = TTFont(args.emoji)
    emoji.flavor = None  # not every FreeType can read woff2
    subset_font(emoji, set(emoji.getBestCmap()), "NotoEmoji-Regular.ttf")


def subset_font(font: TTFont, characters: set[int], name: str, features: tuple | list = ()) -> None:
    options = subset.Options(
        layout_features=list(features), hinting=False, name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14]
    )
    options.drop_tables += ["BASE", "VORG", "vhea", "vmtx", "DSIG"] + (
        [] if features else ["GSUB", "GPOS", "GDEF"]
    )
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=characters)
    subsetter.subset(font)
    font.save(FONTS / name)
    print(f"{name}: {len(font.getBestCmap())} characters, {(FONTS / name).stat().st_size:,} bytes")


def code_points(*ranges: tuple[int, int]) -> set[int]:
    return {code for start, stop in ranges for code in range(start, stop)}


def gb2312() -> set[int]:
    rows = (bytes([row, column]) for row in range(0xA1, 0xF8) for column in range(0xA1, 0xFF))
    return {ord(text) for pair in rows if len(text := pair.decode("gb2312", "ignore")) == 1}


if __name__ == "__main__":
    main()
