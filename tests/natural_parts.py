"""What natural answers are made of: what they say, and how their lines are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

T2I_ASPECTS = ("Text Faithfulness", "Physical and Visual Quality", "Text Rendering")
EDIT_ASPECTS = ("Text Faithfulness", "Image Faithfulness", "Physical and Visual Quality", "Text Rendering")


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
SPACED = replace(
    CARD,
    analysis="# User Request Analysis\n\n{}\n\n",
    judgement="# Detailed Judgement\n\n",
    reason="## Justification: {}\n\n",
    score="## Score: {}\n\n",
    summary="# Summary: {}\n\n",
    refinement="# User Request Refinement:\n\n",
    comments="## Refinement Comments: {}\n\n",
)
IN_BRACKETS = replace(CHINESE, aspect="【{number}. {name}】\n", reason="【理由】{}\n", score="【评分】：{}\n")


def in_json(texts: Texts, *scores: object) -> str:
    """An answer with these scores as JSON."""
    aspects = {
        name: {"Justification": reason, "Score": score}
        for name, reason, score in zip(texts.aspects, texts.reasons, scores, strict=True)
    }
    words = {
        "Summary": texts.summary,
        "Refinement Comments": texts.comments,
        "Refined Request": texts.refined,
    }
    data = {"User Request Analysis": texts.analysis, "Detailed Judgement": aspects} | words
    return json.dumps(data, ensure_ascii=False, indent=2)


def table(rows: Sequence[str]) -> str:
    """A Markdown table; the first row is its head."""
    return "\n".join([rows[0], "|" + "---|" * (rows[0].count("|") - 1), *rows[1:]])


TABLE = (
    "| Aspect | Justification | Score |",
    "| Text Faithfulness | The chair is green instead of blue. | 3.5 |",
    "| Physical and Visual Quality | One leg bends. | 3.0 |",
    "| Text Rendering | No text was asked for. | N/A |",
)
PAIR_TABLE = (
    "| Aspect | Score A | Score B | Winner |",
    "| Text Faithfulness | 3.5 | 2.0 | Image A |",
    "| Physical and Visual Quality | 3.5 | 2.5 | Image A |",
    "| Text Rendering | N/A | N/A | N/A |",
)
LIST = """\
1. Text Faithfulness: 3.5 - the chair is green instead of blue.
2. Physical and Visual Quality: 3.0 - one leg bends.
3. Text Rendering: N/A - no text was asked for."""
END = """

# Summary: Good, but the chair is green.
# User Request Refinement:
## Refinement Comments: Stress the colour.
## Refined Request: A red fox asleep on a blue chair."""
