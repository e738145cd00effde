"""Well-formed answers as critics of this kind write them, each with the scores that a person would read.

An answer is made of `Texts` (what it says), a `Dress` (how its lines are written) and scores as they are
spelled. `ANSWERS` are read by the parser as complete with these scores; of those in `NOT_READ` it reads
something else, for the reason given there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

T2I_ASPECTS = ("Text Faithfulness", "Physical and Visual Quality", "Text Rendering")
EDIT_ASPECTS = ("Text Faithfulness", "Image Faithfulness", "Physical and Visual Quality", "Text Rendering")

NA = None
"""The score of an aspect that does not apply."""
Scores = tuple["float | None | tuple[float, float, str]", ...]
"""One for each aspect: a number, of a pair A's and B's and the winner ("A", "B" or "tie"), or NA."""


@dataclass(frozen=True)
class NaturalAnswer:
    """An answer and the scores in it. `reason`: why the parser reads something else, if it does."""

    name: str
    task: str
    text: str
    scores: Scores
    style: str = "card"
    reason: str = ""


@dataclass(frozen=True)
class Texts:
    """What an answer says: one reason for each aspect."""

    analysis: str
    reasons: tuple[str, ...]
    summary: str
    comments: str = ""
    refined: str = ""
    aspects: tuple[str, ...] = T2I_ASPECTS


@dataclass(frozen=True)
class Dress:
    """How the lines of an answer are written, with their line ends. Of pairs, `score` has three slots."""

    before: str = ""
    analysis: str = "# User Request Analysis\n{}\n"
    judgement: str = "# Detailed Judgement\n"
    aspect: str = "{number}. {name}:\n"
    reason: str = "## Justification: {}\n"
    score: str = "## Score: {}\n"
    summary: str = "# Summary: {}\n"
    refinement: str = "# User Request Refinement:\n"
    comments: str = "## Refinement Comments: {}\n"
    refined: str = "## Refined Request: {}"
    after: str = ""
    score_first: bool = False

    def text(self, texts: Texts, scores: Sequence[str | tuple[str, ...]]) -> str:
        """The answer with these scores, as they are spelled."""
        parts = [self.before, self.analysis.format(texts.analysis), self.judgement]
        for number, name in enumerate(texts.aspects):
            spelled = scores[number]
            score = self.score.format(*([spelled] if isinstance(spelled, str) else spelled))
            reason = self.reason.format(texts.reasons[number])
            parts.append(self.aspect.format(number=number + 1, name=name, NAME=name.upper()))
            parts += [score, reason] if self.score_first else [reason, score]
        parts.append(self.summary.format(texts.summary))
        if texts.refined:
            parts += [self.refinement, self.comments.format(texts.comments)]
            parts.append(self.refined.format(texts.refined))
        return "".join([*parts, self.after])


CARD = Dress()
TEST_TIME = Dress(analysis="{}\n", score_first=True)
PAIR = Dress(score="## Score A: {}\n## Score B: {}\n## Winner: {}\n")
TEST_TIME_PAIR = replace(PAIR, analysis="{}\n")

FOX = Texts(
    "The user wants a photo of a red fox asleep on a blue chair in soft morning light.",
    (
        "The fox is red and asleep, and the chair is there, but it is green instead of blue.",
        "Fur and light look natural; one leg of the chair bends where it meets the floor.",
        "The request asks for no writing in the image.",
    ),
    "A pleasant image with the wrong colour on the chair.",
    "Name the colour of the chair twice, and ask for straight legs.",
    "A photo of a red fox asleep on a bright blue wooden chair with straight legs, soft morning light.",
)
SIGN = replace(
    FOX,
    analysis='The user wants a shop window with a sign that reads "OPEN 24/7".',
    reasons=(
        "Window and sign are both there, seen from the street as asked.",
        "Reflections in the glass are consistent; the frame is slightly crooked.",
        'The sign reads "OPEN 24/7", but the "4" is hard to tell from an "A".',
    ),
    summary="The window is right, and the sign nearly so.",
    comments="Ask for larger, plain letters.",
    refined='A shop window at night, a red neon sign that reads "OPEN 24/7" in large plain letters.',
)
EDIT = Texts(
    "The user wants the chair to become blue and nothing else to change.",
    (
        "The chair is blue now, in the shade that was asked for.",
        "The fox and the window are untouched; the rug lost its pattern.",
        "The edges of the chair are clean and its shadow fits the new colour.",
        "No text is involved in this edit.",
    ),
    "The edit does what was asked, at the cost of the rug.",
    "Say that the rug must keep its pattern.",
    "Make the chair blue. Keep the fox, the window and the pattern of the rug exactly as they are.",
    EDIT_ASPECTS,
)
FOX_PAIR = Texts(
    "Both images should show a red fox asleep on a blue chair.",
    (
        "Image A has the blue chair; in Image B it is green.",
        "Image A is sharp, Image B has a warped chair leg and noise in the fur.",
        "Neither image was asked to show any writing.",
    ),
    "Image A follows the request more closely.",
)
EDIT_PAIR = Texts(
    "Both edits should make the chair blue and change nothing else.",
    (
        "Both chairs are blue, Image B's a little too dark.",
        "Image B keeps the rug, Image A loses its pattern.",
        "Both are clean; the shadow in Image A is too hard.",
        "No writing is asked for.",
    ),
    "Image B is the better edit.",
    aspects=EDIT_ASPECTS,
)
FOX_ZH = Texts(
    "用户想要一张红色狐狸睡在蓝色椅子上的照片，光线柔和。",
    (
        "狐狸是红色的，正在睡觉，但椅子是绿色的，而不是蓝色。",
        "毛发和光线自然，椅子的一条腿略有变形。",
        "请求中没有要求文字。",
    ),
    "画面不错，但椅子的颜色不对。",
    "强调椅子的颜色，并要求椅腿笔直。",
    "一张照片：红色狐狸睡在亮蓝色的木椅上，椅腿笔直，清晨柔和的光线。",
    ("文本忠实度", "物理与视觉质量", "文字渲染"),
)
EDIT_ZH = Texts(
    "用户希望把椅子改成蓝色，其他内容保持不变。",
    (
        "椅子已经变成蓝色，符合要求。",
        "狐狸和窗户没有变化，但地毯的花纹消失了。",
        "椅子边缘干净，阴影合理。",
        "本次编辑不涉及文字。",
    ),
    "编辑完成了要求，但损失了地毯的花纹。",
    "说明地毯必须保持原样。",
    "把椅子改成蓝色，狐狸、窗户和地毯的花纹保持原样。",
    ("文本忠实度", "图像忠实度", "物理与视觉质量", "文字渲染"),
)
PAIR_ZH = replace(
    FOX_ZH,
    analysis="两张图片都应展示红色狐狸睡在蓝色椅子上。",
    reasons=(
        "图像A的椅子是蓝色的，图像B的椅子是绿色的。",
        "图像A清晰，图像B的椅腿变形。",
        "没有要求文字。",
    ),
    summary="图像A更符合请求。",
    comments="",
    refined="",
)

LONG = (
    "The fox lies curled up in the middle of the seat, its tail wrapped around its paws and its eyes closed, "
    "so that it clearly reads as asleep rather than as resting. Its coat is a saturated orange red with a "
    "white chin and darker legs, which is what most people would expect of a red fox. The chair, however, is "
    "painted in a dull green. Even where the light from the window falls on its back, the colour does not "
    "move towards blue, so this cannot be explained by the lighting alone. The request mentions the colour "
    "explicitly, and it is one of only four facts in the sentence, so the deviation weighs heavily.\n\n"
    "The morning light is there: a low sun enters from the left, the shadows are long and soft, and a thin "
    "haze lies over the floor. The window itself is not visible, but the request does not ask for it. There "
    "are a few things that were not asked for, among them a folded blanket over the arm of the chair and a "
    "cup on the floor. They fit the scene and do not distract from it, and an image from so short a request "
    "has to invent something, so they are not counted against it.\n\n"
    "Taken together, the subject, its state and the light are right, while the colour of the second object "
    "is wrong. On the scale that was given, where everything right would be a 4.0 and a wrong detail a 3.0, "
    "this is somewhat more than a detail, because the colour covers a large part of the picture. For this "
    "reason the score stays below the level of a mere detail, but well above that of a missing subject."
)

LISTED = (
    "The image was compared with the request point by point:\n"
    "1. Subject: a red fox is present.\n"
    "2. Physical state: it is asleep.\n"
    "3. Colour: the chair is green, not blue."
)
BULLETED = "What stands out:\n- the fox is red\n- it sleeps\n- the chair is green\n\nOnly the last is wrong."


def _t2i(name, scores, spelled, dress=CARD, texts=FOX, **more) -> NaturalAnswer:
    return NaturalAnswer(name, "t2i", dress.text(texts, spelled), scores, **more)


def _edit(name, scores, spelled, dress=CARD, texts=EDIT, **more) -> NaturalAnswer:
    return NaturalAnswer(name, "edit", dress.text(texts, spelled), scores, **more)


def _pair(name, scores, spelled, dress=PAIR, texts=FOX_PAIR, **more) -> NaturalAnswer:
    return NaturalAnswer(name, "t2i-pair", dress.text(texts, spelled), scores, **more)


def _edit_pair(name, scores, spelled, dress=PAIR, texts=EDIT_PAIR, **more) -> NaturalAnswer:
    return NaturalAnswer(name, "edit-pair", dress.text(texts, spelled), scores, **more)


def _reasons(*reasons: str, texts: Texts = FOX) -> Texts:
    """The texts with other reasons for the first aspects."""
    return replace(texts, reasons=(*reasons, *texts.reasons[len(reasons) :]))


USUAL = (3.5, 3.0, NA)
USUAL_TEXT = ("3.5", "3.0", "N/A")
EDIT_USUAL = (4.0, 2.5, 3.5, NA)
EDIT_TEXT = ("4.0", "2.5", "3.5", "N/A")
PAIR_USUAL = ((3.5, 2.0, "A"), (3.5, 2.5, "A"), NA)
PAIR_TEXT = (("3.5", "2.0", "Image A"), ("3.5", "2.5", "Image A"), ("N/A", "N/A", "N/A"))
EDIT_PAIR_USUAL = ((3.5, 3.0, "A"), (2.5, 3.5, "B"), (3.0, 3.0, "tie"), NA)
EDIT_PAIR_TEXT = (
    ("3.5", "3.0", "Image A"),
    ("2.5", "3.5", "Image B"),
    ("3.0", "3.0", "It's a tie"),
    ("N/A", "N/A", "N/A"),
)

AS_ASKED = [
    _t2i("card", USUAL, USUAL_TEXT),
    _t2i("card, with text to render", (4.0, 3.5, 2.5), ("4.0", "3.5", "2.5"), texts=SIGN),
    _edit("card, edit", EDIT_USUAL, EDIT_TEXT),
    _t2i("single", USUAL, USUAL_TEXT, style="single"),
    _edit("single, edit", EDIT_USUAL, EDIT_TEXT, style="single"),
    _t2i("test-time", USUAL, USUAL_TEXT, TEST_TIME, style="test-time"),
    _edit("test-time, edit", EDIT_USUAL, EDIT_TEXT, TEST_TIME, style="test-time"),
    _pair("pair", PAIR_USUAL, PAIR_TEXT),
    _edit_pair("edit pair", EDIT_PAIR_USUAL, EDIT_PAIR_TEXT),
    _pair("pair, test-time", PAIR_USUAL, PAIR_TEXT, TEST_TIME_PAIR, style="test-time"),
    _edit_pair("edit pair, single", EDIT_PAIR_USUAL, EDIT_PAIR_TEXT, style="single"),
]

SCORE_SPELLINGS = [
    _t2i("whole numbers", (4.0, 3.0, NA), ("4", "3", "N/A")),
    _edit("whole numbers, edit", (4.0, 2.0, 3.0, 1.0), ("4", "2", "3", "1")),
    _t2i("two decimals", (3.75, 3.25, NA), ("3.75", "3.25", "N/A")),
    _t2i("3/4", (3.0, 2.0, NA), ("3/4", "2/4", "N/A")),
    _t2i("3.5 / 4", USUAL, ("3.5 / 4", "3.0 / 4", "N/A")),
    _edit("3.5/4.0", EDIT_USUAL, ("4.0/4.0", "2.5/4.0", "3.5/4.0", "N/A")),
    _t2i("3 out of 4", (3.0, 2.0, NA), ("3 out of 4", "2 out of 4", "N/A")),
    _t2i("3 (out of 4)", (3.0, 2.0, NA), ("3 (out of 4)", "2 (out of 4)", "N/A")),
    _t2i("points", USUAL, ("3.5 points", "3.0 points", "N/A")),
    _t2i("a full stop", USUAL, ("3.5.", "3.0.", "N/A.")),
    _t2i("bold scores", USUAL, ("**3.5**", "**3.0**", "**N/A**")),
    _t2i("brackets", USUAL, ("[3.5]", "[3.0]", "[N/A]")),
    _t2i("round brackets", USUAL, ("(3.5)", "(3.0)", "(N/A)")),
    _t2i("code marks", USUAL, ("`3.5`", "`3.0`", "`N/A`")),
    _t2i("about", USUAL, ("~3.5", "about 3.0", "N/A")),
    _t2i("decimal comma", USUAL, ("3,5", "3,0", "N/A")),
    _t2i("full-width digits", USUAL, ("３．５", "３．０", "N/A")),
    _t2i("words behind", USUAL, ("3.5 - the chair is green", "3.0, because of the leg", "N/A")),
    _t2i("words in brackets", USUAL, ("3.5 (wrong colour)", "3.0 (bent leg)", "N/A (no text requested)")),
    _t2i("grade before", USUAL, ("Good (3.5)", "Fair (3.0)", "N/A")),
    _t2i("n/a", USUAL, ("3.5", "3.0", "n/a")),
    _t2i("not applicable", USUAL, ("3.5", "3.0", "Not applicable")),
    _edit(
        "not applicable, and why", EDIT_USUAL, ("4.0", "2.5", "3.5", "Not applicable (no text in the edit)")
    ),
    _t2i("NA", USUAL, ("3.5", "3.0", "NA")),
    _t2i("N / A", USUAL, ("3.5", "3.0", "N / A")),
    _t2i("none", USUAL, ("3.5", "3.0", "None")),
    _t2i("N/A, and why", USUAL, ("3.5", "3.0", "N/A, since the request asks for no text.")),
    _t2i("no blank", USUAL, USUAL_TEXT, replace(CARD, score="## Score:{}\n")),
    _t2i("two blanks", USUAL, USUAL_TEXT, replace(CARD, score="## Score:  {}\n")),
    _t2i("blank behind", USUAL, USUAL_TEXT, replace(CARD, score="## Score: {} \n")),
    _t2i("score on its own line", USUAL, USUAL_TEXT, replace(CARD, score="## Score:\n{}\n")),
    _t2i("score below a blank line", USUAL, USUAL_TEXT, replace(CARD, score="## Score:\n\n{}\n\n")),
    _t2i("blank line behind", USUAL, USUAL_TEXT, replace(CARD, score="## Score: {}\n\n")),
    _t2i("full-width colon", USUAL, USUAL_TEXT, replace(CARD, score="## Score：{}\n")),
    _t2i("with its scale", (3.0, 2.0, NA), ("3", "2", "N/A"), replace(CARD, score="## Score (1-4): {}\n")),
    _t2i("with its scale in decimals", USUAL, USUAL_TEXT, replace(CARD, score="## Score (1.0 to 4.0): {}\n")),
    _t2i("rating", USUAL, USUAL_TEXT, replace(CARD, score="## Rating: {}\n")),
    _t2i("equals sign", USUAL, USUAL_TEXT, replace(CARD, score="Score = {}\n")),
]

BOLD = Dress(
    analysis="**User Request Analysis**\n{}\n\n",
    judgement="**Detailed Judgement**\n\n",
    aspect="**{number}. {name}**\n",
    reason="**Justification:** {}\n",
    score="**Score:** {}\n\n",
    summary="**Summary:** {}\n\n",
    refinement="**User Request Refinement:**\n",
    comments="**Refinement Comments:** {}\n",
    refined="**Refined Request:** {}",
)
MARKDOWN = Dress(
    analysis="# User Request Analysis\n\n{}\n\n",
    judgement="# Detailed Judgement\n\n",
    aspect="### {number}. {name}\n\n",
    reason="#### Justification\n\n{}\n\n",
    score="#### Score: {}\n\n",
    summary="# Summary\n\n{}\n\n",
    refinement="# User Request Refinement\n\n",
    comments="## Refinement Comments\n\n{}\n\n",
    refined="## Refined Request\n\n{}\n",
)
PLAIN = Dress(
    analysis="User Request Analysis:\n{}\n\n",
    judgement="Detailed Judgement:\n",
    reason="Justification: {}\n",
    score="Score: {}\n",
    summary="\nSummary: {}\n",
    refinement="\nUser Request Refinement:\n",
    comments="Refinement Comments: {}\n",
    refined="Refined Request: {}",
)
BULLETS = replace(
    CARD,
    aspect="{number}. **{name}**\n",
    reason="   - **Justification**: {}\n",
    score="   - **Score**: {}\n",
    comments="- **Refinement Comments**: {}\n",
    refined="- **Refined Request**: {}",
)
CHINESE = Dress(
    analysis="# 用户请求分析\n{}\n",
    judgement="# 详细评判\n",
    aspect="{number}. {name}：\n",
    reason="## 理由：{}\n",
    score="## 评分：{}\n",
    summary="# 总结：{}\n",
    refinement="# 用户请求优化：\n",
    comments="## 优化建议：{}\n",
    refined="## 优化后的请求：{}",
)
LOWER = Dress(
    analysis="# user request analysis\n{}\n",
    judgement="# detailed judgement\n",
    reason="## justification: {}\n",
    score="## score: {}\n",
    summary="# summary: {}\n",
    refinement="# user request refinement:\n",
    comments="## refinement comments: {}\n",
    refined="## refined request: {}",
)
UPPER = Dress(
    analysis="# USER REQUEST ANALYSIS\n{}\n",
    judgement="# DETAILED JUDGEMENT\n",
    aspect="{number}. {NAME}:\n",
    reason="## JUSTIFICATION: {}\n",
    score="## SCORE: {}\n",
    summary="# SUMMARY: {}\n",
    refinement="# USER REQUEST REFINEMENT:\n",
    comments="## REFINEMENT COMMENTS: {}\n",
    refined="## REFINED REQUEST: {}",
)
RULES = replace(
    CARD,
    analysis="# User Request Analysis\n{}\n\n---\n\n",
    score="## Score: {}\n\n---\n\n",
    summary="# Summary: {}\n\n---\n\n",
)
ONE_LINE = replace(CARD, aspect="{number}. {name}: ", reason="{}\n", score="Score: {}\n")

HEADINGS = [
    _t2i("bold headings", USUAL, USUAL_TEXT, BOLD),
    _edit("bold headings, edit", EDIT_USUAL, EDIT_TEXT, BOLD),
    _t2i("bold headings, test-time", USUAL, USUAL_TEXT, replace(BOLD, score_first=True), style="test-time"),
    _t2i("### headings and blank lines", USUAL, USUAL_TEXT, MARKDOWN),
    _edit("### headings and blank lines, edit", EDIT_USUAL, EDIT_TEXT, MARKDOWN, style="single"),
    _t2i("labels without marks", USUAL, USUAL_TEXT, PLAIN),
    _edit("labels without marks, edit", EDIT_USUAL, EDIT_TEXT, PLAIN),
    _t2i("bullets", USUAL, USUAL_TEXT, BULLETS),
    _edit("bullets, edit", EDIT_USUAL, EDIT_TEXT, BULLETS),
    _t2i("lower case", USUAL, USUAL_TEXT, LOWER),
    _t2i("capitals", USUAL, USUAL_TEXT, UPPER),
    _edit("rules between", EDIT_USUAL, EDIT_TEXT, RULES),
    _t2i("blank lines behind headings", USUAL, USUAL_TEXT, replace(CARD, aspect="{number}. {name}:\n\n")),
    _t2i(
        "blank lines everywhere",
        USUAL,
        USUAL_TEXT,
        replace(
            CARD,
            analysis="# User Request Analysis\n\n{}\n\n",
            judgement="# Detailed Judgement\n\n",
            reason="## Justification: {}\n\n",
            score="## Score: {}\n\n",
            summary="# Summary: {}\n\n",
            refinement="# User Request Refinement:\n\n",
            comments="## Refinement Comments: {}\n\n",
        ),
    ),
    _t2i("aspects under ###", USUAL, USUAL_TEXT, replace(CARD, aspect="### {number}. {name}\n")),
    _t2i(
        "aspects under ##, parts under ###",
        USUAL,
        USUAL_TEXT,
        replace(
            CARD, aspect="## {number}. {name}\n", reason="### Justification: {}\n", score="### Score: {}\n"
        ),
    ),
    _t2i("bold aspects", USUAL, USUAL_TEXT, replace(CARD, aspect="**{number}. {name}:**\n")),
    _t2i("bold names", USUAL, USUAL_TEXT, replace(CARD, aspect="{number}. **{name}**:\n")),
    _t2i("aspects without numbers", USUAL, USUAL_TEXT, replace(CARD, aspect="**{name}**\n")),
    _t2i("aspects without marks", USUAL, USUAL_TEXT, replace(CARD, aspect="{name}:\n")),
    _t2i("1)", USUAL, USUAL_TEXT, replace(CARD, aspect="{number}) {name}:\n")),
    _t2i(
        "an ampersand",
        USUAL,
        USUAL_TEXT,
        texts=replace(FOX, aspects=("Text Faithfulness", "Physical & Visual Quality", "Text Rendering")),
    ),
    _t2i(
        "bold parts in hashes",
        USUAL,
        USUAL_TEXT,
        replace(CARD, reason="## **Justification:** {}\n", score="## **Score:** {}\n"),
    ),
    _t2i("emoji before headings", USUAL, USUAL_TEXT, replace(BOLD, score="⭐ **Score:** {}\n\n")),
    _t2i("Aspect 1:", USUAL, USUAL_TEXT, replace(CARD, aspect="## Aspect {number}: {name}\n")),
    _t2i(
        "parts with letters",
        USUAL,
        USUAL_TEXT,
        replace(CARD, reason="a) Justification: {}\n", score="b) Score: {}\n"),
    ),
    _t2i("reasons without a heading", USUAL, USUAL_TEXT, replace(CARD, reason="{}\n")),
    _t2i(
        "score beside the name",
        USUAL,
        USUAL_TEXT,
        replace(CARD, aspect="### {number}. {name}: ", score="{}\n", reason="{}\n", score_first=True),
    ),
    _t2i(
        "score in brackets beside the name",
        USUAL,
        ("3.5", "3.0", "N/A"),
        replace(CARD, aspect="{number}. **{name}** ", score="({}/4)\n", reason="{}\n", score_first=True),
    ),
    _t2i("American spelling", USUAL, USUAL_TEXT, replace(CARD, judgement="# Detailed Judgment\n")),
    _t2i("reason and score in short", USUAL, USUAL_TEXT, ONE_LINE),
    _t2i("score first in card style", USUAL, USUAL_TEXT, replace(CARD, score_first=True)),
    _t2i("reason first in test-time style", USUAL, USUAL_TEXT, style="test-time"),
    _t2i("Chinese", USUAL, ("3.5", "3.0", "不适用"), CHINESE, FOX_ZH),
    _edit("Chinese, edit", EDIT_USUAL, ("4", "2.5分", "3.5", "不适用（无文字）"), CHINESE, EDIT_ZH),
    _t2i(
        "Chinese in brackets",
        USUAL,
        ("3.5", "3.0", "N/A"),
        replace(CHINESE, aspect="【{number}. {name}】\n", reason="【理由】{}\n", score="【评分】：{}\n"),
        FOX_ZH,
    ),
    _t2i(
        "Chinese words under English headings", USUAL, USUAL_TEXT, texts=replace(FOX_ZH, aspects=T2I_ASPECTS)
    ),
]

WORDS = [
    _t2i("a long reason", USUAL, USUAL_TEXT, texts=_reasons(LONG)),
    _edit("a long reason, edit", EDIT_USUAL, EDIT_TEXT, texts=_reasons(LONG, texts=EDIT)),
    _t2i("a numbered list in a reason", USUAL, USUAL_TEXT, texts=_reasons(LISTED)),
    _t2i("bullets in a reason", USUAL, USUAL_TEXT, texts=_reasons(BULLETED)),
    _t2i(
        "scores in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons(
            "A perfect match would be a 4.0. The wrong colour costs half a point, so that 3.5 remains."
        ),
    ),
    _t2i(
        "a quote in a reason",
        (4.0, 3.5, 2.5),
        ("4.0", "3.5", "2.5"),
        texts=_reasons(
            'The poster says "Score: 4" in the corner, as was asked, and "# Summary" below it.', texts=SIGN
        ),
    ),
    _t2i(
        "strengths and weaknesses",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("\n**Strengths:** the fox is red and asleep.\n**Weaknesses:** the chair is green."),
    ),
    _t2i("emoji", USUAL, USUAL_TEXT, texts=_reasons("The fox 🦊 is red ✅, the chair 🪑 is green ❌.")),
    _t2i(
        "curly quotes and dashes",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("It’s a “red fox” – asleep – but the chair isn’t blue…"),
    ),
    _t2i(
        "preamble", USUAL, USUAL_TEXT, replace(CARD, before="Sure, here is my evaluation of the image:\n\n")
    ),
    _t2i(
        "preamble in test-time style",
        USUAL,
        USUAL_TEXT,
        replace(TEST_TIME, before="Here is a detailed evaluation.\n\n"),
        style="test-time",
    ),
    _t2i(
        "analysis under a heading in test-time style",
        USUAL,
        USUAL_TEXT,
        replace(TEST_TIME, analysis=CARD.analysis),
        style="test-time",
    ),
    _t2i("empty thinking", USUAL, USUAL_TEXT, replace(CARD, before="<think>\n\n</think>\n\n")),
    _t2i(
        "thinking",
        USUAL,
        USUAL_TEXT,
        replace(
            CARD,
            before=(
                "<think>\nThe chair looks green to me. Text Faithfulness maybe 3?\n## Score: 3.0\n"
                "No, 3.5 is fair.\n</think>\n\n"
            ),
        ),
    ),
    _pair(
        "thinking, pair",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(PAIR, before="<think>\nA has the blue chair, so A wins the first aspect.\n</think>\n\n"),
    ),
    _t2i("a quoted request", USUAL, USUAL_TEXT, replace(CARD, refined='## Refined Request: "{}"')),
    _t2i("request on its own line", USUAL, USUAL_TEXT, replace(CARD, refined="## Refined Request:\n{}\n")),
    _t2i(
        "request in a fence", USUAL, USUAL_TEXT, replace(CARD, refined="## Refined Request:\n```\n{}\n```\n")
    ),
    _t2i("request in bold", USUAL, USUAL_TEXT, replace(CARD, refined="## Refined Request: **{}**")),
    _t2i(
        "hashtags in the request",
        USUAL,
        USUAL_TEXT,
        replace(CARD, after="\n#redfox #bluechair #morninglight"),
    ),
    _t2i(
        "request in two paragraphs",
        USUAL,
        USUAL_TEXT,
        replace(CARD, after="\n\nSoft focus, 35 mm lens, muted colours. Aspect ratio: 3:2."),
    ),
    _t2i(
        "no change needed",
        (4.0, 4.0, NA),
        ("4.0", "4.0", "N/A"),
        texts=replace(
            FOX,
            comments="None needed.",
            refined="No refinement needed; the original request can stay as it is.",
        ),
    ),
    _t2i(
        "closing words",
        USUAL,
        USUAL_TEXT,
        replace(CARD, after="\n\nLet me know if you would like another variation!"),
    ),
    _t2i(
        "a closing note",
        USUAL,
        USUAL_TEXT,
        replace(CARD, after="\n\n---\n\n**Note:** the scores refer to the request as it was given."),
    ),
    _t2i(
        "a list in the analysis",
        USUAL,
        USUAL_TEXT,
        texts=replace(
            FOX,
            analysis="To judge:\n1. Text Faithfulness: fox, chair, colours\n"
            "2. Physical and Visual Quality: light\n3. Text Rendering: N/A",
        ),
    ),
    _t2i(
        "labels in the analysis",
        USUAL,
        USUAL_TEXT,
        texts=replace(FOX, analysis="**Subject:** a red fox\n**State:** asleep\n**Object:** a blue chair"),
    ),
    _t2i(
        "a numbered list of bold names in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("\n1. **Fox**: red.\n2. **Chair**: green.\n3. **Light**: soft."),
    ),
    _t2i(
        "a checklist in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("\n- [x] fox\n- [x] asleep\n- [ ] blue chair"),
    ),
    _t2i("a hashtag in a reason", USUAL, USUAL_TEXT, texts=_reasons("The caption\n#redfox\nis missing.")),
    _t2i(
        "deductions in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("Most is right.\nDeductions:\n- colour: -0.5\nI therefore give a score of 3.5."),
    ),
    _t2i(
        "an aspect named in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("**Text Faithfulness** is good.\nPhysical and Visual Quality: see below."),
    ),
    _t2i(
        "scores again in the summary",
        USUAL,
        USUAL_TEXT,
        texts=replace(
            FOX,
            summary="Scores:\n1. Text Faithfulness: 3.5/4\n2. Physical and Visual Quality: 3/4\n"
            "3. Text Rendering: N/A\nOverall: 3.25/4",
        ),
    ),
    _t2i(
        "scores again in a table",
        USUAL,
        USUAL_TEXT,
        replace(
            CARD,
            summary="# Summary: {}\n\n| Aspect | Score |\n|---|---|\n| Text Faithfulness | 3.5 |\n"
            "| Physical and Visual Quality | 3.0 |\n| Text Rendering | N/A |\n\n",
        ),
    ),
    _t2i(
        "an overall score",
        USUAL,
        USUAL_TEXT,
        replace(CARD, summary="**Overall Score:** 3.3/4\n\n# Summary: {}\n"),
    ),
    _t2i(
        "lists in the refinement",
        USUAL,
        USUAL_TEXT,
        texts=replace(
            FOX,
            comments="\n1. **Colour:** name it twice.\n2. Physical quality: ask for straight legs.",
            refined="\n1. A red fox, asleep.\n2. A blue chair.\n3. Soft light.",
        ),
    ),
    _t2i(
        "labels in the request",
        USUAL,
        USUAL_TEXT,
        texts=replace(
            FOX,
            refined="A red fox asleep on a chair.\n\n**Setting:** a blue chair\nStyle: photo\n"
            "Negative prompt: green chair, bent legs",
        ),
    ),
    _t2i(
        "a request for a score and a summary",
        (4.0, 3.5, 2.5),
        ("4.0", "3.5", "2.5"),
        texts=replace(SIGN, refined='A poster with the title "Score: 4" and below it\n"Summary"'),
    ),
    _t2i("CRLF", USUAL, USUAL_TEXT),
    _t2i(
        "the whole answer in a fence", USUAL, USUAL_TEXT, replace(CARD, before="```markdown\n", after="\n```")
    ),
]
WORDS = [replace(a, text=a.text.replace("\n", "\r\n")) if a.name == "CRLF" else a for a in WORDS]


def _table(header: str, *rows: str) -> str:
    rule = "|" + "---|" * (header.count("|") - 1)
    return "\n".join([header, rule, *rows])


def _json_answer(scores: Sequence[object], texts: Texts, key: str = "Score") -> str:
    aspects = {
        name: {"Justification": reason, key: score}
        for name, reason, score in zip(texts.aspects, texts.reasons, scores, strict=True)
    }
    words = {
        "Summary": texts.summary,
        "Refinement Comments": texts.comments,
        "Refined Request": texts.refined,
    }
    data = {"User Request Analysis": texts.analysis, "Detailed Judgement": aspects} | words
    return json.dumps(data, ensure_ascii=False, indent=2)


FORMS = [
    NaturalAnswer(
        "table",
        "t2i",
        "# Detailed Judgement\n\n"
        + _table(
            "| Aspect | Justification | Score |",
            "| Text Faithfulness | The chair is green instead of blue. | 3.5 |",
            "| Physical and Visual Quality | One leg bends. | 3.0 |",
            "| Text Rendering | No text was asked for. | N/A |",
        )
        + "\n\n# Summary: Good, but the chair is green.\n# User Request Refinement:\n"
        "## Refinement Comments: Stress the colour.\n## Refined Request: A red fox asleep on a blue chair.",
        USUAL,
    ),
    NaturalAnswer(
        "table of a pair",
        "t2i-pair",
        "# Detailed Judgement\n\n"
        + _table(
            "| Aspect | Score A | Score B | Winner |",
            "| Text Faithfulness | 3.5 | 2.0 | Image A |",
            "| Physical and Visual Quality | 3.5 | 2.5 | Image A |",
            "| Text Rendering | N/A | N/A | N/A |",
        )
        + "\n\n# Summary: Image A follows the request more closely.",
        PAIR_USUAL,
    ),
    NaturalAnswer("JSON", "t2i", _json_answer((3.5, 3.0, "N/A"), FOX), USUAL),
    NaturalAnswer("JSON in a fence", "t2i", f"```json\n{_json_answer((3.5, 3, 'N/A'), FOX)}\n```", USUAL),
    NaturalAnswer("JSON, edit", "edit", _json_answer((4, 2.5, 3.5, "N/A"), EDIT), EDIT_USUAL),
    NaturalAnswer(
        "a list of names and scores",
        "t2i",
        "# Detailed Judgement\n"
        "1. Text Faithfulness: 3.5 - the chair is green instead of blue.\n"
        "2. Physical and Visual Quality: 3.0 - one leg bends.\n"
        "3. Text Rendering: N/A - no text was asked for.\n"
        "# Summary: Good.\n"
        "# User Request Refinement:\n"
        "## Refinement Comments: Stress the colour.\n"
        "## Refined Request: A red fox asleep on a blue chair.",
        USUAL,
    ),
]

PAIRS = [
    _pair(
        "whole numbers, pair",
        ((4.0, 2.0, "A"), (3.0, 2.0, "A"), NA),
        (("4", "2", "Image A"), ("3", "2", "Image A"), ("N/A", "N/A", "N/A")),
    ),
    _pair(
        "3.5/4, pair",
        PAIR_USUAL,
        (("3.5/4", "2.0/4", "Image A"), ("3.5/4", "2.5/4", "Image A"), ("N/A", "N/A", "N/A")),
    ),
    _pair("A", PAIR_USUAL, (("3.5", "2.0", "A"), ("3.5", "2.5", "A"), ("N/A", "N/A", "N/A"))),
    _pair(
        "Image A is better",
        PAIR_USUAL,
        (("3.5", "2.0", "Image A is better."), ("3.5", "2.5", "Image A is better."), ("N/A", "N/A", "N/A")),
    ),
    _pair(
        "winner with a reason",
        PAIR_USUAL,
        (("3.5", "2.0", "Image A (blue chair)"), ("3.5", "2.5", "Image A, clearly"), ("N/A", "N/A", "N/A")),
    ),
    _edit_pair(
        "Tie",
        EDIT_PAIR_USUAL,
        (("3.5", "3.0", "A"), ("2.5", "3.5", "B"), ("3.0", "3.0", "Tie"), ("N/A", "N/A", "N/A")),
    ),
    _edit_pair(
        "bold winners",
        EDIT_PAIR_USUAL,
        (
            ("3.5", "3.0", "**Image A**"),
            ("2.5", "3.5", "**Image B**"),
            ("3.0", "3.0", "**It's a tie**"),
            ("N/A", "N/A", "N/A"),
        ),
    ),
    _pair("tie for what does not apply", PAIR_USUAL, (*PAIR_TEXT[:2], ("N/A", "N/A", "It's a tie"))),
    _pair(
        "bold headings, pair",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(BOLD, score="**Score A:** {}\n**Score B:** {}\n**Winner:** {}\n\n"),
    ),
    _pair(
        "labels without marks, pair",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(PLAIN, score="Score A: {}\nScore B: {}\nWinner: {}\n\n"),
    ),
    _pair(
        "scores of images",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(PAIR, score="## Image A Score: {}\n## Image B Score: {}\n## Better Image: {}\n"),
    ),
    _pair(
        "scores in one line",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(PAIR, score="## Scores: A: {}, B: {}\n## Winner: {}\n"),
    ),
    _pair(
        "scores on their own lines",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(PAIR, score="## Score A:\n{}\n## Score B:\n{}\n## Winner:\n{}\n"),
    ),
    _pair(
        "Chinese, pair",
        PAIR_USUAL,
        (("3.5", "2.0", "图像A"), ("3.5", "2.5", "图像A"), ("不适用", "不适用", "不适用")),
        replace(CHINESE, score="## 图像A评分：{}\n## 图像B评分：{}\n## 胜者：{}\n"),
        PAIR_ZH,
    ),
    _pair(
        "preamble, pair",
        PAIR_USUAL,
        PAIR_TEXT,
        replace(PAIR, before="I will compare the two images aspect by aspect.\n\n"),
    ),
    _pair("closing words, pair", PAIR_USUAL, PAIR_TEXT, replace(PAIR, after="\nOverall winner: Image A")),
]

DOUBT = "by intent: a second number or sign makes a score unreadable"
SPELLED = "a spelling that the parser does not know"
NOT_READ = [
    _t2i("Final Score", USUAL, USUAL_TEXT, replace(CARD, score="## Final Score: {}\n"), reason=SPELLED),
    _t2i("My score", USUAL, USUAL_TEXT, replace(CARD, score="My score: {}\n"), reason=SPELLED),
    _t2i("HTML", USUAL, USUAL_TEXT, replace(CARD, score="<b>Score:</b> {}\n"), reason=SPELLED),
    _t2i("number words", (4.0, 3.0, NA), ("Four", "Three", "N/A"), reason=SPELLED),
    _t2i("half", (3.5, 3.0, NA), ("3½", "3", "N/A"), reason=SPELLED),
    _t2i("check mark", USUAL, ("3.5 ✅", "3.0 ⚠️", "N/A"), reason=SPELLED),
    _t2i("a dash for N/A", USUAL, ("3.5", "3.0", "—"), reason=SPELLED),
    _t2i("no text", USUAL, ("3.5", "3.0", "No text"), reason=SPELLED),
    _t2i(
        "score in brackets behind the reason",
        USUAL,
        USUAL_TEXT,
        replace(CARD, reason="{}\n", score="(Score: {})\n"),
        reason=SPELLED,
    ),
    _t2i("a sum", USUAL, ("4 - 0.5 = 3.5", "3.0", "N/A"), reason=DOUBT),
    _t2i("a sum behind", USUAL, ("3.5 (4.0 - 0.5 for the colour)", "3.0", "N/A"), reason=DOUBT),
    _t2i("what was missing", USUAL, ("3.5 (a blue chair would be 4.0)", "3.0", "N/A"), reason=DOUBT),
    _t2i("a sentence behind", USUAL, ("3.5 The chair is green.", "3.0", "N/A"), reason=DOUBT),
    _t2i(
        "a remark behind a score on its own line",
        USUAL,
        ("3.5 (wrong colour)", "3.0 - bent leg", "N/A"),
        replace(CARD, score="## Score:\n{}\n"),
        reason="below a heading, only a line that is nothing but a value is read",
    ),
    _t2i(
        "sub-headings in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("\n### Fox\nred\n### Chair\ngreen"),
        reason="by intent: a heading that is not known ends the aspect",
    ),
    _t2i(
        "a conclusion in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("The chair is green.\nConclusion: the colour is wrong."),
        reason="a fault: the line is read as the summary of the whole answer, and no score after it counts",
    ),
    _t2i(
        "a summary in a reason",
        USUAL,
        USUAL_TEXT,
        texts=_reasons("The chair is green.\nSummary: nearly right."),
        reason="a fault: the line is read as the summary of the whole answer, and no score after it counts",
    ),
]
"""Answers that the parser does not read as a person would."""

WITHOUT_REQUEST = [
    _t2i("no refinement", USUAL, USUAL_TEXT, texts=replace(FOX, comments="", refined="")),
    _t2i("an empty refinement", USUAL, USUAL_TEXT, replace(CARD, comments="", refined="None needed.")),
    NaturalAnswer(
        "nothing behind the scores",
        "edit",
        CARD.text(EDIT, EDIT_TEXT).partition("# Summary")[0].rstrip(),
        EDIT_USUAL,
    ),
]
"""Answers with all scores, but without a better request."""

ANSWERS = [*AS_ASKED, *SCORE_SPELLINGS, *HEADINGS, *WORDS, *FORMS, *PAIRS]
"""All in the order of the lists above."""
