"""The words of scorecards: English and Chinese say the same, agree with the nodes, and follow the request."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from string import Formatter

import pytest
from PIL import Image
from rr_tests.histories import finished
from rr_tests.made import critique

from rr_models import scorecard
from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.judgement.critique import INCOMPLETE, REFUSED, TRUNCATED
from rr_models.judgement.verdict import PairScore, Verdict
from rr_models.loop.settings import LoopSettings
from rr_models.loop.state import end
from rr_models.loop.stop_reason import StopReason
from rr_models.scorecard import canvas
from rr_models.scorecard.words import CHINESE, ENGLISH, LANGUAGES, Words, language_of

ROOT = Path(__file__).resolve().parents[1]
NODES = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text("utf-8"))
RED = Image.new("RGB", (60, 40), "#ff0000")
FOX = "一只红狐狸，写着 FOX 20"


@pytest.fixture
def lines(monkeypatch) -> list:
    """All lines of text as they are painted."""
    painted = []
    paint = canvas.Canvas.line

    def line(self, line, *where):
        painted.append(line)
        paint(self, line, *where)

    monkeypatch.setattr(canvas.Canvas, "line", line)
    return painted


def texts(lines) -> list[str]:
    return ["".join(run.text for run in line) for line in lines]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def phrases(words: Words) -> dict[str, str]:
    """All phrases by name; those of a table by the table's name and their key."""
    found = {}
    for field in fields(Words):
        value = getattr(words, field.name)
        one = isinstance(value, str)
        found |= {field.name: value} if one else {f"{field.name} {key}": text for key, text in value.items()}
    return found


def test_both_languages_fill_in_the_same():
    english, chinese = phrases(ENGLISH), phrases(CHINESE)
    assert set(english) <= set(chinese)
    for name, text in english.items():
        assert placeholders(text) == placeholders(chinese[name]), name
        assert name in ("between", "an_aspect") or text != chinese[name], name


def test_every_reason_to_stop_is_said_in_chinese():
    assert set(CHINESE.stops) == set(StopReason)
    for reason, text in CHINESE.stops.items():
        assert placeholders(text) == placeholders(reason.template), reason


def test_chinese_words_are_those_of_the_nodes():
    named = {output["name"] for output in NODES["RationalRewardsUnpackScores"]["outputs"].values()}
    keys = {aspect.key for task in ("t2i", "edit") for aspect in RATIONAL_REWARDS.aspects(task)}
    assert set(CHINESE.aspects) == keys and set(CHINESE.aspects.values()) <= named
    assert CHINESE.overall in named
    inputs = NODES["RationalRewardsCritique"]["inputs"]
    assert CHINESE.request == inputs["request"]["name"] and CHINESE.source == inputs["source_image"]["name"]
    start = NODES["RationalRewardsRefineStart"]
    assert start["inputs"]["threshold"]["name"] in CHINESE.below
    assert CHINESE.prompt == start["outputs"]["1"]["name"] and CHINESE.seed.startswith(
        start["inputs"]["seed"]["name"]
    )
    assert CHINESE.critique in NODES["RationalRewardsLoadCritique"]["display_name"]
    assert CHINESE.comparison == NODES["RationalRewardsCompare"]["outputs"]["6"]["name"]
    assert CHINESE.refined_request in NODES["RationalRewardsCritique"]["description"]


