"""Random answers for property tests: every heading in a dress of its own, scores in any spelling, any words.

Most are well-formed; what the parser makes of each is for the test to ask.
"""

from __future__ import annotations

from random import Random

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
    "Conclusion: the colour is wrong.",
    "**Summary:** nearly right.",
    "### Chair",
    "结论：基本正确。",
    "The score would be 4.0 with a blue chair.",
)
"""What a line of a text may be."""
ANY = "ab Z019.,:;\"'“”#*-|/()[]\n狐椅：。🦊"
"""Of what a text may be made that no critic would write."""

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
SCORES = (
    "Final Score: {}\n",
    "(Score: {})\n",
    "Score - {}\n",
    "Score—{}\n",
    "**Score** {}\n",
    "## Score\n{}\n",
)
SCORES += (
    "<b>Score:</b> {}\n",
    "最终评分：{}\n",
    "（评分：{}）\n",
    "评分——{}\n",
    "评分{}\n",
    "**评分** {}\n",
)
PREAMBLES = ("", "", "", "Sure, here is my evaluation:\n\n", "<think>\n\n</think>\n\n")
PREAMBLES += ("<think>\nGreen, I think. Maybe 3?\n</think>\n",)
ENDINGS = ("", "", "\n", "\n\n---", "\n\nLet me know if this helps!", "\n#fox #chair")


def answer(seed: int) -> NaturalAnswer:
    """An answer of any task and style, with the scores that were written: the same for the same seed."""
    rng = Random(seed)
    task = rng.choice(("t2i", "edit", "t2i-pair", "edit-pair"))
    style = rng.choice(("card", "test-time", "single"))
    aspects, pair = (EDIT_ASPECTS if task.startswith("edit") else T2I_ASPECTS), task.endswith("pair")
    scores, spelled = [], []
    for name in aspects:
        applies = name != "Text Rendering" or rng.random() < 0.5
        one = (_pair_score(rng) if pair else rng.choice(VALUES)) if applies else NA
        scores.append(one)
        if pair:
            a, b, winner = one or (NA, NA, NA)
            named = rng.choice(WINNERS[winner] if winner else NOT_APPLICABLE)
            spelled.append((_spelled(rng, a), _spelled(rng, b), named))
        else:
            spelled.append(_spelled(rng, one))
    words = [_text(rng) for _ in range(len(aspects) + 3)]
    refined = "" if pair else f"A photo of a red fox asleep on a blue chair. {_text(rng)}"
    said = Texts(words[0], tuple(words[3:]), words[1], words[2], refined, aspects)
    return NaturalAnswer(f"random {seed}", task, _dress(rng, pair).text(said, spelled), tuple(scores), style)


def _text(rng: Random) -> str:
    """One line, several lines or paragraphs, or what no critic would write."""
    kind = rng.randrange(5)
    if kind < 2:
        return rng.choice(LINES)
    if kind == 4:
        return "".join(rng.choices(ANY, k=rng.randint(0, 40)))
    return ("\n" if kind == 2 else "\n\n").join(rng.choices(LINES, k=rng.randint(2, 5 - kind)))


def _spelled(rng: Random, value: float | None) -> str:
    if value is NA:
        return rng.choice(NOT_APPLICABLE)
    tenths = f"{value:.1f}" if value != 2.75 else "2.75"
    return rng.choice(NUMBERS).format(rng.choice((f"{value:g}", tenths, f"{value:.2f}")))


def _pair_score(rng: Random) -> tuple[float, float, str]:
    a, b = rng.choice(VALUES), rng.choice(VALUES)
    return a, b, "A" if a > b else "B" if b > a else "tie"


def _dress(rng: Random, pair: bool) -> Dress:
    def line_end() -> str:
        return rng.choice(("\n", "\n", "\n", "\n\n", " \n", "\n\n---\n\n"))

    def bare(name: str) -> str:
        return rng.choice(BARE).format(name) + line_end()

    def labels(*names: str) -> list[str]:
        """Labels in one dress, in one case."""
        dress, case = rng.choice(LABELS), rng.choice((str, str, str.lower, str.upper))
        return [dress.format(case(name)) for name in names]

    analysis = "{}\n" if rng.randrange(4) == 0 else bare("User Request Analysis") + "{}\n"
    end = line_end()
    parts = ("Score A", "Score B", "Winner") if pair else ("Score",)
    reason, *scores = labels("Justification", *parts)
    if rng.random() < 0.5:
        scores = labels(*parts)
    score = "".join(f"{score}{{}}{end}" for score in scores)
    return Dress(
        before=rng.choice(PREAMBLES),
        analysis=analysis,
        judgement=bare("Detailed Judgement"),
        aspect=rng.choice(ASPECTS) + line_end(),
        reason=reason + "{}" + line_end(),
        score=rng.choice(SCORES) if rng.random() < 0.2 and not pair else score,
        summary=labels("Summary")[0] + "{}" + line_end(),
        refinement=bare("User Request Refinement"),
        comments=labels("Refinement Comments")[0] + "{}" + line_end(),
        refined=labels("Refined Request")[0] + "{}",
        after=rng.choice(ENDINGS),
        score_first=rng.random() < 0.5 and not pair,
    )
