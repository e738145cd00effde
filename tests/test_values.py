"""What stands behind the headings: scores as written, and refined requests freed of what is around them."""

from __future__ import annotations

import pytest
from rr_tests.answers import answer, scores

from rr_models.judgement.answer_format import NOT_APPLICABLE_TEXT
from rr_models.judgement.critique import COMPLETE, INCOMPLETE, MISSING, NOT_APPLICABLE
from rr_models.judgement.verdict import TIE, A, B
from rr_models.parsing.parse import parse
from rr_models.parsing.scores import pair_values, score, winner


@pytest.mark.parametrize(
    ("written", "score"),
    [
        ("3.5", 3.5),
        ("3", 3.0),
        ("3,5", 3.5),
        ("**3.5**", 3.5),
        ("[3.5]", 3.5),
        ("3.5/4", 3.5),
        ("3.5 out of 4.0", 3.5),
        ("3.5  (good)", 3.5),
        ("3.0-3.5", 3.25),
        ("3 to 4", 3.5),
        ("between 3 and 3.5", 3.25),
        ("approximately 2.5", 2.5),
        ("\n3.5", 3.5),
        ("\n\n**3.5**", 3.5),
        ("２．５", 2.5),
        ("(1.0 to 4.0): 3.5", 3.5),
        ("4.5", 4.0),
        ("0", 1.0),
        ("(float) 3.5", 3.5),
        ("(1.0 to 4.0) **3.5**", 3.5),
        ("+3.5", 3.5),
        (r"\boxed{3.5}", 3.5),
        ("3.5分", 3.5),
        ("3.5 (1 leg is missing)", 3.5),
        ("3.5 because a leg is missing", 3.5),
        ("3.5 good", 3.5),
        ("3.5 on a scale of 1.0 to 4.0", 3.5),
        ("3.5 (满分 4.0)", 3.5),
        ("I'd rate this a 3.5", 3.5),
        ("nearly 3.5", 3.5),
        ("3.5\u200b", 3.5),
        ("3.5<|im_end|>", 3.5),
        ("3.5!", 3.5),
        ("less than < 3.5", MISSING),
        ("3.5 for the fox, 2 for the chair", MISSING),
        ("Good (3.5)", 3.5),
        ("The score is 3.5", 3.5),
        ("a solid 3.5", 3.5),
        ("<b>3.5</b>", 3.5),
        ("$3.5$", 3.5),
        ("{3.5}", 3.5),
        ("<3.5>", 3.5),
        ("3.5/4 (88%)", 3.5),
        ("<3.5", MISSING),
        ("3..5", MISSING),
        ("3.5, N/A", MISSING),
        ("3.5 (out of 4.0)", 3.5),
        ("3.5 - a leg is missing", 3.5),
        ("3.5 - 1 leg is missing", MISSING),
        ("3 - 2 of the cats missing", MISSING),
        ("3.5 to 1 decimal", MISSING),
        ("2 and 3 legs are wrong", MISSING),
        ("3 of 4 legs are right", MISSING),
        ("4.0 would be too kind", MISSING),
        ("4 - 3.5", MISSING),
        ("4->3.5", MISSING),
        ("4.0, no, 3.5", MISSING),
        ("3.5 (4.0)", MISSING),
        ("~~4.0~~ 3.5", MISSING),
        ("3 . 5", MISSING),
        ("-3.5", MISSING),
        ("0.875", MISSING),
        ("None of it is right: 1.0", MISSING),
        ("无明显瑕疵，3.5", MISSING),
        ("excellent", MISSING),
        ("8/10", MISSING),
        ("85%", MISSING),
        ("85", MISSING),
        ("3D", MISSING),
        ("", MISSING),
        ("N/A", MISSING),  # this aspect always applies
    ],
)
def test_a_score_as_written(written: str, score):
    critique = parse(answer(written), "t2i", "r")
    assert scores(critique) == [score, 3.0, NOT_APPLICABLE]
    assert critique.status == (INCOMPLETE if score == MISSING else COMPLETE)


@pytest.mark.parametrize(
    "written", ["N/A", "n/a", "NA", "N/A - the 2 images", "Not applicable (0)", "不适用"]
)
def test_not_applicable_as_written(written: str):
    assert scores(parse(answer("2.0", written), "t2i", "r"))[2] == NOT_APPLICABLE


