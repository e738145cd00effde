"""How scorecards look: the share of the image, sizes of text, no overlap, ties, marks; on any machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from PIL import Image
from rr_tests.histories import finished
from rr_tests.made import critique

from rr_models import scorecard
from rr_models.judgement.verdict import PairScore, Verdict
from rr_models.loop.settings import LoopSettings
from rr_models.scorecard import canvas, faces
from rr_models.scorecard.theme import THEMES, WIDTH

PROMPT = (
    "Cinematic editorial photograph of an elderly lighthouse keeper in a weathered navy peacoat standing at "
    "the edge of a granite cliff at golden hour, holding a brass lantern in his left hand, seagulls "
    "circling behind him, long shadows on wet rock, a red-and-white striped lighthouse in the distance on "
    "the right third, soft volumetric fog rolling in from the sea, shot on medium format film, 80mm lens, "
    "shallow depth of field, subtle grain, muted teal and amber palette, highly detailed skin texture, with "
    'the hand-painted sign "NORTH POINT 1894" nailed to a driftwood post in the lower left corner'
)
REFINED = PROMPT.replace("a brass lantern in his left hand", "a lit brass lantern in his raised LEFT hand")
SAID = "The lantern is in his right hand instead of the left, and only one seagull is visible. " * 2
MAGENTA = (255, 0, 255)


@dataclass(frozen=True)
class Painted:
    """A line of text: where it is painted, how large, in which colour and fonts."""

    text: str
    box: tuple[float, float, float, float]
    size: int
    color: str
    fonts: frozenset


@pytest.fixture
def painted(monkeypatch) -> list[Painted]:
    lines: list[Painted] = []
    paint = canvas.Canvas.line

    def line(self, line, x, y, size, color):
        if line:
            box = (x, y, x + line[-1].x + line[-1].width, y + round(1.45 * size))
            text = "".join(run.text for run in line)
            fonts = frozenset(run.face[0].name for run in line if run.text.strip())
            lines.append(Painted(text, box, size, color, fonts))
        paint(self, line, x, y, size, color)

    monkeypatch.setattr(canvas.Canvas, "line", line)
    return lines


def image(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), MAGENTA)


def where(card: Image.Image) -> tuple[int, int, int, int]:
    """The box of all that has the colour of the images."""
    bands = [
        band.point([255 * (value == full) for value in range(256)])
        for band, full in zip(card.split(), MAGENTA, strict=True)
    ]
    mask = Image.merge("RGB", bands).convert("L").point(lambda value: 255 * (value == 255))
    return mask.getbbox()


def judged(*scores, request: str = PROMPT, **more):
    found = critique(*scores, request=request, refined=REFINED, summary="A strong mood.", **more)
    return replace(found, aspects=tuple(replace(aspect, justification=SAID) for aspect in found.aspects))


def loop(*rounds, request: str = PROMPT, **settings):
    history = [[judged(*scores, request=request)] for scores in rounds]
    return finished(history, LoopSettings(rounds=9, patience=0, seed_policy="new", **settings), request)


def verdict(a: float, b: float) -> Verdict:
    winner = "A" if a > b else "B" if b > a else "tie"
    score = PairScore("text_faithfulness", "Text Faithfulness", "scored", a, b, winner, SAID)
    return Verdict(
        "t2i-pair",
        PROMPT,
        (score, PairScore("text_rendering", "Text Rendering", "not_applicable")),
        "complete",
        summary="Close.",
    )


CARDS = {
    "square": lambda: scorecard.draw(
        judged(2.4, 2.8, 2.0), [image(64, 64)], seeds=[2**64 - 1], date="2026-11-28"
    ),
    "wide": lambda: scorecard.draw(judged(2.4, 2.8, 2.0), [image(210, 90)], seeds=[4242]),
    "tall": lambda: scorecard.draw(judged(2.4, 2.8, 2.0), [image(45, 160)]),
    "no image": lambda: scorecard.draw(judged(2.4, None, 2.0, notes=("the answer was cut off",))),
    "edit": lambda: scorecard.draw(
        judged(3.4, 3.8, 2.8, 2.0, task="edit"), [image(40, 30)], sources=[image(30, 40)]
    ),
    "pair": lambda: scorecard.draw(verdict(3.2, 3.13), [image(40, 30), image(30, 40)]),
    "two": lambda: scorecard.draw([judged(2.4, 2.8, 2.0)] * 2, [image(64, 64)] * 2),
    "sheet": lambda: scorecard.draw(
        [judged(2.4, 2.8, 2.0)] * 11 + [judged(4.0, None)], [image(30, 50)] * 12, seeds=[2**64 - 1] * 12
    ),
    "rounds": lambda: scorecard.draw(
        loop((2.0, 3.0, 1.8), (2.8, 3.4, 3.0), (2.8, 3.5, 3.0), (3.2, 3.4, 3.6)), [image(64, 64)] * 4
    ),
    "many rounds": lambda: scorecard.draw(loop(*[(2.0, 3.0, 1.8)] * 9), [image(64, 64)] * 9),
    "Chinese": lambda: scorecard.draw(judged(2.4, 2.8, None, request="一只红狐狸" * 60), [image(64, 64)]),
    "ten": lambda: scorecard.draw(judged(99.5, 100.0, 98.0, scale=(0.0, 100.0)), [image(64, 64)]),
}


@pytest.mark.parametrize(("width", "height"), [(64, 64), (40, 60), (60, 45), (64, 40), (210, 90)])
def test_the_image_is_the_largest_thing(width, height):
    card = scorecard.draw(judged(2.4, 2.8, 2.0), [image(width, height)])
    left, top, right, bottom = where(card)
    assert right - left >= 0.6 * WIDTH
    assert (right - left) / (bottom - top) == pytest.approx(width / height, rel=0.01)
    if width / height >= 1.45:
        assert right - left == WIDTH - 2 * 28


@pytest.mark.parametrize("name", ["edit", "pair", "two"])
def test_two_images_side_by_side_take_the_width(name):
    left, _, right, _ = where(CARDS[name]())
    assert right - left == WIDTH - 2 * 28


def test_a_very_tall_image_stays_on_one_screen():
    left, top, right, bottom = where(CARDS["tall"]())
    assert bottom - top <= 1300 and (right - left) / (bottom - top) == pytest.approx(45 / 160, rel=0.01)


@pytest.mark.parametrize("name", CARDS)
def test_a_long_prompt_does_not_shout(name, painted):
    CARDS[name]()
    request = "".join(faces.drawable(PROMPT if name != "Chinese" else "一只红狐狸" * 60).split())
    label = next(number for number, line in enumerate(painted) if line.text in ("Request", "要求"))
    lines = painted[label + 2 : label + 4]  # behind the label and the kind of scorecard
    assert request.startswith("".join(lines[0].text.split()))
    assert [line.size for line in lines] == [14, 14] and "Inter-SemiBold.otf" not in lines[0].fonts
    assert "… (+" in lines[1].text or "…（" in lines[1].text
    score = [line for line in painted if line.size == 64]
    if name in ("square", "wide", "tall", "edit", "ten"):
        (score,) = score
        assert max(line.size for line in painted if line is not score) < score.size / 3
    assert all(len(line.text) < 30 for line in painted if line.size > 17)


@pytest.mark.parametrize("name", CARDS)
def test_no_text_lies_on_other_text_or_on_an_image_or_outside(name, painted, monkeypatch):
    images = []
    paste = canvas.Canvas.paste_image

    def paste_image(self, shown, box, *more):
        if shown.size != (1, 1):
            images.append(box)
        paste(self, shown, box, *more)

    monkeypatch.setattr(canvas.Canvas, "paste_image", paste_image)
    card = CARDS[name]()
    boxes = [line.box for line in painted if line.text.strip()]
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 28 <= left and right <= WIDTH - 28 + 1 and bottom <= card.height
        for other in [*boxes[:number], *images]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart, (painted[number], other)


@pytest.mark.parametrize("name", ["square", "rounds", "sheet", "Chinese"])
def test_cards_look_the_same_without_any_font_of_the_system(name, monkeypatch):
    before = CARDS[name]()
    monkeypatch.setattr(faces, "_system", lambda: ())
    faces.face_of.cache_clear()
    after = CARDS[name]()
    faces.face_of.cache_clear()
    assert before.tobytes() == after.tobytes()


@pytest.mark.parametrize("theme", THEMES)
def test_the_overall_score_is_neutral_and_aspects_are_not(theme, painted):
    scorecard.draw(judged(2.8, 4.0, 4.0), [image(64, 64)], theme=theme)
    colors = {line.text: line.color for line in painted}
    own = THEMES[theme]
    assert (colors["3.60"], colors["2.8"], colors["4.0"]) == (own.ink, own.bad, own.good)


def test_marks_are_filled_for_what_passed_and_hollow_for_what_did_not(monkeypatch):
    dots = []
    dot = canvas.Canvas.dot

    def mark(self, x, y, radius, color, hollow=False):
        dots.append((round(x), hollow))
        dot(self, x, y, radius, color)  # without the inner dot

    monkeypatch.setattr(canvas.Canvas, "dot", mark)
    scorecard.draw(judged(2.9, 3.0), [image(64, 64)])
    assert [hollow for _, hollow in dots] == [True, False], "N/A has none"
    dots.clear()
    scorecard.draw(loop((2.0, 4.0, 4.0), (3.0, 3.0, 3.0)), [image(64, 64)] * 2)
    key, rounds = dots[:2], dots[2:4]
    assert [hollow for _, hollow in key] == [False, True]
    assert [hollow for _, hollow in rounds] == [True, False], "3.33 is above 3, but an aspect is not"


def test_a_tie_looks_like_a_tie(painted):
    card = scorecard.draw([judged(3.4, 3.4), judged(3.0, 3.8), judged(3.0, 3.0)], [image(64, 64)] * 3)
    names = [line for line in painted if line.text[:2] in ("1.", "2.", "3.") and line.size == 17]
    assert [line.text for line in names] == ["1. tied for best", "1. tied for best", "3."]
    best = tuple(bytes.fromhex(THEMES["light"].best[1:]))
    cells = [line.box[0] - 14 for line in names]
    framed = [card.getpixel((round(left) - 2, 300)) == best for left in cells]
    assert framed == [True, True, False]


def test_an_image_of_another_shape_has_no_margin_of_another_shade():
    card = scorecard.draw([judged(3.4, 3.4)] * 2, [image(30, 50), image(50, 30)])
    panel = tuple(bytes.fromhex(THEMES["light"].panel[1:]))
    left, top, _, _ = where(card)
    beside = card.crop((WIDTH // 2 + 20, top + 10, WIDTH - 28 - 10, top + 110))
    assert beside.getcolors() == [(beside.width * beside.height, panel)]


def test_images_of_one_shape_fill_their_cells():
    card = scorecard.draw([judged(3.4, 3.4)] * 4, [image(30, 50)] * 4)
    left, top, right, _ = where(card)
    row = card.crop((left, top + 50, right, top + 51))
    other = sum(count for count, color in row.getcolors() if color != MAGENTA)
    assert other <= 3 * (20 + 2), "only the gaps between the four cells"


def test_the_chart_of_few_rounds_is_low(painted):
    CARDS["rounds"]()
    title = next(line for line in painted if line.text == "Overall score by round")
    first = next(line for line in painted if line.text == "Round 1")
    assert where(CARDS["rounds"]())[1] - title.box[1] < 200 < first.box[1]
