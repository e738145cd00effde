"""The form of an answer: what is written in it is read back equal, from text and from JSON."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rr_tests.answers import is_whole

from rr_models.judgement.answer_format import (
    DETAILS,
    NAMES,
    SCORES,
    STYLES,
    TEST_TIME,
    AnswerFormat,
    Kind,
    _integers,
    score_text,
)
from rr_models.judgement.aspects import PROFILES, RATIONAL_REWARDS, Aspect, Profile
from rr_models.judgement.critique import COMPLETE, NOT_APPLICABLE, SCORED, AspectScore, Critique, Judgement
from rr_models.judgement.task import Task
from rr_models.judgement.verdict import TIE, A, B, PairScore, Verdict
from rr_models.parsing.headings import UNKNOWN, Headings
from rr_models.parsing.parse import parse_answer
from rr_models.parsing.refined_prompt import prompt

MOOD = Aspect("mood", "Mood & Light v1", "is it?", ("no.", "yes."), optional=True)
LINES = Aspect("lines", "Line-Work", "is it?", ("no.", "yes."))
ODD = Profile("odd", (MOOD, LINES), (MOOD, *RATIONAL_REWARDS.edit), -7.0, 123.0)
ALL_PROFILES = [*PROFILES.values(), ODD]
FORMS = [(task, style, profile) for task in Task for style in STYLES for profile in ALL_PROFILES]
IDS = [f"{task}, {style}, {profile.name}" for task, style, profile in FORMS]

# what a critic writes; a line that begins with a word is no heading
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=20)
TEXT = st.lists(LINE.map(lambda line: f"so {line}"), max_size=3).map("\n".join).map(str.strip)
REFINED = TEXT.filter(is_whole)


def scores(profile: Profile) -> st.SearchStrategy[float]:
    tenths = st.integers(int(profile.worst * 10), int(profile.best * 10)).map(lambda number: number / 10)
    return tenths | st.sampled_from(profile.scale) | st.floats(max(profile.worst, 0.01), profile.best)


@st.composite
def judgements(draw, task: Task, profile: Profile) -> Judgement:
    """A complete critique or verdict."""
    aspects = []
    for aspect in profile.aspects(task):
        scored = not aspect.optional or draw(st.booleans())
        status, values = (SCORED if scored else NOT_APPLICABLE), [None] * (3 if task.is_pair else 1)
        if scored:
            values = [draw(scores(profile)) for _ in "AB"[: 1 + task.is_pair]]
            values += [draw(st.sampled_from([A, B, TIE]))] if task.is_pair else []
        kind = PairScore if task.is_pair else AspectScore
        aspects.append(kind(aspect.key, aspect.name, status, *values, draw(TEXT)))
    texts = [draw(TEXT) for _ in range(2 if task.is_pair else 3)]
    texts += [] if task.is_pair else [draw(REFINED)]
    kind = Verdict if task.is_pair else Critique
    return kind(task, "r", tuple(aspects), COMPLETE, *texts, scale=profile.scale)


def bare(judgement: Judgement) -> Judgement:
    return dataclasses.replace(judgement, text="", notes=())


@pytest.mark.parametrize(("task", "style", "profile"), FORMS, ids=IDS)
@given(data=st.data())
@settings(max_examples=5)
def test_an_answer_matches_the_pattern_and_is_read_back_equal(task, style, profile, data):
    judgement = data.draw(judgements(task, profile))
    form = AnswerFormat.of(task, profile, style)
    text = form.text(judgement.values())
    assert re.fullmatch(form.regex(), text)
    assert bare(parse_answer(text, task, "r", profile=profile)) == judgement
    if style != TEST_TIME:
        assert judgement.to_text() == text


@pytest.mark.parametrize(("task", "style", "profile"), FORMS, ids=IDS)
@given(data=st.data())
@settings(max_examples=5)
def test_an_answer_in_json_fits_the_schema_and_is_read_back_equal(task, style, profile, data):
    judgement = data.draw(judgements(task, profile))
    form = AnswerFormat.of(task, profile, style)
    answer = form.as_object(judgement.values())
    assert list(answer) == form.json_schema()["required"]
    check(json.loads(json.dumps(answer)), json.loads(json.dumps(form.json_schema())))
    assert bare(parse_answer(json.dumps(answer), task, "r", profile=profile)) == judgement


@given(TEXT)
@settings(max_examples=2000)
def test_only_half_a_pair_of_quotes_behind_a_sentence_is_taken_from_a_refined_request(text: str):
    assert prompt(text) == (text if is_whole(text) else text[:-1].strip())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("so !", "so !"),
        ('so "!]', 'so "!]'),
        ('A sign that says "no.]', 'A sign that says "no.]'),
        ('A red fox sits."', "A red fox sits."),
        ("一只红色的狐狸。”", "一只红色的狐狸。"),
        ('A sign that says "OPEN."', 'A sign that says "OPEN."'),
        ('a board 3" wide', 'a board 3" wide'),
        ('a board of 3"', 'a board of 3"'),
    ],
)
def test_a_stray_quote_goes_and_any_other_sign_stays(written: str, read: str):
    assert prompt(written) == read


def check(value: object, schema: dict) -> None:
    """AssertionError unless a value is valid under the few keywords of JSON Schema that are used."""
    unknown = set(schema) - {"type", "properties", "required", "additionalProperties"}
    assert not unknown - {"minimum", "maximum", "enum", "anyOf"}
    if "anyOf" in schema:
        assert any(valid(value, choice) for choice in schema["anyOf"]), value
        return
    types = {"object": dict, "string": str, "number": (int, float)}
    assert "type" not in schema or isinstance(value, types[schema["type"]])
    assert value in schema.get("enum", [value])
    if schema.get("type") == "number":
        assert schema["minimum"] <= value <= schema["maximum"]
    if schema.get("type") == "object":
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        for name, part in value.items():
            check(part, schema["properties"][name])


def valid(value: object, schema: dict) -> bool:
    try:
        check(value, schema)
    except AssertionError:
        return False
    return True


def test_the_schema_refuses_what_the_form_does_not_have():
    form = AnswerFormat.of("t2i")
    good = {
        "User Request Analysis": "",
        **{
            aspect.name: {"Justification": "", "Score": "N/A" if aspect.optional else 1.0}
            for aspect in RATIONAL_REWARDS.t2i
        },
        **{"Summary": "", "Refinement Comments": "", "Refined Request": ""},
    }
    assert valid(good, form.json_schema())
    first, last = "Text Faithfulness", "Text Rendering"
    for name, value in (
        ("Mood", ""),
        ("Summary", 1),
        (first, {"Justification": "", "Score": 4.5}),
        (first, {"Justification": "", "Score": "N/A"}),
        (first, {"Justification": ""}),
        (last, {"Justification": "", "Score": "none"}),
    ):
        assert not valid(good | {name: value}, form.json_schema()), name
    del good["Summary"]
    assert not valid(good, form.json_schema())


def test_the_pattern_refuses_what_the_form_does_not_have():
    form = AnswerFormat.of("t2i")
    values = {section.key: "x" for section in form.fields if section.kind is Kind.TEXT}
    values |= {section.key: "1.0" for section in form.fields if section.kind is Kind.SCORE}
    assert re.fullmatch(form.regex(), form.text(values))
    first, last = ("text_faithfulness", "score"), ("text_rendering", "score")
    for key, value, right in (
        (first, "4.0", True),
        (first, "4", True),
        (first, "3.99", True),
        (first, "4.1", False),
        (first, "0.9", False),
        (first, "5", False),
        (first, "12", False),
        (first, "1.", False),
        (first, "-1.0", False),
        (first, "N/A", False),
        (last, "N/A", True),
        (last, "none", False),
        (("summary",), "x\n\ny", True),
        (("summary",), "x\n# y", False),
        (("text_faithfulness", "justification"), "x\n## Score: 2.0", False),
    ):
        matches = re.fullmatch(form.regex(), form.text(values | {key: value}))
        assert bool(matches) == right, (key, value)
    for key in values:
        fewer = {other: value for other, value in values.items() if other != key}
        assert not re.fullmatch(form.regex(), form.text(fewer)), key


@pytest.mark.parametrize(("task", "style", "profile"), FORMS, ids=IDS)
def test_the_pattern_uses_nothing_that_servers_do_not_know(task, style, profile):
    pattern = AnswerFormat.of(task, profile, style).regex()
    assert not re.search(
        r"\(\?[^:]|\\[0-9AbBdDsSwWZ]|[*+?}][?+]|[\^$](?![^\[]*\])", re.sub(r"\\[.?]", "", pattern)
    )


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 5000))
@settings(max_examples=500)
def test_a_range_of_whole_numbers_is_matched_exactly(low: int, high: int, number: int):
    pattern = re.compile("|".join(_integers(low, high)) or "(?!)")
    for tried in (number, low, high, low - 1, high + 1):
        if tried >= 0:
            assert bool(pattern.fullmatch(str(tried))) == (low <= tried <= high)


@pytest.mark.parametrize(
    ("score", "text"), [(2.0, "2.0"), (3, "3"), (2.35, "2.35"), (1e-5, "0.00001000000000000000")]
)
def test_a_score_is_written_without_an_exponent(score: float, text: str):
    assert score_text(score) == text and float(text) == score


@pytest.mark.parametrize("task", Task)
def test_less_detail_is_the_beginning_of_the_form(task: Task):
    whole, *_ = forms = [AnswerFormat.of(task, detail=detail) for detail in reversed(DETAILS)]
    for form in forms:
        assert whole.sections[: len(form.sections)] == form.sections
    ends = [form.sections[-1].key[-1] for form in forms]
    last = "winner" if task.is_pair else "score"
    assert ends == ["summary" if task.is_pair else "refined_request", "summary", last]
    assert AnswerFormat.of(task, style=TEST_TIME, detail=SCORES).fields[-1].kind is not Kind.HEADING


def test_an_unknown_style_or_detail_is_named():
    with pytest.raises(ValueError, match="card, test-time, single, not 'haiku'"):
        AnswerFormat.of("t2i", style="haiku")
    with pytest.raises(ValueError, match="scores, critique, full, not 'all'"):
        AnswerFormat.of("t2i", detail="all")


@pytest.mark.parametrize(("task", "style", "profile"), FORMS, ids=IDS)
def test_the_parser_knows_every_heading(task, style, profile):
    headings = Headings(profile, task)
    for section in AnswerFormat.of(task, profile, style).sections:
        if section.heading:
            found = headings.find(section.heading)
            assert found is not None and found.name != UNKNOWN, section.heading


def test_no_heading_is_spelled_twice():
    """Besides the aspects, the names stand in one module only; `NAMES` is where they are changed."""
    from pathlib import Path

    root = Path(__file__).resolve().parents[1] / "rr_models"
    long_names = [name for name in NAMES.values() if " " in name and not name.startswith("Score")]
    for name in long_names:
        files = [file.name for file in root.rglob("*.py") if name in file.read_text("utf-8")]
        assert files == ["answer_format.py"], name
