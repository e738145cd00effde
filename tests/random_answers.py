"""Random answers for property tests: every heading in a dress of its own, scores in any spelling, any words.

Most are well-formed; what the parser makes of each is for the test to ask.
"""

from __future__ import annotations

from hypothesis import strategies as st
from rr_tests.natural_answers import NA, NaturalAnswer
from rr_tests.natural_parts import EDIT_ASPECTS, T2I_ASPECTS, Dress, Texts

LINES = (
    "The fox is red, the chair is green.",
    "Fur and light look natural; one leg bends.",
    'The sign reads "OPEN 24/7".',
    "A perfect match would be a 4.0. Half a point is lost.",
    "画面清晰，但椅子是绿色的。",
    "“Quoted”, with a dash – and an ellipsis…",
    "3 of 4 things are there.",
    "1. the fox is red",
    "2. Physical state: asleep.",
    "- a bullet: the leg bends",
    "**Weaknesses:** the colour.",
    "Note: the rug lost its pattern.",
    "🦊 on a 🪑 ✅",
    "It ends without a full stop",
)
"""What a line of a text may be."""
ANY_TEXT = st.text("ab Z019.,:;\"'“”#*-|/()[]\n狐椅：。🦊", max_size=40)
"""What no critic would write."""

line = st.sampled_from(LINES)
texts = st.one_of(
    line,
    line,
    st.lists(line, min_size=2, max_size=3).map("\n".join),
    st.lists(line, min_size=2, max_size=2).map("\n\n".join),
    ANY_TEXT,
)

NUMBERS = ("{}", "{}/4", "{} / 4", "{}/4.0", "{} out of 4", "**{}**", "[{}]", "({})", "`{}`", "~{}", "{}.")
NUMBERS += ("{} (good)", "{} - one leg bends", "{}, because of the leg", "{} points", "{} ", " {}", "{}分")
NOT_APPLICABLE = ("N/A", "n/a", "NA", "N / A", "**N/A**", "Not applicable", "N/A (no text)", "None", "不适用")
WINNERS = {
    "A": ("Image A", "A", "Image A is better", "**Image A**", "Image A.", "图像A"),
    "B": ("Image B", "B", "Image B wins", "**Image B**", "Image B (sharper)", "图像B"),
    "tie": ("It's a tie", "Tie", "tie", "It's a tie.", "**Tie**", "平局"),
}
VALUES = (1.0, 1.5, 2.0, 2.5, 2.75, 3.0, 3.2, 3.5, 3.8, 4.0)

ASPECTS = ("{number}. {name}:", "{number}. {name}", "### {number}. {name}", "**{number}. {name}**")
ASPECTS += ("{number}. **{name}**:", "{number}) {name}:", "## {name}", "**{name}**", "{number}. {NAME}:")
BARE = ("{}:", "# {}", "# {}:", "## {}:", "### {}", "**{}**", "**{}:**", "#### {}:")
LABELS = ("## {}: ", "## {}:", "## {}:\n", "## {}\n", "### {}: ", "**{}:** ", "**{}**: ", "{}: ", "- {}: ")
LABELS += ("- **{}**: ", "## **{}:** ", "## {}：", "## {}:  ", "#### {}\n\n")
PREAMBLES = ("", "", "", "Sure, here is my evaluation:\n\n", "<think>\n\n</think>\n\n")
PREAMBLES += ("<think>\nGreen, I think. Maybe 3?\n</think>\n",)
ENDINGS = ("", "", "\n", "\n\n---", "\n\nLet me know if this helps!", "\n#fox #chair")


@st.composite
def _spelled(draw, value: float | None) -> str:
    if value is NA:
        return draw(st.sampled_from(NOT_APPLICABLE))
    number = draw(
        st.sampled_from((f"{value:g}", f"{value:.1f}" if value != 2.75 else "2.75", f"{value:.2f}"))
    )
    return draw(st.sampled_from(NUMBERS)).format(number)


@st.composite
def _labels(draw, *names: str) -> list[str]:
    """Labels in one dress, in the case that it chooses."""
    dress = draw(st.sampled_from(LABELS))
    case = draw(st.sampled_from((str, str, str.lower, str.upper)))
    return [dress.format(case(name)) for name in names]


@st.composite
def _dresses(draw, pair: bool) -> Dress:
    def bare(name: str) -> str:
        return draw(st.sampled_from(BARE)).format(name) + draw(line_ends)

    def label(*names: str) -> list[str]:
        return draw(_labels(*names))

    line_ends = st.sampled_from(("\n", "\n", "\n", "\n\n", " \n", "\n\n---\n\n"))
    analysis = "{}\n" if draw(st.integers(0, 3)) == 0 else bare("User Request Analysis") + "{}\n"
    end = draw(line_ends)
    parts = ("Score A", "Score B", "Winner") if pair else ("Score",)
    reason, *scores = label("Justification", *parts)
    if draw(st.booleans()):
        scores = label(*parts)
    return Dress(
        before=draw(st.sampled_from(PREAMBLES)),
        analysis=analysis,
        judgement=bare("Detailed Judgement"),
        aspect=draw(st.sampled_from(ASPECTS)) + draw(line_ends),
        reason=reason + "{}" + draw(line_ends),
        score="".join(f"{score}{{}}{end}" for score in scores),
        summary=label("Summary")[0] + "{}" + draw(line_ends),
        refinement=bare("User Request Refinement"),
        comments=label("Refinement Comments")[0] + "{}" + draw(line_ends),
        refined=label("Refined Request")[0] + "{}",
        after=draw(st.sampled_from(ENDINGS)),
        score_first=draw(st.booleans()) and not pair,
    )


@st.composite
def _pair_scores(draw) -> tuple[float, float, str]:
    a, b = draw(st.sampled_from(VALUES)), draw(st.sampled_from(VALUES))
    return a, b, "A" if a > b else "B" if b > a else "tie"


@st.composite
def answers(draw) -> NaturalAnswer:
    """Answers of all tasks and styles, with the scores that were written."""
    task = draw(st.sampled_from(("t2i", "edit", "t2i-pair", "edit-pair")))
    style = draw(st.sampled_from(("card", "test-time", "single")))
    aspects, pair = (EDIT_ASPECTS if task.startswith("edit") else T2I_ASPECTS), task.endswith("pair")
    one = _pair_scores() if pair else st.sampled_from(VALUES)
    scores = tuple(draw(one if name != "Text Rendering" else st.one_of(st.none(), one)) for name in aspects)
    spelled = []
    for score in scores:
        if pair:
            a, b, winner = score or (NA, NA, NA)
            named = st.sampled_from(WINNERS[winner] if winner else NOT_APPLICABLE)
            spelled.append((draw(_spelled(a)), draw(_spelled(b)), draw(named)))
        else:
            spelled.append(draw(_spelled(score)))
    words = [draw(texts) for _ in range(len(aspects) + 3)]
    refined = "" if pair else "A photo of a red fox asleep on a blue chair. " + draw(texts)
    said = Texts(words[0], tuple(words[3:]), words[1], words[2], refined, aspects)
    return NaturalAnswer("random", task, draw(_dresses(pair)).text(said, spelled), scores, style)