@pytest.mark.parametrize(
    "written", ["None of the text is legible: 1.0", "无明显瑕疵，3.5", "None: 1.0", "N/A? No, 3.0", "nothing"]
)
def test_not_applicable_only_beyond_doubt(written: str):
    assert scores(parse(answer("2.0", written), "t2i", "r"))[2] == MISSING


def test_whatever_was_mended_is_noted():
    assert any("4.5" in note for note in parse(answer("4.5"), "t2i", "r").notes)
    assert any("always applies" in note for note in parse(answer("N/A"), "t2i", "r").notes)
    assert any("excellent" in note for note in parse(answer("excellent"), "t2i", "r").notes)
    assert parse(answer("2.0"), "t2i", "r").notes == ()


@pytest.mark.parametrize(
    "refined",
    [
        '"A fox."',
        "“A fox.”",
        "[A fox.]",
        "**A fox.**",
        "`A fox.`",
        "```text\nA fox.\n```",
        "A fox.\nNote: short.",
        "A fox. (Note: short.)",
        "A fox.\n\nThis prompt says it plainly.",
        "A fox.\n\nI hope this helps!",
        "A fox.\n\n> Note: short.",
        "A fox.\n（注：短）",
        "The refined request is: 'A fox.'",
        'New prompt: “A fox."',
        '"""A fox."""',
        '"A fox.',
        "A fox.\nChanges made: none.",
        "A fox.</answer>",
        "> A fox.",
        "- A fox.",
        "1. A fox.",
        '**Refined Request:** "A fox."',
        '\n**Refined Request:** "A fox."',
        '"A fox." (adds detail)',
        '"A fox."\n\nThis adds detail.',
        '**"A fox."** This adds detail.',
        "```text\nA fox.\n```\nThis adds detail.",
        "Here is the refined request:\n```\nA fox.\n```",
        "Here is the refined request: A fox.",
        "A fox.\n```",
        "A fox.\n# Overall Score: 3.0",
        "A fox.\n# Final Verdict\nGood.",
        "A fox.\n1. Text Faithfulness: 4.0",
        "A draft.\n## Refined Request: A fox.",
        "A draft.\nRefined Request: A fox.",
    ],
)
def test_a_refined_request_is_freed_of_its_wrapping(refined: str):
    assert parse(answer(refined=refined), "t2i", "r").refined_request == "A fox."


def test_quotes_within_a_refined_request_stay():
    refined = '"OPEN" on the left and "CLOSED" on the right'
    assert parse(answer(refined=refined), "t2i", "r").refined_request == refined


@pytest.mark.parametrize(
    "refined",
    [
        "No refinement needed.",
        "No changes are necessary, it is perfect.",
        "N/A (already perfect)",
        "None.",
        "Same as the original request.",
        "(the whole new request)",
        "I'm sorry, I can't help with that.",
        "无需修改",
        "---",
    ],
)
def test_what_is_no_request_is_not_handed_on(refined: str):
    assert parse(answer(refined=refined), "t2i", "r").refined_request == ""


@pytest.mark.parametrize(
    "refined",
    [
        "A chart.\nSummary: profits\nis painted on it.",
        "None of the dogs wear hats.",
        "No dogs, no cats.",
        "No changes to the sky; add a red hat.",
        "“Stop” (in red) on a sign",
        "Same pose as before, but red.",
        "A fox.\n\nStyle: watercolor.\n- soft light",
    ],
)
def test_an_odd_request_is_left_whole(refined: str):
    assert parse(answer(refined=refined), "t2i", "r").refined_request == refined


def test_a_refined_request_in_an_image_is_none():
    text = answer("2.0").replace("Clean.", "It reads\nRefined Request: A dog.\n## Refined Request: A dog.")
    critique = parse(text, "t2i", "r")
    assert scores(critique) == [2.0, 3.0, NOT_APPLICABLE] and critique.refined_request == "A fox."
    asked = answer(refined="").replace("What is asked", "Refined Request: A dog.\n## Refined Request: A dog.")
    assert parse(asked, "t2i", "r").refined_request == ""


