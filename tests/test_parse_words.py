"""What may stand among an answer's words: what looks like its end, other scores, numbers in prose."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from rr_tests import natural_parts as parts
from rr_tests.answers import answer, scores

from rr_models.judgement.critique import COMPLETE, MISSING, NOT_APPLICABLE
from rr_models.parsing.parse import parse, parse_answer

CLOSINGS = (
    ["Conclusion: nearly right.", "Conclusion:", "**Conclusion:** nearly right.", "**Conclusion**"]
    + ["- Conclusion: nearly right.", "- **Conclusion**: nearly right.", "1. Conclusion: nearly right."]
    + ["## Conclusion: nearly right.", "### Conclusion", "In conclusion: nearly right."]
    + ["Summary: nearly right.", "Summary:", "**Summary:** nearly right.", "### Summary: nearly right."]
    + ["Overall:", "Overall: nearly right.", "Overall, it is nearly right.", "**Overall:** nearly right."]
    + ["Verdict: nearly right.", "Final assessment: nearly right.", "**Overall Assessment:** nearly right."]
    + ["Refinement: ask for blue.", "Suggestion: ask for blue.", "**Refined Prompt:** A blue chair."]
    + ["Improved prompt: A blue chair.", "User request analysis: what is asked", "Request analysis: as asked"]
    + ["Detailed evaluation: nearly right.", "**Detailed Comparison:** nearly right."]
    + [
        "总结：基本正确。",
        "结论：基本正确。",
        "**总结：** 基本正确。",
        "**总结**",
        "## 结论：基本正确。",
        "小结：基本正确。",
    ]
    + [
        "综合总结：基本正确。",
        "总体：基本正确。",
        "改进建议：强调蓝色。",
        "优化后的提示词：蓝色的椅子。",
        "详细评价：基本正确。",
    ]
)
DRESSES = [parts.CARD, parts.BOLD, parts.PLAIN, parts.BULLETS, parts.LOWER, parts.MARKDOWN, parts.CHINESE]
SPELLED = {"t2i": ("3.5", "3.0", "N/A"), "edit": ("4.0", "2.5", "3.5", "N/A")}
SPELLED["t2i-pair"] = (("3.5", "2.0", "Image A"), ("3.5", "2.5", "Image A"), ("N/A", "N/A", "N/A"))


@pytest.mark.parametrize("line", CLOSINGS)
@pytest.mark.parametrize("task", sorted(SPELLED))
def test_no_line_of_a_justification_ends_the_judgement(line: str, task: str):
    texts = {"t2i": parts.FOX, "edit": parts.EDIT, "t2i-pair": parts.FOX_PAIR}[task]
    dresses = {"t2i": DRESSES, "edit": [parts.CARD], "t2i-pair": [parts.PAIR]}[task]
    for dress, score_first in product(dresses, (False, True)):
        expected = parse_answer(replace(dress, score_first=score_first).text(texts, SPELLED[task]), task, "r")
        for begin in (0, len(texts.aspects) - 1):
            reasons = [f"{reason}\n{line}\nIt goes on." for reason in texts.reasons[begin:]]
            said = replace(texts, reasons=(*texts.reasons[:begin], *reasons))
            told = replace(dress, score_first=score_first).text(said, SPELLED[task])
            found = parse_answer(told, task, "r")
            assert numbers(found) == numbers(expected), told
            assert found.status == COMPLETE and found.analysis == expected.analysis
            if not score_first:
                assert found.summary == expected.summary
                assert getattr(found, "refined_request", "") == getattr(expected, "refined_request", "")


def numbers(judgement) -> list:
    names = ("status", "score", "score_a", "score_b", "winner")
    return [[getattr(aspect, name, None) for name in names] for aspect in judgement.aspects]


@pytest.mark.parametrize("line", CLOSINGS)
def test_a_line_of_the_analysis_takes_no_score_away(line: str):
    for dress in (parts.CARD, parts.BOLD, parts.PLAIN, parts.TEST_TIME):
        said = replace(parts.FOX, analysis=f"{parts.FOX.analysis}\n{line}\nIt goes on.")
        critique = parse(dress.text(said, SPELLED["t2i"]), "t2i", "r")
        assert scores(critique) == [3.5, 3.0, NOT_APPLICABLE]


@pytest.mark.parametrize("heading", ["# Summary:", "## Summary:", "**Summary:**", "Summary:", "Conclusion:"])
@pytest.mark.parametrize("decoy", ["## Score: 4.0", "**Score:** 4.0", "Score: 4.0", "(Score: 4.0)"])
def test_a_score_below_the_summary_is_not_that_of_the_last_aspect(heading: str, decoy: str):
    text = (
        answer("2.0", "x").replace("## Score: x\n", "").replace("# Summary:", f"{heading} Good.\n{decoy}\n")
    )
    assert scores(parse(text, "t2i", "r")) == [2.0, 3.0, MISSING]


@pytest.mark.parametrize(
    "line", ["Final Score: 3.0", "**Final Score:** 3.0", "## Final Score: 3.0", "最终评分：3.0"]
)
def test_a_final_score_is_an_aspects_only_if_all_have_one(line: str):
    own = answer("2.0", "4.0")
    for text in (own.replace("# Summary", f"{line}\n# Summary"), own.replace("## Score: 4.0", line)):
        last = 4.0 if "## Score: 4.0" in text else MISSING
        assert scores(parse(text, "t2i", "r")) == [2.0, 3.0, last]
    finals = own.replace("## Score: 2.0", line).replace("## Score: 3.0", line).replace("## Score: 4.0", line)
    assert scores(parse(finals, "t2i", "r")) == [3.0, 3.0, 3.0]
    again = finals.replace("# Summary", f"{line.replace('3.0', '1.0')}\n# Summary")
    assert scores(parse(again, "t2i", "r")) == [3.0, 3.0, 3.0]


PROSE = (
    [
        "Scores about 3 of 4 legs.",
        "Score about 3 of 4 legs are right.",
        "score-based 3.5",
        "Score 3 of 4 legs",
    ]
    + ["Score—three of 4 legs", "Score-3 legs are missing", "(Score 3 of 4 legs)", "(Score: 4 of the legs)"]
    + [
        "The score is 4.0 for a perfect match.",
        "A score of 4.0 would be right.",
        "Rating it 4.0 is too much.",
    ]
    + [
        "评分标准4.0",
        "评分4.0的要求是完全符合",
        "评分为4.0的图片没有错误",
        "得分点有4个",
        "（评分4.0才算完全符合）",
    ]
    + ["Final scores are 4.0 at best.", "My score would be 4.0 with a blue chair.", "Grade 4.0 work is rare."]
    + ["<b>Scores</b> like 4.0 are rare", "[Score] 4 legs", "最终评分标准为4.0"]
)


@pytest.mark.parametrize("line", PROSE)
def test_a_number_in_prose_is_never_a_score(line: str):
    text = answer("2.0").replace("The fox is there.", f"The fox is there.\n{line}\nSo much.")
    assert scores(parse(text, "t2i", "r")) == [2.0, 3.0, NOT_APPLICABLE]
    alone = parse(text.replace("## Score: 2.0\n", ""), "t2i", "r")
    assert scores(alone) == [MISSING, 3.0, NOT_APPLICABLE]