def test_the_nodes_faces_say_the_same():
    shown = "".join(file.read_text("utf-8") for file in sorted((ROOT / "web" / "js").glob("*.js")))
    for words in (ENGLISH, CHINESE):
        assert f'"{words.refined_request}"' in shown and f'"{words.not_applicable}"' in shown
    for sentence in (*CHINESE.stops.values(), *CHINESE.aspects.values(), *CHINESE.statuses.values()):
        assert f'"{sentence}"' in shown, sentence


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("a red fox", "en"),
        (FOX, "zh"),
        ("一幅海报，风格参考 Swiss Style", "zh"),
        ("a cat under a sign that reads 你好", "en"),
        ("ein roter Fuchs, рыжая лиса", "en"),
        ("赤い狐が椅子に座っている", "en"),
        ("빨간 여우", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_that_of_the_request(wanted, language):
    assert language_of(wanted) == language


def fox(*scores, **more):
    return critique(*scores, request=FOX, refined="x", **more)


def all_cards(**options) -> None:
    """One card of every kind, for a Chinese request and a critic that writes "x"."""
    scorecard.draw(fox(2.0, 4.0, summary="x", notes=("x",)), [RED], seeds=[7], date="2026-11-28", **options)
    scorecard.draw(fox(2.0, 4.0, 4.0, task="edit"), [RED], sources=[RED], **options)
    scorecard.draw([fox(2.0, 4.0), fox(4.0, 4.0), fox(3.0, None)], seeds=[1, 2, 3], **options)
    score = PairScore("text_faithfulness", "Text Faithfulness", "scored", 3.0, 2.0, "A")
    both = Verdict("t2i-pair", FOX, (score,), "complete")
    scorecard.draw(Verdict("t2i-pair", FOX, (score,), "complete", orders=(both, both)), **options)
    rounds = [[replace(fox(2.0, 2.0), refined_request=f"x{n}")] for n in range(14)]
    settings = LoopSettings(rounds=14, patience=0, target_count=2)
    scorecard.draw(finished(rounds, settings, FOX), **options)


def test_a_chinese_request_has_chinese_labels(lines):
    all_cards()
    for text in texts(lines):
        assert not re.search("[A-Za-z]{2}", text.replace("FOX", "")), text


def test_the_language_may_be_chosen(lines):
    all_cards(language="en")
    for text in texts(lines):
        assert not re.search("[\u4e00-\u9fff]", re.sub("一只红狐狸，|写着", "", text)), text
    lines.clear()
    scorecard.draw(critique(2.0, 4.0, request="a red fox"), language="zh")
    assert {"要求", "文本忠实度", "低于门槛", "改进后的要求"} <= set(texts(lines))


def test_no_text_is_bold_in_parts_only(lines):
    all_cards()
    for line in lines:
        fonts = {run.face[0].name for run in line if run.text.strip()}
        assert "Inter-SemiBold.otf" not in fonts or len(fonts) == 1, texts([line])


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=list(LANGUAGES))
def test_it_says_why_there_is_no_score(words):
    for status, scores, named in (
        (TRUNCATED, (3.0, None, None), [1]),
        (INCOMPLETE, (3.0, None, None), [1, 2]),
        (REFUSED, (None, None, None), []),
    ):
        found = critique(*scores, status=status)
        why = words.why_no_score(found)
        names = [words.aspect(a.key, a.name) for a in found.aspects]
        assert [number for number, name in enumerate(names) if name in why] == named, why
    assert words.why_no_score(critique()) == words.no_aspect


def test_the_words_of_the_margin(lines):
    for a, b, told in (
        (3.0, 2.94, "A wins, barely (+0.06)"),
        (2.0, 3.5, "B wins (+1.50)"),
        (3.0, 3.0, "Tie"),
    ):
        winner = "A" if a > b else "B" if b > a else "tie"
        score = PairScore("text_faithfulness", "Text Faithfulness", "scored", a, b, winner)
        scorecard.draw(Verdict("t2i-pair", "a fox", (score,), "complete"))
        assert told in texts(lines)


def test_long_seeds_and_dates_are_readable(lines):
    found = critique(3.0, 3.0, source={"critic": "Shapes critic"})
    scorecard.draw(found, seeds=[14000171], date="2026-11-28")
    footer = "Judged by Shapes critic. Saved 2026-11-28."
    assert "seed 14,000,171" in texts(lines) and texts(lines)[-1].endswith(footer)
    lines.clear()
    scorecard.draw(critique(3.0, 3.0))
    assert not re.search("Judged|Saved|seed", " ".join(texts(lines)))


def test_what_a_stopped_loop_says_in_chinese():
    state = end(finished([[critique(2.0, 2.0, refined="b")]], LoopSettings(rounds=3)), StopReason.STOPPED)
    assert CHINESE.why_stopped(state) == "在第 2 轮被停止。" and ENGLISH.why_stopped(state) == state.stop_text
