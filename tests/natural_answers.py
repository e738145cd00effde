"""Well-formed answers as critics of this kind write them, each with the scores that a person would read.

`ANSWERS` are read by the parser as complete with these scores. Of those in `NOT_READ` it finds some scores
missing, for the reason given there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rr_tests import natural_parts as parts
from rr_tests.natural_parts import CARD, EDIT, FOX, PAIR, SIGN, TEST_TIME, TEST_TIME_PAIR, Dress, Texts

NA = None
"""The score of an aspect that does not apply."""
Scores = tuple["float | None | tuple[float, float, str]", ...]
"""One for each aspect: a number, of a pair A's and B's and the winner ("A", "B" or "tie"), or NA."""
USUAL = (3.5, 3.0, NA)
USUAL_TEXT = ("3.5", "3.0", "N/A")
EDIT_USUAL = (4.0, 2.5, 3.5, NA)
EDIT_TEXT = ("4.0", "2.5", "3.5", "N/A")
NA_TEXT = ("N/A", "N/A", "N/A")
PAIR_USUAL = ((3.5, 2.0, "A"), (3.5, 2.5, "A"), NA)
PAIR_TEXT = (("3.5", "2.0", "Image A"), ("3.5", "2.5", "Image A"), NA_TEXT)
EDIT_PAIR_USUAL = ((3.5, 3.0, "A"), (2.5, 3.5, "B"), (3.0, 3.0, "tie"), NA)
WON = ("Image A", "Image B", "It's a tie")


@dataclass(frozen=True)
class NaturalAnswer:
    """An answer and the scores in it. `reason`: why the parser reads something else, if it does."""

    name: str
    task: str
    text: str
    scores: Scores
    style: str = "card"
    reason: str = ""


def _t2i(name, dress: Dress = CARD, texts=FOX, spelled=USUAL_TEXT, scores=USUAL, **more) -> NaturalAnswer:
    return NaturalAnswer(name, "t2i", dress.text(texts, spelled), scores, **more)


def _edit(name, dress: Dress = CARD, texts=EDIT, spelled=EDIT_TEXT, scores=EDIT_USUAL, **more):
    return NaturalAnswer(name, "edit", dress.text(texts, spelled), scores, **more)


def _pair(name, dress: Dress = PAIR, spelled=PAIR_TEXT, scores=PAIR_USUAL, texts=parts.FOX_PAIR, **more):
    return NaturalAnswer(name, "t2i-pair", dress.text(texts, spelled), scores, **more)


def _edit_pair(name, dress: Dress = PAIR, won=WON, **more) -> NaturalAnswer:
    spelled = (("3.5", "3.0", won[0]), ("2.5", "3.5", won[1]), ("3.0", "3.0", won[2]), NA_TEXT)
    return NaturalAnswer(name, "edit-pair", dress.text(parts.EDIT_PAIR, spelled), EDIT_PAIR_USUAL, **more)


def _spelled(name: str, *spelled: str, scores=USUAL, **more) -> NaturalAnswer:
    """The usual answer with its scores spelled so."""
    return _t2i(name, spelled=spelled, scores=scores, **more)


def _lines(name: str, **lines: str) -> NaturalAnswer:
    """The usual answer with some lines written so."""
    return _t2i(name, replace(CARD, **lines))


def _says(name: str, **words) -> NaturalAnswer:
    """The usual answer with some other words."""
    return _t2i(name, texts=replace(FOX, **words))


def _reasons(reason: str, texts: Texts = FOX) -> Texts:
    """The texts with another reason for the first aspect."""
    return replace(texts, reasons=(reason, *texts.reasons[1:]))


def _because(name: str, said: str, **more) -> NaturalAnswer:
    """The usual answer with another reason for its first score."""
    return _t2i(name, texts=_reasons(said), **more)


def _won(name: str, first: str, second: str) -> NaturalAnswer:
    """The usual comparison with its winners spelled so."""
    return _pair(name, spelled=(("3.5", "2.0", first), ("3.5", "2.5", second), NA_TEXT))


AS_ASKED = [
    _t2i("card"),
    _t2i("card, with text to render", CARD, SIGN, ("4.0", "3.5", "2.5"), (4.0, 3.5, 2.5)),
    _edit("card, edit"),
    _t2i("single", style="single"),
    _edit("single, edit", style="single"),
    _t2i("test-time", TEST_TIME, style="test-time"),
    _edit("test-time, edit", TEST_TIME, style="test-time"),
    _pair("pair"),
    _edit_pair("edit pair"),
    _pair("pair, test-time", TEST_TIME_PAIR, style="test-time"),
    _edit_pair("edit pair, single", style="single"),
]

SCORE_SPELLINGS = [
    _spelled("whole numbers", "4", "3", "N/A", scores=(4.0, 3.0, NA)),
    _edit("whole numbers, edit", spelled=("4", "2", "3", "1"), scores=(4.0, 2.0, 3.0, 1.0)),
    _spelled("two decimals", "3.75", "3.25", "N/A", scores=(3.75, 3.25, NA)),
    _spelled("3/4", "3/4", "2/4", "N/A", scores=(3.0, 2.0, NA)),
    _spelled("3.5 / 4", "3.5 / 4", "3.0 / 4", "N/A"),
    _edit("3.5/4.0", spelled=("4.0/4.0", "2.5/4.0", "3.5/4.0", "N/A")),
    _spelled("3 out of 4", "3 out of 4", "2 out of 4", "N/A", scores=(3.0, 2.0, NA)),
    _spelled("3 (out of 4)", "3 (out of 4)", "2 (out of 4)", "N/A", scores=(3.0, 2.0, NA)),
    _spelled("points", "3.5 points", "3.0 points", "N/A"),
    _spelled("half", "3½", "3", "N/A"),
    _spelled("a full stop", "3.5.", "3.0.", "N/A."),
    _spelled("bold scores", "**3.5**", "**3.0**", "**N/A**"),
    _spelled("brackets", "[3.5]", "[3.0]", "[N/A]"),
    _spelled("round brackets", "(3.5)", "(3.0)", "(N/A)"),
    _spelled("code marks", "`3.5`", "`3.0`", "`N/A`"),
    _spelled("about", "~3.5", "about 3.0", "N/A"),
    _spelled("decimal comma", "3,5", "3,0", "N/A"),
    _spelled("full-width digits", "３．５", "３．０", "N/A"),
    _spelled("words behind", "3.5 - the chair is green", "3.0, because of the leg", "N/A"),
    _spelled("words in brackets", "3.5 (wrong colour)", "3.0 (bent leg)", "N/A (no text requested)"),
    _spelled("grade before", "Good (3.5)", "Fair (3.0)", "N/A"),
    _spelled("n/a", "3.5", "3.0", "n/a"),
    _spelled("not applicable", "3.5", "3.0", "Not applicable"),
    _edit("not applicable, and why", spelled=("4.0", "2.5", "3.5", "Not applicable (no text in the edit)")),
    _spelled("NA", "3.5", "3.0", "NA"),
    _spelled("N / A", "3.5", "3.0", "N / A"),
    _spelled("none", "3.5", "3.0", "None"),
    _spelled("N/A, and why", "3.5", "3.0", "N/A, since the request asks for no text."),
    _lines("no blank", score="## Score:{}\n"),
    _lines("two blanks", score="## Score:  {}\n"),
    _lines("blank behind", score="## Score: {} \n"),
    _lines("score on its own line", score="## Score:\n{}\n"),
    _lines("score below a blank line", score="## Score:\n\n{}\n\n"),
    _lines("blank line behind", score="## Score: {}\n\n"),
    _lines("full-width colon", score="## Score：{}\n"),
    _lines("with its scale in decimals", score="## Score (1.0 to 4.0): {}\n"),
    _lines("rating", score="## Rating: {}\n"),
    _lines("equals sign", score="Score = {}\n"),
    *(
        _lines(f"score as {line!r}", score=f"{line}\n")
        for line in (
            *("## Final Score: {}", "Final score: {}", "My score: {}", "**Assigned Score:** {}", "Grade: {}"),
            *("Score - {}", "Score—{}", "**Score**-{}", "**Score** {}/4", "<b>Score:</b> {}"),
            *("<strong>Score: {}</strong>", "## Score (out of 4): {}", "Score/4: {}", "(Score: {})"),
            *("**Score for this aspect:** {}", "[Score: {}]", "[Score]: {}", "**(Score: {})**"),
        )
    ),
    *(
        _t2i(f"score as {line!r}", replace(parts.CHINESE, score=f"{line}\n"), parts.FOX_ZH)
        for line in (
            *("最终评分：{}", "## 最终得分：{}", "（评分：{}）", "【评分：{}】", "评分 - {}", "评分——{}"),
            *("评分＝{}", "评分{}", "得分为{}", "**评分** {}/4", "## 评分\n{}（原因如上）"),
            *("评分（满分4分）：{}", "本项得分：{}"),
        )
    ),
    _spelled("check mark", "3.5 ✅", "3.0 ⚠️", "N/A"),
    _t2i(
        "a remark behind a score on its own line",
        replace(CARD, score="## Score:\n{}\n"),
        spelled=("3.5 (wrong colour)", "3.0 - bent leg", "N/A"),
    ),
    _t2i(
        "with its scale", replace(CARD, score="## Score (1-4): {}\n"), FOX, ("3", "2", "N/A"), (3.0, 2.0, NA)
    ),
]

HEADINGS = [
    _t2i("bold headings", parts.BOLD),
    _edit("bold headings, edit", parts.BOLD),
    _t2i("bold headings, test-time", replace(parts.BOLD, score_first=True), style="test-time"),
    _t2i("### headings and blank lines", parts.MARKDOWN),
    _edit("### headings and blank lines, edit", parts.MARKDOWN, style="single"),
    _t2i("labels without marks", parts.PLAIN),
    _edit("labels without marks, edit", parts.PLAIN),
    _t2i("bullets", parts.BULLETS),
    _edit("bullets, edit", parts.BULLETS),
    _t2i("lower case", parts.LOWER),
    _t2i("capitals", parts.UPPER),
    _edit("rules between", parts.RULES),
    _t2i("blank lines everywhere", parts.SPACED),
    _lines("blank lines behind headings", aspect="{number}. {name}:\n\n"),
    _lines("aspects under ###", aspect="### {number}. {name}\n"),
    _lines(
        "aspects under ##, parts under ###",
        aspect="## {number}. {name}\n",
        reason="### Justification: {}\n",
        score="### Score: {}\n",
    ),
    _lines("bold aspects", aspect="**{number}. {name}:**\n"),
    _lines("bold names", aspect="{number}. **{name}**:\n"),
    _lines("aspects without numbers", aspect="**{name}**\n"),
    _lines("aspects without marks", aspect="{name}:\n"),
    _lines("1)", aspect="{number}) {name}:\n"),
    _says("an ampersand", aspects=("Text Faithfulness", "Physical & Visual Quality", "Text Rendering")),
    _lines("bold parts in hashes", reason="## **Justification:** {}\n", score="## **Score:** {}\n"),
    _t2i("emoji before headings", replace(parts.BOLD, score="⭐ **Score:** {}\n\n")),
    _lines("Aspect 1:", aspect="## Aspect {number}: {name}\n"),
    _lines("parts with letters", reason="a) Justification: {}\n", score="b) Score: {}\n"),
    _lines("reasons without a heading", reason="{}\n"),
    _t2i(
        "score beside the name",
        replace(CARD, aspect="### {number}. {name}: ", score="{}\n", reason="{}\n", score_first=True),
    ),
    _t2i(
        "score in brackets beside the name",
        replace(CARD, aspect="{number}. **{name}** ", score="({}/4)\n", reason="{}\n", score_first=True),
    ),
    _lines("American spelling", judgement="# Detailed Judgment\n"),
    _t2i("reason and score in short", parts.ONE_LINE),
    _t2i("score first in card style", replace(CARD, score_first=True)),
    _t2i("reason first in test-time style", style="test-time"),
    _t2i("Chinese", parts.CHINESE, parts.FOX_ZH, ("3.5", "3.0", "不适用")),
    _edit("Chinese, edit", parts.CHINESE, parts.EDIT_ZH, ("4", "2.5分", "3.5", "不适用（无文字）")),
    _t2i("Chinese in brackets", parts.IN_BRACKETS, parts.FOX_ZH),
    _t2i(
        "Chinese words under English headings",
        texts=replace(parts.FOX_ZH, aspects=parts.T2I_ASPECTS),
    ),
]

THOUGHTS = (
    "<think>\nThe chair looks green to me. Text Faithfulness maybe 3?\n## Score: 3.0\nNo, 3.5 is fair.\n"
    "</think>\n\n"
)
RECAP = (
    "Scores:\n1. Text Faithfulness: 3.5/4\n2. Physical and Visual Quality: 3/4\n3. Text Rendering: N/A\n"
    "Overall: 3.25/4"
)
SCORES_TABLE = (
    "\n\n| Aspect | Score |\n|---|---|\n| Text Faithfulness | 3.5 |\n| Physical and Visual Quality | 3.0 |\n"
    "| Text Rendering | N/A |\n\n"
)
TO_JUDGE = (
    "To judge:\n1. Text Faithfulness: fox, chair, colours\n2. Physical and Visual Quality: light\n"
    "3. Text Rendering: N/A"
)
SIGN_TEXT, SIGN_SCORES = ("4.0", "3.5", "2.5"), (4.0, 3.5, 2.5)
WORDS = [
    _because("a long reason", parts.LONG),
    _edit("a long reason, edit", texts=_reasons(parts.LONG, EDIT)),
    _because("a numbered list in a reason", parts.LISTED),
    _because("bullets in a reason", parts.BULLETED),
    _because(
        "scores in a reason",
        "A perfect match would be a 4.0. The wrong colour costs half a point, so that 3.5 remains.",
    ),
    _t2i(
        "a quote in a reason",
        CARD,
        _reasons('The poster says "Score: 4" in the corner and "# Summary" below it.', SIGN),
        SIGN_TEXT,
        SIGN_SCORES,
    ),
    _because(
        "strengths and weaknesses",
        "\n**Strengths:** the fox is red and asleep.\n**Weaknesses:** the chair is green.",
    ),
    _because("emoji", "The fox 🦊 is red ✅, the chair 🪑 is green ❌."),
    _because("curly quotes and dashes", "It’s a “red fox” – asleep – but the chair isn’t blue…"),
    _because("bold names in a list", "\n1. **Fox**: red.\n2. **Chair**: green.\n3. **Light**: soft."),
    _because("a checklist in a reason", "\n- [x] fox\n- [x] asleep\n- [ ] blue chair"),
    _because("a hashtag in a reason", "The caption\n#redfox\nis missing."),
    _because(
        "deductions in a reason",
        "Most is right.\nDeductions:\n- colour: -0.5\nI therefore give a score of 3.5.",
    ),
    _because(
        "an aspect named in a reason",
        "**Text Faithfulness** is good.\nPhysical and Visual Quality: see below.",
    ),
    _because("sub-headings in a reason", "\n### Fox\nred\n### Chair\ngreen"),
    _because("a conclusion in a reason", "It is green.\nConclusion: the colour is wrong."),
    _because("a summary in a reason", "The chair is green.\nSummary: nearly right."),
    _says("a list in the analysis", analysis=TO_JUDGE),
    _says(
        "labels in the analysis", analysis="**Subject:** a red fox\n**State:** asleep\n**Object:** a chair"
    ),
    _says("scores again in the summary", summary=RECAP),
    _lines("scores again in a table", summary="# Summary: {}" + SCORES_TABLE),
    _lines("an overall score", summary="**Overall Score:** 3.3/4\n\n# Summary: {}\n"),
    _says(
        "lists in the refinement",
        comments="\n1. **Colour:** name it twice.\n2. Physical quality: ask for straight legs.",
        refined="\n1. A red fox, asleep.\n2. A blue chair.\n3. Soft light.",
    ),
    _says(
        "labels in the request",
        refined="A fox asleep on a chair.\n\n**Setting:** a blue chair\nStyle: photo\nNegative prompt: legs",
    ),
    _t2i(
        "a request for a score and a summary",
        CARD,
        replace(SIGN, refined='A poster with the title "Score: 4" and below it\n"Summary"'),
        SIGN_TEXT,
        SIGN_SCORES,
    ),
    _says("no change needed", comments="None needed.", refined="No refinement needed; it can stay as it is."),
    _lines("preamble", before="Sure, here is my evaluation of the image:\n\n"),
    _t2i(
        "preamble in test-time style",
        replace(TEST_TIME, before="Here is a detailed evaluation.\n\n"),
        style="test-time",
    ),
    _t2i(
        "analysis under a heading in test-time style",
        replace(TEST_TIME, analysis=CARD.analysis),
        style="test-time",
    ),
    _lines("empty thinking", before="<think>\n\n</think>\n\n"),
    _lines("thinking", before=THOUGHTS),
    _pair("thinking, pair", replace(PAIR, before="<think>\nA has the blue chair, so A wins.\n</think>\n\n")),
    _lines("a quoted request", refined='## Refined Request: "{}"'),
    _lines("request on its own line", refined="## Refined Request:\n{}\n"),
    _lines("request in a fence", refined="## Refined Request:\n```\n{}\n```\n"),
    _lines("request in bold", refined="## Refined Request: **{}**"),
    _lines("hashtags in the request", after="\n#redfox #bluechair #morninglight"),
    _lines("request in two paragraphs", after="\n\nSoft focus, 35 mm lens. Aspect ratio: 3:2."),
    _lines("closing words", after="\n\nLet me know if you would like another variation!"),
    _lines("a closing note", after="\n\n---\n\n**Note:** the scores refer to the request as it was given."),
    _lines("the whole answer in a fence", before="```markdown\n", after="\n```"),
    NaturalAnswer("CRLF", "t2i", CARD.text(FOX, USUAL_TEXT).replace("\n", "\r\n"), USUAL),
]


FORMS = [
    NaturalAnswer("table", "t2i", f"# Detailed Judgement\n\n{parts.table(parts.TABLE)}{parts.END}", USUAL),
    NaturalAnswer(
        "a list of names and scores", "t2i", f"# Detailed Judgement\n{parts.LIST}{parts.END}", USUAL
    ),
    NaturalAnswer(
        "table of a pair",
        "t2i-pair",
        f"# Detailed Judgement\n\n{parts.table(parts.PAIR_TABLE)}\n\n# Summary: Image A is better.",
        PAIR_USUAL,
    ),
    NaturalAnswer("JSON", "t2i", parts.in_json(FOX, 3.5, 3.0, "N/A"), USUAL),
    NaturalAnswer("JSON in a fence", "t2i", f"```json\n{parts.in_json(FOX, 3.5, 3, 'N/A')}\n```", USUAL),
    NaturalAnswer("JSON, edit", "edit", parts.in_json(EDIT, 4, 2.5, 3.5, "N/A"), EDIT_USUAL),
]

ZH_WON = (("3.5", "2.0", "图像A"), ("3.5", "2.5", "图像A"), ("不适用", "不适用", "不适用"))
PAIRS = [
    _pair(
        "whole numbers, pair",
        spelled=(("4", "2", "Image A"), ("3", "2", "Image A"), NA_TEXT),
        scores=((4.0, 2.0, "A"), (3.0, 2.0, "A"), NA),
    ),
    _pair("3.5/4, pair", spelled=(("3.5/4", "2.0/4", "Image A"), ("3.5/4", "2.5/4", "Image A"), NA_TEXT)),
    _won("A", "A", "A"),
    _won("Image A is better", "Image A is better.", "Image A is better."),
    _won("winner with a reason", "Image A (blue chair)", "Image A, clearly"),
    _edit_pair("Tie", won=("A", "B", "Tie")),
    _edit_pair("bold winners", won=("**Image A**", "**Image B**", "**It's a tie**")),
    _pair("tie for what does not apply", spelled=(*PAIR_TEXT[:2], ("N/A", "N/A", "It's a tie"))),
    _pair(
        "bold headings, pair",
        replace(parts.BOLD, score="**Score A:** {}\n**Score B:** {}\n**Winner:** {}\n\n"),
    ),
    _pair(
        "labels without marks, pair",
        replace(parts.PLAIN, score="Score A: {}\nScore B: {}\nWinner: {}\n\n"),
    ),
    _pair(
        "scores of images",
        replace(PAIR, score="## Image A Score: {}\n## Image B Score: {}\n## Better Image: {}\n"),
    ),
    _pair("scores in one line", replace(PAIR, score="## Scores: A: {}, B: {}\n## Winner: {}\n")),
    _pair(
        "scores on their own lines", replace(PAIR, score="## Score A:\n{}\n## Score B:\n{}\n## Winner:\n{}\n")
    ),
    _pair(
        "Chinese, pair",
        replace(parts.CHINESE, score="## 图像A评分：{}\n## 图像B评分：{}\n## 胜者：{}\n"),
        ZH_WON,
        texts=parts.PAIR_ZH,
    ),
    _pair("preamble, pair", replace(PAIR, before="I will compare the two images aspect by aspect.\n\n")),
    _pair("closing words, pair", replace(PAIR, after="\nOverall winner: Image A")),
]

ANSWERS = [*AS_ASKED, *SCORE_SPELLINGS, *HEADINGS, *WORDS, *FORMS, *PAIRS]
WITHOUT_REQUEST = [
    _says("no refinement", comments="", refined=""),
    _lines("an empty refinement", comments="", refined="None needed."),
    NaturalAnswer(
        "nothing behind the scores",
        "edit",
        CARD.text(EDIT, EDIT_TEXT).partition("# Summary")[0].rstrip(),
        EDIT_USUAL,
    ),
]
"""Answers with all scores, but without a better request."""

DOUBT = "by intent: a second number or sign makes a score unreadable"
SPELLING = "a spelling that the parser does not know"


def _not_read(answer: NaturalAnswer, reason: str) -> NaturalAnswer:
    return replace(answer, reason=reason)


NOT_READ = [
    _not_read(_lines("Overall Score", score="Overall Score: {}\n"), "by intent: it may be that of the whole"),
    _not_read(_lines("Score is", score="The score is {}\n"), "by intent: a sentence is no heading"),
    _not_read(_lines("a quoted score", score="> Score: {}\n"), "by intent: a quote"),
    _spelled("number words", "Four", "Three", "N/A", scores=(4.0, 3.0, NA), reason=SPELLING),
    _spelled("a dash for N/A", "3.5", "3.0", "—", reason=SPELLING),
    _spelled("no text", "3.5", "3.0", "No text", reason=SPELLING),
    _spelled("a sum", "4 - 0.5 = 3.5", "3.0", "N/A", reason=DOUBT),
    _spelled("a sum behind", "3.5 (4.0 - 0.5 for the colour)", "3.0", "N/A", reason=DOUBT),
    _spelled("what was missing", "3.5 (a blue chair would be 4.0)", "3.0", "N/A", reason=DOUBT),
    _spelled("a sentence behind", "3.5 The chair is green.", "3.0", "N/A", reason=DOUBT),
    _because(
        "foreign headings in a reason",
        "\n## Fox\nred\n## Chair\ngreen",
        reason="by intent: a heading that is not known ends the aspect",
    ),
]
"""Answers in which a person reads more than the parser does."""
