"""The laws of reading an answer, for any text, any profile and any place where it was cut."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rr_tests.answers import answer, is_whole

from rr_models.judgement.aspects import RATIONAL_REWARDS, VIESCORE, Aspect, Profile
from rr_models.judgement.critique import (
    COMPLETE,
    INCOMPLETE,
    MISSING,
    NOT_APPLICABLE,
    SCORED,
    AspectScore,
    Critique,
)
from rr_models.judgement.task import Task
from rr_models.judgement.verdict import TIE, A, B, PairScore, Verdict
from rr_models.parsing.headings import UNKNOWN, Headings
from rr_models.parsing.parse import parse, parse_answer

ANSWERS = Path(__file__).parent / "data" / "answers"
ALL_TASKS = tuple(Task)


def read(text: str, task: str, **options) -> Critique | Verdict:
    return parse_answer(text, task, "r", **options)


def numbers(aspect: AspectScore | PairScore) -> tuple:
    """An aspect's status and scores."""
    scores = (aspect.score_a, aspect.score_b) if isinstance(aspect, PairScore) else (aspect.score,)
    return (aspect.status, *scores)


# judgements of every kind

# a prefix keeps a line from being a heading; decoys behind it must stay what they are, content
LINE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=30),
    st.sampled_from(
        ["## Score: 4.0", "Text Faithfulness: 1.0", "the 2 images, 3.5/4", "# Summary:", '"a" b"']
        + ["Score A: 4.0, Score B: 1.0", "Winner: Image B", "| Text Rendering | 4.0 |", "Image A: 2.0"]
    ),
).map(lambda line: f"so {line}")
TEXT = st.lists(LINE, max_size=3).map("\n".join).map(str.strip)


def aspect_named(name: str) -> Aspect:
    return Aspect("_".join(name.lower().split()), name, "is it?", ("no.", "yes."))


def known_heading(name: str) -> bool:
    found = Headings(RATIONAL_REWARDS, "edit-pair").find(f"# {name}:")
    return found is not None and found.name != UNKNOWN


NAME = (
    st.from_regex(r"[A-Za-zéß你好Жя][A-Za-z0-9éß你好Жя &'_-]{0,24}", fullmatch=True)
    .map(lambda name: " ".join(name.split()))
    .filter(lambda name: not known_heading(name))
)


@st.composite
def profiles(draw) -> Profile:
    names = draw(st.lists(NAME, min_size=1, max_size=4, unique_by=letters))
    aspects = [aspect_named(name) for name in names]
    aspects += [dataclasses.replace(aspect_named("Last One"), optional=True)]
    worst, best = draw(
        st.sampled_from([(1.0, 4.0), (0.0, 10.0), (1.0, 5.0), (0.0, 1.0), (-2.0, 2.0), (0.0, 100.0)])
    )
    return Profile("made", tuple(aspects), tuple(aspects), worst, best)


def letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


@st.composite
def critiques(draw, profile: Profile = RATIONAL_REWARDS) -> Critique:
    task = draw(st.sampled_from([Task.T2I, Task.EDIT]))
    aspects = []
    for aspect in profile.aspects(task):
        status = draw(statuses(aspect))
        score = draw(points(profile)) if status == SCORED else None
        aspects.append(AspectScore(aspect.key, aspect.name, status, score, draw(TEXT)))
    whole = all(a.status != MISSING for a in aspects)
    words = [draw(TEXT) for _ in range(3)] + [draw(TEXT.filter(is_whole))]
    return Critique(task, "r", tuple(aspects), COMPLETE if whole else INCOMPLETE, *words, scale=profile.scale)


@st.composite
def verdicts(draw, profile: Profile = RATIONAL_REWARDS) -> Verdict:
    task = draw(st.sampled_from([Task.T2I_PAIR, Task.EDIT_PAIR]))
    aspects = []
    for aspect in profile.aspects(task):
        given = (None,) * 3
        if (status := draw(statuses(aspect))) == SCORED:
            given = draw(points(profile)), draw(points(profile)), draw(st.sampled_from([A, B, TIE]))
        aspects.append(PairScore(aspect.key, aspect.name, status, *given, draw(TEXT)))
    whole = all(a.status != MISSING for a in aspects)
    words = [draw(TEXT) for _ in range(2)]
    return Verdict(task, "r", tuple(aspects), COMPLETE if whole else INCOMPLETE, *words, scale=profile.scale)


def statuses(aspect: Aspect) -> st.SearchStrategy[str]:
    return st.sampled_from([SCORED, SCORED, SCORED, MISSING] + [NOT_APPLICABLE] * aspect.optional)


def points(profile: Profile) -> st.SearchStrategy[float]:
    worst, best = profile.scale
    if profile is RATIONAL_REWARDS:
        return st.floats(worst, best)
    return st.integers(int(worst * 100), int(best * 100)).map(lambda hundredths: hundredths / 100)


