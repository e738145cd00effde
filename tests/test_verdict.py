"""Comparisons: what a verdict says, and how two orders become one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.judgement.critique import COMPLETE, INCOMPLETE, MISSING, NOT_APPLICABLE, SCORED
from rr_models.judgement.verdict import PairScore, Verdict, averaged, winner_of


def verdict(*pairs: tuple[float, float] | str | None, **fields) -> Verdict:
    """A verdict with these scores for A and B, in the order of t2i's aspects; what is left out does not
    apply, None is missing."""
    aspects = []
    for aspect, pair in zip(RATIONAL_REWARDS.t2i, (*pairs, *["N/A"] * (3 - len(pairs))), strict=True):
        if pair is None or pair == "N/A":
            aspects.append(PairScore(aspect.key, aspect.name, MISSING if pair is None else NOT_APPLICABLE))
        else:
            a, b = pair
            aspects.append(PairScore(aspect.key, aspect.name, SCORED, a, b, winner_of(a - b, 0)))
    status = INCOMPLETE if None in pairs else COMPLETE
    return Verdict("t2i-pair", "a request", tuple(aspects), status, **fields)


scores = st.floats(1, 4)
verdicts = st.builds(
    lambda pairs: verdict(*pairs), st.lists(st.tuples(scores, scores), min_size=1, max_size=3)
)


def test_the_better_mean_wins():
    better = verdict((3.0, 2.0), (3.0, 3.5))
    assert (better.overall_a, better.overall_b) == (3.0, 2.75)
    assert better.margin == 0.25 and better.winner == "A"
    assert better.scores_line() == (
        "Text Faithfulness 3.0 : 2.0 (A), Physical and Visual Quality 3.0 : 3.5 (B), Text Rendering N/A; "
        "overall 3.00 : 2.75, A wins"
    )


def test_a_margin_within_the_band_is_a_tie():
    assert verdict((2.3, 2.2), tie_margin=0.1).winner == "tie"
    assert verdict((2.3, 2.2), tie_margin=0.09).winner == "A"
    with pytest.raises(ValueError, match="tie_margin must be 0 or more"):
        verdict((2.3, 2.2), tie_margin=-1)


def test_a_gap_has_no_winner():
    gap = verdict((4.0, 1.0), None)
    assert gap.winner is gap.margin is gap.overall_a is None
    assert gap.scores_line().endswith("Physical and Visual Quality missing, Text Rendering N/A; incomplete")


def test_weights_decide_what_counts():
    pairs = (3.0, 2.0), (2.0, 3.5)
    assert verdict(*pairs).winner == "B"
    assert verdict(*pairs, weights={"physical_quality": 0.5}).winner == "A"


def test_both_orders_are_averaged_and_their_bias_told():
    """Each order gives half a point too much to what stands first."""
    both = averaged(verdict((3.5, 2.0)), verdict((2.5, 3.0)))
    assert both.aspects[0] == PairScore("text_faithfulness", "Text Faithfulness", SCORED, 3.25, 2.25, "A")
    assert both.position_bias == 0.5 and both.agreed is True and both.winner == "A"
    torn = averaged(verdict((3.0, 2.0)), verdict((3.0, 2.0)))
    assert torn.winner == "tie" and torn.agreed is False and torn.position_bias == 1.0


def test_a_gap_in_one_order_is_a_gap():
    both = averaged(verdict((3.0, 2.0), (2.0, 2.0)), verdict((3.0, 2.0), None))
    assert both.status == INCOMPLETE and both.winner is None
    assert both.position_bias is None and both.agreed is None
    assert both.aspects[1].status == MISSING


def test_what_applies_in_one_order_only_is_noted():
    both = averaged(verdict((3.0, 2.0), (2.0, 2.0)), verdict((2.0, 3.0)))
    assert both.aspects[1].score_a == 2.0
    assert both.notes == ("Physical and Visual Quality: applied in one order only",)


def test_status_and_scores_must_go_together():
    with pytest.raises(ValueError, match="Mood.*scored"):
        PairScore("mood", "Mood", SCORED, 1.0, None, "A")
    with pytest.raises(ValueError, match="Mood.*missing"):
        PairScore("mood", "Mood", MISSING, winner="A")
    with pytest.raises(ValueError, match="'A', 'B' or 'tie', not 'C'"):
        PairScore("mood", "Mood", SCORED, 1.0, 1.0, "C")
    with pytest.raises(ValueError, match="between 1 and 4, not at 4.5"):
        verdict((4.5, 1.0))


@given(verdicts, verdicts)
def test_dict_is_an_exact_inverse_through_json(one, two):
    for found in (one, averaged(one, two, tie_margin=0.2) if len(one.aspects) == len(two.aspects) else two):
        assert Verdict.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@given(verdicts)
def test_the_names_do_not_matter(found):
    other = found.swapped()
    assert other.swapped() == found
    assert other.winner == {"A": "B", "B": "A"}.get(found.winner, found.winner)
    fair = averaged(found, other)
    assert fair.position_bias == pytest.approx(0) and fair.winner == found.winner
