"""Scorecards: what they show, that any text fits, and that 100 rounds stay a readable image."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rr_tests.histories import finished
from rr_tests.made import critique

from rr_models import scorecard
from rr_models.images import from_pil, thumbnail
from rr_models.judgement.critique import TRUNCATED
from rr_models.judgement.verdict import PairScore, Verdict
from rr_models.loop.settings import LoopSettings
from rr_models.loop.state import observe, start
from rr_models.scorecard import canvas, faces, layout, typeset
from rr_models.scorecard.changes import changes
from rr_models.scorecard.story import MAX_IMAGES, chosen
from rr_models.scorecard.theme import THEMES
from rr_models.scorecard.typeset import ADDED, REMOVED

RED = Image.new("RGB", (60, 40), "#ff0000")
BLUE = Image.new("RGB", (40, 60), "#0000ff")
HARD = "一只红狐狸坐在蓝色的椅子上，看着 🦊✨ 远方 Überraschung العربية \u200d \ud800 \U0001faff " * 9
TEXT = st.text(max_size=300) | st.just(HARD) | st.just("x" * 500)


@pytest.fixture
def words(monkeypatch) -> list[str]:
    """All lines of text as they are painted."""
    painted: list[str] = []
    paint = canvas.Canvas.line

    def line(self, line, *where):
        painted.append("".join(run.text for run in line))
        paint(self, line, *where)

    monkeypatch.setattr(canvas.Canvas, "line", line)
    return painted


def verdict(**fields) -> Verdict:
    aspects = (
        PairScore("text_faithfulness", "Text Faithfulness", "scored", 2.0, 3.5, "B", "B has the fox."),
        PairScore("text_rendering", "Text Rendering", "not_applicable"),
    )
    return Verdict("t2i-pair", "a red fox", aspects, "complete", **fields)


def test_one_critique_tells_all_that_the_critic_said(words):
    judged = critique(2.0, 3.25, request="a red fox", summary="No fox.", refined="a red fox, seen whole")
    card = scorecard.draw(judged, [RED], seeds=[42])
    assert card.size[0] == scorecard.WIDTH and card.mode == "RGB"
    for told in (
        "a red fox",
        "2.0",
        "3.2",
        "N/A",
        "2.62",
        "of 4",
        "seed 42",
        "No fox.",
        "a red fox, seen whole",
    ):
        assert told in words, told
    assert words[words.index("below threshold") + 1] == "Text Faithfulness"
    assert (255, 0, 0) in {color for _, color in card.getcolors(1 << 24)}


def test_a_missing_score_is_told_and_there_is_no_overall(words):
    scorecard.draw(critique(3.9, None, status=TRUNCATED, notes=("the answer was cut off",)), [RED])
    assert "missing" in words and "Cut off" in words and "the answer was cut off" in words
    assert "No score: the critique was cut off before Physical and Visual Quality" in "".join(words)
    assert "of 4" not in words and "3.90" not in words


def test_a_contact_sheet_has_the_best_first_in_full_colour_and_tags_what_is_below_the_threshold(words):
    judged = [critique(2.0, 2.0), critique(4.0, 4.0), critique(3.9, None), critique(3.0, 3.5)]
    green = Image.new("RGB", (40, 40), "#00ff00")
    card = scorecard.draw(judged, [RED, BLUE, RED, green], seeds=[1, 2, 3, 4])
    places = [said for said in words if said.startswith(("1.", "2.", "3.", "4.")) and said[2:3] in ("", " ")]
    assert places == ["1. best", "2.", "3.", "4."]
    assert [said for said in words if said.startswith("image")] == [
        "image 2, seed 2",
        "image 4, seed 4",
        "image 1, seed 1",
        "image 3, seed 3",
    ]
    assert any("2 of 4 passed" in said and "1 could not be judged" in said for said in words)
    assert words.count("passed") == 2 and words.count("below threshold") == 1
    areas = {color: count for count, color in card.getcolors(1 << 24)}
    assert min(areas[RED.getpixel((0, 0))], areas[BLUE.getpixel((0, 0))], areas[0, 255, 0]) > 20_000
    assert card.getpixel((27, 300)) == tuple(bytes.fromhex(THEMES["light"].best[1:])), "the winner is framed"


def test_none_is_best_where_none_could_be_judged(words):
    scorecard.draw([critique(3.9, None), critique(None, 3.0)], [RED, BLUE])
    assert "1." in words and "1. best" not in words


def test_many_candidates_are_cut_and_it_is_said(words):
    scorecard.draw([critique(3.0, 3.0)] * 60)
    assert any("The best 24 of 60 are shown." in said for said in words)
    assert words.count("no image") == 24


def test_a_pair_tells_who_is_better(words):
    scorecard.draw(verdict(), [RED, BLUE])
    assert {"B wins", "B wins (+1.50)", "A 2.0", "B 3.5", "A N/A", "B has the fox."} <= set(words)
    both = verdict(orders=(verdict(), verdict().swapped()))
    scorecard.draw(both, [RED, BLUE])
    assert any("they disagree" in said for said in words)


def test_an_edit_has_its_source_beside(words):
    card = scorecard.draw(critique(3.0, 3.0, 3.0, task="edit"), [RED], sources=[BLUE])
    assert {"Source", "Edited", "Critique of an edit"} <= set(words)
    assert {(255, 0, 0), (0, 0, 255)} <= {color for _, color in card.getcolors(1 << 24)}


def told_loop(judged, **options):
    return finished(judged, LoopSettings(**{"rounds": 100, "patience": 0, **options}))


def test_a_story_tells_seeds_changes_and_why_it_ended(words):
    state = told_loop(
        [[critique(2.0, 2.0, refined="a request, with a fox")], [critique(4.0, 4.0, refined="")]], rounds=9
    )
    scorecard.draw(state, [RED, BLUE])
    assert {"Round 1", "Round 2, best", "seed 7", "Prompt: what is new", "passed", "every aspect ≥ 3"} <= set(
        words
    )
    assert "a request, with a fox" in words
    assert state.stop_text in words


def test_a_story_has_the_thresholds_of_its_loop(words):
    thresholds = {"physical_quality": 2.0}
    state = told_loop(
        [[critique(2.9604, 2.0, refined="b")], [critique(3.0, 2.0)]], aspect_thresholds=thresholds, rounds=2
    )
    scorecard.draw(state)
    rule = "every aspect ≥ 3, Physical and Visual Quality ≥ 2"
    assert rule in words and words.count("passed") == 2, "once in the chart's key, once in round 2"
    assert "Round 2 reaches the thresholds: 3, physical_quality=2." in words
    assert "2.96" in words, "a score is not rounded up to the threshold that it misses"


def test_the_threshold_is_two_thirds_up_the_scale_unless_given(words):
    ten = critique(7.0, 6.0, scale=(0.0, 10.0))
    scorecard.draw(ten)
    assert any("The notch is the threshold: every aspect ≥ 6.67." in said for said in words)
    assert "below threshold" in words and "passed" not in words
    scorecard.draw(ten, threshold=5.0)
    assert "passed" in words
    with pytest.raises(ValueError, match="threshold must lie between"):
        scorecard.draw(critique(3.0, 3.0), threshold=7.0)


def test_a_round_that_could_not_be_judged_is_a_cross(words):
    state = told_loop(
        [[critique(2.0, None, refined="b")], [critique(2.5, 2.5)]], max_failed_rounds=3, rounds=2
    )
    scorecard.draw(state)
    assert "×" in words and "Incomplete" in words


def test_a_hundred_rounds_stay_bounded_and_it_is_said(words):
    dice = random.Random(3)
    rounds = [[critique(dice.choice([1.0, 2.2, 2.9]), 2.0, refined=f"try {n} {HARD}")] for n in range(100)]
    state = told_loop(rounds)
    assert len(state.history) == 100
    card = scorecard.draw(state)
    assert card.height < 4000
    assert any("12 of 100 rounds are shown" in said for said in words)


@given(st.lists(st.sampled_from([None, 1.0, 2.0, 2.9, 4.0]), min_size=1, max_size=60), st.integers(1, 9))
def test_the_rounds_shown_are_few_and_include_first_best_and_last(scores, want):
    rounds = [[critique(score, 3.0, refined=f"try {number}")] for number, score in enumerate(scores)]
    state = told_loop(rounds, max_failed_rounds=100, target_count=want, threshold=4.0)
    shown = chosen(state)
    numbers = [past.number for past in shown]
    assert len(shown) == min(MAX_IMAGES, len(state.history)) and numbers == sorted(set(numbers))
    assert {1, state.history[-1].number, state.best.number} <= set(numbers)


def test_the_story_has_the_loop_s_own_thumbnails():
    state = start("a request", 1, LoopSettings(rounds=2))
    for image in (RED, BLUE):
        judged = [critique(2.0, 2.0, refined="better")]
        state = observe(state, judged, thumbnails=[thumbnail(from_pil(image))])
    colors = {color for _, color in scorecard.draw(state).getcolors(1 << 24)}
    assert any(r > 240 and g < 15 and b < 15 for r, g, b in colors)
    assert any(b > 240 and g < 15 and r < 15 for r, g, b in colors)


def test_a_thumbnail_is_small_for_any_image():
    noise = Image.effect_noise((2048, 1024), 90).convert("RGB")
    assert len(thumbnail(from_pil(noise))) < 60_000


@pytest.mark.slow
@settings(max_examples=25)
@given(TEXT.filter(str.strip), TEXT, TEXT, TEXT, st.sampled_from(sorted(THEMES)))
def test_any_text_can_be_drawn(request, said, summary, refined, theme):
    judged = critique(2.0, None, request=request, summary=summary, refined=refined, notes=(said,))
    assert scorecard.draw(judged, [RED], theme=theme).height < 3000
    assert scorecard.draw([judged, judged], [RED, RED], theme=theme).height < 3000
    rounds = [[critique(2.0, 2.0, request=request, refined=refined)]] * 3
    state = finished(rounds, LoopSettings(rounds=3), request)
    assert scorecard.draw(state, theme=theme).height < 3000


@given(TEXT, st.integers(60, 400), st.sampled_from([13, 22]), st.booleans())
def test_no_line_is_wider_than_it_may_be_and_nothing_is_lost(text, width, size, bold):
    broken = typeset.lines([(text, typeset.SAME)], size, width, bold)
    for line in broken:
        assert not line or line[-1].x + typeset.width_of(line[-1].text.rstrip(), size, bold) <= width + 1
    painted = "".join(run.text for line in broken for run in line)
    assert "".join(painted.split()) == "".join(faces.drawable(text).split())


@given(TEXT, st.integers(150, 400), st.integers(1, 4))
def test_what_is_left_out_is_counted(text, width, max_lines):
    whole = typeset.lines([(text, typeset.SAME)], 13, width)
    cut = typeset.lines([(text, typeset.SAME)], 13, width, max_lines=max_lines, more=" (+{count})")
    assert len(cut) == min(max_lines, len(whole))
    if len(whole) > max_lines:
        shown, _, count = "".join(run.text for line in cut for run in line).rpartition("… (+")
        given = faces.drawable(text)
        begin, rest = "".join(shown.split()), "".join(given.split())
        assert rest.startswith(begin)
        assert len(rest) - len(begin) <= int(count.rstrip(")")) <= len(given) - len(shown)


@given(TEXT, TEXT)
def test_changes_read_as_both_texts(before, after):
    spans = changes(before, after)
    for text, left_out in ((before, ADDED), (after, REMOVED)):
        assert "".join("".join(said for said, mark in spans if mark != left_out).split()) == "".join(
            text.split()
        )
    if before == after:
        assert spans == ([(after, typeset.SAME)] if after else [])


def test_brief_changes_keep_the_words_beside_them():
    words = [f"w{number}" for number in range(60)]
    spans = changes(" ".join(words), " ".join(words).replace("w30", "fox"), brief=True)
    assert " ".join(text for text, _ in spans).split() == [
        "…", "w25", "w26", "w27", "w28", "w29", "w30", "fox", "w31", "w32", "w33", "w34", "w35", "…"
    ]  # fmt: skip
    assert [text.strip() for text, mark in spans if mark == REMOVED] == ["w30"]


def test_brief_changes_keep_the_sentence_around_them():
    before = (
        "A long beginning that nobody reads again at all. The left shape is large and green, they say. The "
        "end of it is long as well, and far away."
    )
    spans = changes(before, before.replace("large and ", ""), brief=True)
    assert spans == [
        ("… The left shape is ", typeset.SAME),
        ("large and ", REMOVED),
        ("green, they say. … ", typeset.SAME),
    ]


def test_very_long_texts_are_not_compared_word_by_word():
    before, after = "a b " * 3000, "c d " * 3000
    assert changes(before, after) == [(before, REMOVED), (after, ADDED)]


def test_chinese_and_emoji_need_no_font_of_the_system(monkeypatch):
    monkeypatch.setattr(faces, "_system", lambda: ())
    faces.face_of.cache_clear()
    text = "红狐狸，蓝椅子；“引号” 🦊✨🎨 Ünïcödé Ελληνικά Русский → ≥"
    assert faces.drawable(text) == text
    assert faces.drawable("\U00020bb7\ud800") == "[U+20BB7][U+D800]"
    faces.face_of.cache_clear()


@pytest.mark.parametrize("character", "aé中，🦊Я")
def test_a_character_that_a_font_claims_has_a_shape_there(character):
    face = faces.face_of(character)
    shape, gap = (bytes(faces.font(face, 40).getmask(c)) for c in (character, "\U0010fffd"))
    assert any(shape) and shape != gap


def test_a_file_that_is_no_font_has_no_characters(tmp_path):
    for content in (b"", b"ttcf", b"no font at all" * 40):
        (tmp_path / "x.ttf").write_bytes(content)
        faces._characters.cache_clear()
        assert faces._characters(tmp_path / "x.ttf", 0) == frozenset()


def test_the_themes_are_readable():
    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    for theme in THEMES.values():
        pairs = [(theme.added_ink, theme.added), (theme.removed_ink, theme.removed)]
        names = ("ink", "soft", "good", "bad", "best")
        pairs += [(getattr(theme, name), ground) for name in names for ground in (theme.paper, theme.panel)]
        for ink, ground in pairs:
            high, low = sorted((light(ink), light(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)  # WCAG 2, AA


def test_blocks_paint_no_further_than_they_say():
    block = layout.Panel(layout.Text(HARD, 15))
    page = layout.paint(block, 400, THEMES["light"], margin=30)
    paper = tuple(bytes.fromhex(THEMES["light"].paper[1:]))
    edges = [(0, 0, 400, 28), (0, page.height - 28, 400, page.height), (0, 0, 28, page.height)]
    for edge in (*edges, (372, 0, 400, page.height)):
        assert page.crop(edge).getcolors() == [((edge[2] - edge[0]) * (edge[3] - edge[1]), paper)]


@pytest.mark.parametrize(
    ("found", "more", "complaint"),
    [
        ([], {}, "no critique"),
        (critique(3.0, 3.0), {"images": [RED, RED]}, "2 images but 1 judgements"),
        (critique(3.0, 3.0), {"theme": "neon"}, "light, dark"),
        (critique(3.0, 3.0), {"language": "fr"}, "auto, en, zh"),
        (critique(3.0, 3.0), {"seeds": [1, 2]}, "2 seeds"),
        (verdict(), {"images": [RED]}, "1 images but 2"),
        (start("a request", 1), {}, "no round yet"),
    ],
)
def test_what_cannot_be_drawn_is_told(found, more, complaint):
    with pytest.raises(ValueError, match=complaint):
        scorecard.draw(found, **more)