def bare(result: Critique | Verdict) -> Critique | Verdict:
    return dataclasses.replace(result, text="", notes=())


# what was written is what is read


@given(critiques() | verdicts())
@settings(max_examples=200)
def test_the_canonical_form_parses_back_equal(judged: Critique | Verdict):
    assert bare(read(judged.to_text(), judged.task)) == judged


@given(profiles(), st.data())
@settings(max_examples=200)
def test_so_does_that_of_any_profile(profile: Profile, data):
    judged = data.draw(critiques(profile) | verdicts(profile))
    assert bare(read(judged.to_text(), judged.task, profile=profile)) == judged


@pytest.mark.parametrize("case", sorted(ANSWERS.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_read_reads_the_same_again(case: Path):
    told = json.loads(case.read_text(encoding="utf-8"))
    once = read(case.with_suffix(".txt").read_text(encoding="utf-8"), told["task"])
    again = read(once.to_text(), told["task"])
    assert [numbers(a) for a in again.aspects] == [numbers(a) for a in once.aspects]


# what was cut off


@given(critiques() | verdicts(), st.data())
@settings(max_examples=200)
def test_cutting_never_adds_and_never_makes_complete(judged: Critique | Verdict, data):
    text = judged.to_text()
    cut = text[: data.draw(st.integers(0, len(text)))]
    result = read(cut, judged.task, truncated=True)
    for now, then in zip(result.aspects, judged.aspects, strict=True):
        assert now.status == MISSING or numbers(now) == numbers(then)
    assert result.status != COMPLETE or judged.status == COMPLETE


@given(critiques(), st.data())
@settings(max_examples=200)
def test_a_cut_that_nobody_noticed_adds_nothing_either(critique: Critique, data):
    text = critique.to_text()
    cut = text[: data.draw(st.integers(0, len(text)))]
    result = parse(cut, critique.task, "r")
    for now, then in zip(result.aspects, critique.aspects, strict=True):
        # "3.14159" may have been cut to "3.1": without being told nobody can see that
        assert now.status == MISSING or now.status == then.status
        assert now.status != SCORED or (now.score <= then.score < int(now.score) + 1)
    assert result.status != COMPLETE or critique.status == COMPLETE


# until the second judgement comes, the first stands alone; until "</think>" comes, thinking is an answer
LATER = {"t2i_judged_twice_differently", "t2i_think_closing_tag_only"}


@pytest.mark.parametrize(
    "case", sorted(p for p in ANSWERS.glob("*.json") if p.stem not in LATER), ids=lambda path: path.stem
)
def test_cutting_a_real_answer_adds_nothing(case: Path):
    task = json.loads(case.read_text(encoding="utf-8"))["task"]
    text = case.with_suffix(".txt").read_text(encoding="utf-8")
    whole = read(text, task, truncated=True)
    there = {a.key: numbers(a) for a in whole.aspects}
    for end in range(0, len(text), max(1, len(text) // 40)):
        cut = read(text[:end], task, truncated=True)
        for aspect in cut.aspects:
            assert aspect.status == MISSING or numbers(aspect) == there[aspect.key], text[:end]
        assert cut.status != COMPLETE or whole.status == COMPLETE


# what is no score

VALUES = {
    "t2i": ["Score: 4.0", "## Score: 4.0", "**Score:** 4.0", "Rating: 4.0", "Text Rendering: 4.0", "4.0"]
    + ["Text Faithfulness: 4.0 out of 4", "| Text Faithfulness | 4.0 |", "It reads:", "```", "N/A"]
    + ["(Score: 4.0)", "[Score: 4.0]", "Score—4.0", "<b>Score:</b> 4.0", "评分4.0", "（评分：4.0）"]
    + ["Final Score: 4.0", "## Final Score: 4.0", "**最终评分：** 4.0", "Score:\n4.0 (as told)"]
    + ['{"text_rendering": {"score": 4.0}}', "- Physical and Visual Quality - 4.0", "Image A: 4.0"],
    "t2i-pair": ["Score A: 4.0", "## Score B: 4.0", "Winner: Image B", "Image A: 4.0", "Scores: A 4.0, B 1.0"]
    + ["## Winner: Image B", "A: 4.0, B: 1.0", "Text Rendering: A 4.0, B 1.0", "## Score: 4.0"]
    + ["(Score A: 4.0)", "Score A:\n4.0 (as told)", "Final Score A: 4.0", "Score B—4.0", "图像A评分4.0"]
    + ["| Text Faithfulness | 4.0 | 1.0 | Image A |", "It reads:", "N/A"],
}
HEADINGS = st.sampled_from(
    ["1. Text Faithfulness: 4.0", "2. Physical and Visual Quality:", "1. Text Rendering", "Text Rendering:"]
    + ["# Summary", "# Detailed Judgement", "# User Request Analysis", "## Refined Request: A dog.", "**B**"]
    + [
        "Conclusion:",
        "Summary: fine",
        "**Conclusion:** fine",
        "## Summary",
        "**总结：**",
        "Improved prompt: A cat.",
    ]
    + [
        "改进建议：更蓝",
        "Refinement: bluer",
        "Detailed evaluation: fine",
        "### Fox",
        "User request analysis:",
    ]
    + ["# Overall", "Overall:", "| Aspect | Score |", "| Aspect | Score A | Score B |", "## Justification:"]
)
PLACES = ("Seen.", "Clean.", "None.", "Asked.", "Good.", "Little.", "A fox.")
FORMS = {
    "justification first": "## Justification: {words}\n{scores}",
    "score first": "{scores}\n## Justification: {words}",
}


def judged_answer(task: str, form: str) -> str:
    pair = Task.parse(task).is_pair
    parts = ["# User Request Analysis", "Asked.", "# Detailed Judgement"]
    for number, (aspect, words, score) in enumerate(
        zip(RATIONAL_REWARDS.t2i, PLACES, ("2.5", "3.0", "N/A"), strict=False), 1
    ):
        lines = [f"## Score {side}: {score}" for side in "AB"] if pair else [f"## Score: {score}"]
        lines += ["## Winner: tie" if score != "N/A" else "## Winner: N/A"] if pair else []
        filled = FORMS[form].format(words=words, scores="\n".join(lines))
        parts += [f"{number}. {aspect.name}:", filled]
    return "\n".join(
        [*parts, "# Summary: Good.", "## Refinement Comments: Little.", "## Refined Request: A fox."]
    )


@given(
    st.sampled_from(["t2i", "t2i-pair"]),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(PLACES),
    st.lists(HEADINGS, max_size=1),
    st.booleans(),
    st.data(),
)
@settings(max_examples=600)
def test_words_are_never_scores(task: str, form: str, place: str, heading: list[str], truncated: bool, data):
    """Whatever a justification, the analysis or the end quotes: an aspect's own score, or none."""
    values = data.draw(st.lists(st.sampled_from(VALUES[task]), max_size=4))
    honest = judged_answer(task, form)
    own = {a.key: numbers(a) for a in read(honest, task).aspects}
    assert MISSING not in {status for status, *_ in own.values()}
    hostile = honest.replace(place, "\n".join([place, *heading, *values, "so much for that."]))
    for aspect in read(hostile, task, truncated=truncated).aspects:
        assert aspect.status == MISSING or numbers(aspect) == own[aspect.key], hostile


# any text at all

FRAGMENTS = st.sampled_from(
    ["## Score:", "1. Text Faithfulness:", "# Summary", "N/A", "3.5", "/", "4", "\n", "**", "：", " "]
    + ["<think>", "</think>", "# Detailed Judgement", "Text Rendering", "```", '"', "1.0 to 4.0", "|"]
    + ["Refined Request:", "I'm sorry", "-", "٣", "½", "Score A:", "Image B", "Winner:", "tie", "{", "}"]
    + ['{"text_faithfulness": ', "Scores: A 3, B 2", "评分", "图像A", "\r\n", "\0", "8/10", "9" * 400]
)


@given(
    st.text() | st.lists(FRAGMENTS | st.text(max_size=3)).map("".join),
    st.sampled_from(ALL_TASKS),
    st.sampled_from([RATIONAL_REWARDS, VIESCORE]),
    st.booleans(),
)
@settings(max_examples=600)
def test_no_text_makes_it_raise(text: str, task: str, profile: Profile, truncated: bool):
    result = read(text, task, truncated=truncated, profile=profile)
    assert [a.key for a in result.aspects] == [a.key for a in profile.aspects(task)]
    assert (result.status == COMPLETE) == all(a.status != MISSING for a in result.aspects)
    for _, *scores in map(numbers, result.aspects):
        assert all(score is None or profile.worst <= score <= profile.best for score in scores)
    assert result.text == text


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["#", "* ", "- 1. ", "\n", "Score:", "3-", "</think>", "a</think>\n", "<think>\n", '"', "[", "1 to "]
    + ["| 3 ", "|3|\n", "{", "{}", "A 3, B 2 ", "Score A: ", "**A:** 3\n", "a\nb\n", "Winner: A, "],
)
@pytest.mark.parametrize("task", ["t2i", "t2i-pair"])
def test_time_grows_with_length_only(unit: str, task: str):
    def seconds(length: int) -> float:
        text = answer((unit * length)[:length])
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            read(text, task)
            best = min(best, time.process_time() - start)
        return best

    # eight times the text may take eight times as long, and some noise; quadratic work would take 64 times
    assert seconds(80_000) < 24 * seconds(10_000) + 0.05