def test_a_whole_answer_in_a_fence():
    critique = parse(f"```markdown\n{answer()}```", "t2i", "r")
    assert scores(critique) == [2.0, 3.0, NOT_APPLICABLE] and critique.refined_request == "A fox."


def test_what_was_written_is_kept_where_it_was_mended():
    def written(text: str) -> float | None:
        return parse(answer(text), "t2i", "r").aspects[0].written

    assert written("4.5") == 4.5 and written("0") == 0.0
    assert written("3.0-3.5") == 3.0  # of a range the first number, as other readers take it
    assert written("3.5") is None and written("8/10") is None


@pytest.mark.parametrize(
    ("text", "scale", "numbers"),
    [
        ("8/10", (0.0, 10.0), (8.0,)),
        ("8 (0 to 10)", (0.0, 10.0), (8.0,)),
        ("(0.0 - 10.0): 7.5", (0.0, 10.0), (7.5,)),
        ("11", (0.0, 10.0), (11.0,)),
        ("0.5", (0.0, 10.0), (0.5,)),
        ("3.5/4", (0.0, 10.0), None),
        ("85", (0.0, 10.0), None),
        ("85", (0.0, 100.0), (85.0,)),
        ("4.5/5", (1.0, 5.0), (4.5,)),
        ("0.875", (0.0, 1.0), (0.875,)),
        ("-1.5", (-2.0, 2.0), (-1.5,)),
        ("-1 to 1", (-2.0, 2.0), (-1.0, 1.0)),
        ("-1.5", (0.0, 10.0), None),
    ],
)
def test_numbers_follow_the_scale(text: str, scale, numbers):
    assert score(text, scale=scale) == numbers


@pytest.mark.parametrize(
    ("text", "named"),
    [
        *[
            (text, A)
            for text in ("Image A", "A", "**A**", "[Image A]", "Image A wins", "A, because B is dull")
        ],
        *[
            (text, A)
            for text in ("A (clearly)", "A > B", "Image A over Image B", "the winner is image a", "图像A")
        ],
        *[(text, B) for text in ("Image B.", "B - sharper", "Image B is better", "图像B更好", "（B）")],
        *[
            (text, TIE)
            for text in ("It's a tie", "It’s a tie.", "Tie", "Both equal", "Draw", "Neither", "A = B")
        ],
        *[(text, TIE) for text in ("a tie between A and B", "Both images are equally good", "平局", "Even")],
        *[(text, NOT_APPLICABLE_TEXT) for text in ("N/A", "Not applicable", "None", "不适用")],
        *[(text, None) for text in ("A/B", "A or B", "Image A, Image B, It's a tie", "Not A", "Image 1", "")],
        *[(text, None) for text in ("A slight edge to B", "A fox is missing", "Even though A is sharper")],
    ],
)
def test_a_winner_as_written(text: str, named):
    assert winner(text) == named


@pytest.mark.parametrize(
    ("text", "side", "values"),
    [
        ("A 3.5, B 2.0", "", {"a": (3.5,), "b": (2.0,)}),
        ("Image A = 3.5/4; Image B = 2/4", "", {"a": (3.5,), "b": (2.0,)}),
        ("B 2.0, A 3.5", "", {"a": (3.5,), "b": (2.0,)}),
        ("3.0, Score B: 2.5, Winner: A", "a", {"a": (3.0,), "b": (2.5,), "winner": A}),
        ("3.5 / 2.0", "ab", {"a": (3.5,), "b": (2.0,)}),
        ("3.5 vs 2.0", "", {"a": (3.5,), "b": (2.0,)}),
        ("图像A：3分，图像B：2分", "", {"a": (3.0,), "b": (2.0,)}),
        ("N/A", "", {"a": NOT_APPLICABLE_TEXT, "b": NOT_APPLICABLE_TEXT}),
        ("3.5 (B: 2.0 in comparison)", "a", {"a": None}),
        ("3.5 / 2.0", "", {}),
        ("3.5", "", {}),
        ("both 3.5", "", {}),
    ],
)
def test_scores_of_two_as_written(text: str, side: str, values: dict):
    assert pair_values(text, side) == values
