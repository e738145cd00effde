"""Reading answers: the forms they come in and the traps in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rr_tests.answers import answer, scores

from rr_models.judgement.aspects import RATIONAL_REWARDS, VIESCORE, Aspect
from rr_models.judgement.critique import (
    COMPLETE,
    INCOMPLETE,
    MISSING,
    NOT_APPLICABLE,
    REFUSED,
    SCORED,
    TRUNCATED,
    Critique,
)
from rr_models.parsing.parse import parse, parse_pair, summary_dict

ANSWERS = Path(__file__).parent / "data" / "answers"


def read(name: str, task: str = "t2i", **options) -> Critique:
    return parse((ANSWERS / f"{name}.txt").read_text(encoding="utf-8"), task, "a request", **options)


# whole answers


def test_the_card_form():
    critique = read("card")
    assert scores(critique) == [2.5, 3.0, 4.0]
    assert critique.status == COMPLETE and critique.notes == ()
    assert critique.analysis.startswith("The user wants a red fox")
    assert critique.aspects[0].justification.endswith("Anchor score: 4.0 would need a blue one.")
    assert critique.aspects[1].justification.endswith("Text Faithfulness was discussed above.")
    assert critique.summary.startswith("Right animal")
    assert critique.refinement_comments == "Say the colour of the chair twice."
    assert critique.refined_request == (
        "A red fox asleep on a chair.\nThe chair is bright blue, clearly blue.\nA sign says OPEN."
    )


def test_any_markdown_dress_and_no_trailing_remark_in_the_refined_request():
    critique = read("markdown")
    assert scores(critique) == [1.5, 3.5, NOT_APPLICABLE]
    assert critique.overall == 2.5
    assert critique.aspects[2].justification == "No words were asked for."
    assert critique.refined_request == "A tabby cat, certainly a cat, on a mat."


def test_score_before_justification_in_any_order_of_aspects():
    critique = read("score_first_edit", "edit")
    assert scores(critique) == [3.8, 3.25, 4.0, NOT_APPLICABLE]
    assert critique.status == COMPLETE
    assert any("4.5" in note for note in critique.notes)
    assert critique.analysis.startswith("The user asks for the sky")
    assert "Score: 4.0" not in str(critique.aspects[0]) and critique.refined_request.startswith(
        "Make the sky"
    )


def test_what_a_request_or_an_image_dictates_is_no_score():
    critique = read("quoted_request")
    assert scores(critique) == [1.0, 2.0, NOT_APPLICABLE]


def test_a_refusal_is_told_apart():
    critique = read("refusal")
    assert critique.status == REFUSED and critique.overall is None


def test_the_form_copied_is_no_judgement():
    critique = read("form_copied")
    assert critique.status == INCOMPLETE
    assert scores(critique) == [MISSING] * 3


def test_scores_under_foreign_headings_and_quoted_ones_change_nothing():
    critique = read("foreign_aspects")
    assert scores(critique) == [4.0, 2.5, NOT_APPLICABLE]
    assert critique.status == COMPLETE and critique.notes == ()
    assert "Text Rendering: 4.0" in critique.aspects[1].justification
    assert critique.refined_request == "A sharp poster of a fox."
    assert scores(read("foreign_aspects", "edit")) == [4.0, 1.0, 2.5, NOT_APPLICABLE]


def test_scores_behind_the_names_alone():
    critique = read("inline")
    assert scores(critique) == [3.5, 3.0, NOT_APPLICABLE]
    assert critique.refined_request == "A fox." and critique.summary == "fine"


def test_a_chinese_answer():
    critique = read("chinese")
    assert scores(critique) == [3.5, 3.0, NOT_APPLICABLE]
    assert critique.analysis == "一只狐狸。" and critique.refined_request == "一只狐狸坐着。"


@pytest.mark.parametrize(
    "heading",
    [
        "1. **Text Faithfulness**",
        "(1) Text Faithfulness:",
        "① Text Faithfulness:",
        "## 1 Text Faithfulness",
        "##\u00a0Text\u00a0Faithfulness",
        "a. Text-Faithfulness:",
        "Aspect 1: Text Faithfulness",
        "1. Text Faithfulness (1.0 - 4.0):",
        "Text Faithfulness:",
        "\u200b**Ｔext Faithfulness：**",
    ],
)
def test_a_heading_as_written(heading: str):
    text = answer("2.5").replace("1. Text Faithfulness:", heading)
    assert scores(parse(text, "t2i", "r")) == [2.5, 3.0, NOT_APPLICABLE]


@pytest.mark.parametrize(
    "line",
    [
        "Score 2.5",
        "## Score - 2.5",
        "Score = 2.5",
        "Score [float]: 2.5",
        "Score (1.0-4.0): 2.5",
        "Rating: 2.5",
        "__Score__: 2.5",
        "Score:\n\nabout 2.5",
    ],
)
def test_a_score_heading_as_written(line: str):
    text = answer("2.5").replace("## Score: 2.5", line)
    assert scores(parse(text, "t2i", "r")) == [2.5, 3.0, NOT_APPLICABLE]


# what must never become a score


@pytest.mark.parametrize(
    "heading",
    [
        "4. Composition:",
        "4. Composition",
        "(4) Aesthetics: Well placed.",
        "4. Overall:",
        "# Overall",
        "### Overall Score",
        "**Overall**",
        "**Composition:** Well placed.",
        "Overall:",
        "4. Image Faithfulness:",
        "Image Faithfulness:",
    ],
)
@pytest.mark.parametrize("line", ["Score: 1.0", "## Score: 1.0", "**Score**\n1.0", "Rating: 1.0"])
def test_a_score_of_something_else_is_not_the_last_aspects(heading: str, line: str):
    text = answer("4.0").replace("# Summary", f"{heading}\n{line}\n# Summary")
    assert scores(parse(text, "t2i", "r")) == [4.0, 3.0, NOT_APPLICABLE]


@pytest.mark.parametrize("line", ["Overall Score: 1.0", "Score (Overall): 1.0", "> Score: 1.0", "Score: 1.0"])
def test_a_bare_score_behind_the_real_one_is_talk(line: str):
    text = answer("4.0", "3.0").replace("# Summary", f"{line}\n# Summary")
    assert scores(parse(text, "t2i", "r")) == [4.0, 3.0, 3.0]


@pytest.mark.parametrize("heading", ["# Overall", "4. Overall:", "**Overall**"])
def test_a_foreign_score_fills_no_gap(heading: str):
    text = answer("4.0").replace("## Score: N/A", f"{heading}\nScore: 3.0")
    assert scores(parse(text, "t2i", "r")) == [4.0, 3.0, MISSING]


QUOTE = "Text Faithfulness: 4.0\nPhysical and Visual Quality: 4.0\nText Rendering: 4.0\n"
FORMAL = "1. Text Faithfulness:\n## Score: 4.0\n2. Physical and Visual Quality:\n## Score: 4.0\n"


@pytest.mark.parametrize("opening", ["The request reads:\n", "# User Request Analysis\nIt reads:\n"])
@pytest.mark.parametrize(
    "quote", [QUOTE, QUOTE.replace("Text", "- Text"), QUOTE.replace(": 4", ":\nScore: 4")]
)
def test_a_quoted_request_sets_no_score_without_a_judgement_heading(opening: str, quote: str):
    own = answer("1.0").partition("# Detailed Judgement\n")[2]
    assert scores(parse(opening + quote + own, "t2i", "r")) == [1.0, 3.0, NOT_APPLICABLE]
    vague = parse(opening + FORMAL + own, "t2i", "r")
    assert scores(vague)[:2] == [MISSING, MISSING] and any("differently" in note for note in vague.notes)


@pytest.mark.parametrize("opening", ["The request reads:\n", "# User Request Analysis\nIt reads:\n"])
def test_quoted_scores_alone_are_no_judgement(opening: str):
    assert parse(opening + QUOTE + "It is poor.", "t2i", "r").status == INCOMPLETE


@pytest.mark.parametrize("painted", [*QUOTE.split("\n")[:3], "**Text Rendering:** 4.0", "Text Rendering:"])
@pytest.mark.parametrize("score_first", [False, True])
def test_writing_in_an_image_takes_no_score_away(painted: str, score_first: bool):
    words = f"## Justification: The poster reads\n{painted}\nin red."
    block = f"## Score: 2.5\n{words}" if score_first else f"{words}\n## Score: 2.5"
    text = answer("2.0").replace("## Justification: Clean.\n## Score: 3.0", block)
    critique = parse(text, "t2i", "r")
    assert scores(critique) == [2.0, 2.5, NOT_APPLICABLE]


@pytest.mark.parametrize(
    "words", ["It reads:", "It reads:\nOPEN", "1. The fur: soft\n2. The eyes", "- **Fur:** soft"]
)
def test_a_justification_may_have_its_own_lists_and_labels(words: str):
    critique = parse(answer("2.0").replace("Clean.", f"Clean.\n{words}"), "t2i", "r")
    assert scores(critique) == [2.0, 3.0, NOT_APPLICABLE]
    assert critique.aspects[1].justification == f"Clean.\n{words}"


def test_a_number_and_not_applicable_together_are_neither():
    text = answer("4.0").replace("## Score: N/A", "## Score: N/A\n## Score: 3.0")
    assert scores(parse(text, "t2i", "r")) == [4.0, 3.0, MISSING]


@pytest.mark.parametrize(
    ("line", "score"),
    [
        ("3.5", 3.5),
        ("3.5.", 3.5),
        ("- 3.5", 3.5),
        ("**3.5**", 3.5),
        ("3.5 (why it is so)", 3.5),
        ("**3.5** (why it is so)", 3.5),
        ("3.5 - one leg bends", 3.5),
        ("- 3.5 — one leg bends", 3.5),
        ("3.5, because of the leg", 3.5),
        ("3.5: one leg bends", 3.5),
        ("3/4 (one leg bends)", 3.0),
        ("3 out of 4; one leg bends", 3.0),
        ("3.5（椅子不是蓝色）", 3.5),
        ("3.5分，椅子不是蓝色", 3.5),
        ("1. The cat is there", MISSING),
        ("1) The cat is there", MISSING),
        ("1、椅子不是蓝色", MISSING),
        ("3: The cat is there", MISSING),
        ("2 to 3 legs are wrong", MISSING),
        ("3 of 4 legs are right", MISSING),
        ("3 legs are wrong (of 4)", MISSING),
        ("4.0 would be a perfect match", MISSING),
        ("4.0, but 0.5 is lost, so 3.5", MISSING),
        ("About 3 of the 4 legs are right", MISSING),
        ("> 3.5", MISSING),
        ("4.0 or 3.5", MISSING),
    ],
)
@pytest.mark.parametrize("heading", ["## Score:", "**Score**", "Score:", "## 评分："])
def test_below_a_lone_score_heading_a_value_counts_with_or_without_an_explanation(heading, line, score):
    text = answer("1.0").replace("## Score: 1.0", f"{heading}\n{line}")
    assert scores(parse(text, "t2i", "r")) == [score, 3.0, NOT_APPLICABLE]


def test_a_cut_behind_a_score_leaves_open_whether_it_was_quoted():
    text = answer(text_rendering="4.0")
    cut = text[: text.index("4.0") + 4]
    assert parse(cut, "t2i", "r", truncated=True).status == TRUNCATED
    assert parse(f"{cut}# Summary: x", "t2i", "r", truncated=True).status == COMPLETE


def test_a_second_answer_behind_the_first_counts_for_nothing():
    twice = answer("2.0", refined="A fox sits.") + answer("4.0", refined="A dog.")
    for text in (twice, twice.replace("# User Request Analysis\nWhat is asked for.\n", "")):
        critique = parse(text, "t2i", "r")
        assert scores(critique) == [2.0, 3.0, NOT_APPLICABLE] and critique.refined_request == "A fox sits."


def test_scores_in_a_summary_do_not_fill_a_gap():
    decoy = answer("").replace("# Summary: Good.", "# Summary:\n**Text Faithfulness**: 4.0\n## Score: 4.0")
    critique = parse(decoy, "t2i", "r")
    assert critique.aspect("text_faithfulness").status == MISSING


def test_thinking_is_left_out():
    thought = "<think>\n" + answer("4.0") + "</think>\n"
    assert scores(parse(thought + answer("1.0"), "t2i", "r"))[0] == 1.0
    assert parse(thought.replace("</think>", ""), "t2i", "r").status == INCOMPLETE
    assert scores(parse(answer("4.0") + "</think>\n" + answer("1.0"), "t2i", "r"))[0] == 1.0


# answers that were cut off


def test_a_cut_answer_is_truncated_and_has_no_overall():
    text = answer()
    cut = parse(text[: text.index("3. Text")], "t2i", "r", truncated=True)
    assert cut.status == TRUNCATED and cut.overall is None


def test_a_number_at_the_cut_is_not_believed():
    text = answer(text_rendering="3.5")
    end = text.index("3.5")
    for length in (1, 2, 3):
        assert parse(text[: end + length], "t2i", "r", truncated=True).status == TRUNCATED
    assert parse(text[: end + 3], "t2i", "r").status == COMPLETE  # the critic itself ended there


def test_half_a_refined_request_is_not_handed_on():
    critique = parse(answer(refined="A fox on a"), "t2i", "r", truncated=True)
    assert critique.status == COMPLETE and critique.refined_request == ""
    assert any("refined request" in note for note in critique.notes)


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match="t2i.*video"):
        parse("", "video", "r")
    with pytest.raises(ValueError, match="t2i, edit, not 't2i-pair'"):
        parse("", "t2i-pair", "r")
    with pytest.raises(ValueError, match="t2i-pair, edit-pair, not 'edit'"):
        parse_pair("", "edit", "r")


# other aspects, other scales

LIGHT = Aspect(
    "score_of_light", "Score of Light", "is it lit?", ("no.", "yes."), aliases=("Lighting", "光照")
)


@pytest.mark.parametrize("name", ["4. Score of Light:", "### score-of-light", "**Lighting:**", "4. 光照："])
def test_an_aspect_of_the_users_own_is_found_by_its_names(name: str):
    profile = RATIONAL_REWARDS.changed(add=[LIGHT], drop=["text_rendering"])
    text = answer("2.5").replace("# Summary", f"{name}\n## Justification: Dim.\n## Score: 1.5\n# Summary")
    critique = parse(text, "t2i", "r", profile=profile)
    assert scores(critique) == [2.5, 3.0, 1.5] and critique.status == COMPLETE
    assert critique.aspect("score_of_light").justification == "Dim."
    # under the protocol's own profile it is a stranger, and takes nothing from the aspect before it
    assert scores(parse(text, "t2i", "r")) == [2.5, 3.0, NOT_APPLICABLE]


def test_a_name_that_begins_like_a_heading_hides_neither():
    text_only = Aspect("user", "User", "is the user content?", ("no.", "yes."))
    profile = RATIONAL_REWARDS.changed(add=[text_only])
    added = answer("2.5").replace("# Summary", "4. User:\n## Score: 3.5\n# Summary")
    critique = parse(added, "t2i", "r", profile=profile)
    assert scores(critique) == [2.5, 3.0, NOT_APPLICABLE, 3.5]
    assert critique.analysis == "What is asked for." and critique.refined_request == "A fox."


def test_another_scale_is_the_profiles():
    text = (
        "# Detailed Judgement\n1. Semantic Consistency:\n## Justification: x\n## Score: (0.0 to 10.0): 7.5\n"
        "2. Perceptual Quality:\n## Justification: y\n## Score: 11/10\n# Summary: z"
    )
    critique = parse(text, "t2i", "r", profile=VIESCORE)
    assert scores(critique) == [7.5, 10.0] and critique.scale == (0.0, 10.0)
    assert (critique.overall, critique.reward) == (8.75, 0.875)
    assert any("outside 0 to 10" in note for note in critique.notes)
    pair = text.replace("Score: (0.0 to 10.0): 7.5", "Scores: A 7.5, B 6").replace("Score:", "Scores: A 9, B")
    verdict = parse_pair(pair, "t2i-pair", "r", profile=VIESCORE)
    assert [(a.score_a, a.score_b) for a in verdict.aspects] == [(7.5, 6.0), (9.0, 10.0)]
    assert verdict.scale == (0.0, 10.0)


def test_the_summary_holds_what_the_command_line_promises():
    told = summary_dict(parse(answer(), "t2i", "r"))
    assert list(told) == ["status", "overall", "reward", "aspects", "summary", "refinement_comments"] + [
        "refined_request",
        "notes",
    ]
    assert told["aspects"]["text_faithfulness"] == {
        "status": SCORED,
        "score": 2.0,
        "justification": "The fox is there.",
    }
    pair = summary_dict(parse_pair(answer(), "t2i-pair", "r"))
    assert list(pair) == ["status", "overall_a", "overall_b", "winner", "aspects", "summary", "notes"]
    assert pair["aspects"]["text_faithfulness"] == {
        "status": MISSING,
        "score_a": None,
        "score_b": None,
        "winner": None,
        "justification": "The fox is there.\n## Score: 2.0",
    }
