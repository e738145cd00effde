"""Answers made by hand for tests of the parser, and the short form of what was read."""

from __future__ import annotations

from rr_models.judgement.critique import SCORED, Critique
from rr_models.judgement.verdict import Verdict

FORM = """\
# User Request Analysis
What is asked for.
# Detailed Judgement
1. Text Faithfulness:
## Justification: The fox is there.
## Score: {}
2. Physical and Visual Quality:
## Justification: Clean.
## Score: 3.0
3. Text Rendering:
## Justification: None asked for.
## Score: {}
# Summary: Good.
# User Request Refinement:
## Refinement Comments: Little to do.
## Refined Request: {}
"""


def answer(score="2.0", text_rendering="N/A", refined="A fox."):
    return FORM.format(score, text_rendering, refined)


def is_whole(refined: str) -> bool:
    """Whether a refined request does not end in half a pair of quotes behind a sentence: `A fox."` is read as
    what a critic began without its first quote."""
    quotes = [sign for sign in refined if sign in '"“”„']
    return not (len(quotes) == 1 and refined[-1] == quotes[0] and refined[-2:-1] in (*".!?。！？",))


def without_probabilities(judgement: Critique | Verdict) -> dict:
    """All of a judgement but what was measured: in 32 bit its last digits depend on the batch."""
    data = judgement.to_dict()
    for aspect in data["aspects"]:
        for name in ("expected", "std", "form_mass"):
            aspect.pop(name, None)
    return data


def scores(critique: Critique) -> list:
    return [a.score if a.status == SCORED else a.status for a in critique.aspects]
