"""Ranking critiques."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rr_tests.made import critique

from rr_models.judgement.critique import COMPLETE, SCORED, AspectScore, Critique
from rr_models.judgement.ranking import EXPECTED, RankBy, pick, rank, tied

SCORE = st.none() | st.sampled_from([1.0, 2.0, 2.9, 3.0, 3.5, 4.0])
CRITIQUES = st.lists(st.builds(critique, SCORE, SCORE), min_size=1, max_size=8)


def test_higher_overall_first():
    assert rank([critique(2.0), critique(4.0), critique(3.0)]) == (1, 2, 0)


def test_of_equals_the_earlier_comes_first():
    assert rank([critique(3.0, 2.0), critique(2.0, 3.0), critique(2.5)]) == (0, 1, 2)


def test_incomplete_comes_last_whatever_it_scored():
    assert rank([critique(4.0, None), critique(1.0, 1.0)]) == (1, 0)


def test_by_one_aspect():
    both = [critique(4.0, 1.0), critique(1.0, 2.0)]
    assert rank(both, RankBy("physical_quality")) == (1, 0)
    assert rank(both, RankBy("text_faithfulness")) == (0, 1)


def test_where_an_aspect_does_not_apply_comes_after_those_it_applies_to():
    assert rank(
        [critique(4.0, 4.0), critique(1.0, 1.0, 1.0), critique(1.0, None, 1.0)], RankBy("text_rendering")
    ) == (1, 0, 2)


def test_with_thresholds_the_accepted_come_first():
    uneven, even = critique(4.0, 4.0, 2.0), critique(3.0, 3.0, 3.0)
    assert rank([uneven, even]) == (0, 1)
    assert rank([uneven, even], thresholds=3.0) == (1, 0)


def test_an_aspect_that_is_not_judged_is_an_error_that_names_those_that_are():
    with pytest.raises(ValueError, match="image_faithfulness.*text_rendering"):
        rank([critique(3.0)], RankBy("image_faithfulness"))


@given(CRITIQUES, st.integers(1, 10), st.none() | st.floats(1, 4))
def test_picking_parts_the_batch_and_keeps_no_more_than_is_good_enough(critiques, count, threshold):
    picked = pick(critiques, count, threshold=threshold)
    assert sorted(picked.kept + picked.rest) == list(range(len(critiques)))
    fit = [i for i in rank(critiques) if critiques[i].status == COMPLETE]
    if threshold is not None:
        fit = [i for i in fit if critiques[i].overall >= threshold]
    assert picked.kept == tuple(fit[:count])
    assert [i for i in rank(critiques) if i in picked.rest] == list(picked.rest)


@given(CRITIQUES)
def test_order_holds_between_all_neighbours(critiques):
    order = rank(critiques)
    for one, other in zip(order, order[1:], strict=False):
        first, second = critiques[one], critiques[other]
        assert first.status == COMPLETE or second.status != COMPLETE
        if first.overall is not None and second.overall is not None:
            assert first.overall > second.overall or (first.overall == second.overall and one < other)


@pytest.mark.parametrize("count", [0, -1])
def test_best_of_none_is_an_error(count):
    with pytest.raises(ValueError, match="count"):
        pick([critique(3.0)], count)


def test_weights_rank_without_changing_the_critiques():
    both = [critique(4.0, 1.0), critique(2.0, 2.5)]
    assert rank(both) == (0, 1)
    order = RankBy(weights={"physical_quality": 3})
    assert rank(both, order) == (1, 0) and order.score(both[1]) == (2.0 + 3 * 2.5) / 4
    assert both[1].overall == 2.25
    # weights that a critique carries count until others are given
    assert rank([critique(4.0, 1.0, weights={"text_faithfulness": 0.0}), critique(2.0, 2.0)]) == (1, 0)
    with pytest.raises(ValueError, match="'mood' is not judged"):
        rank(both, RankBy(weights={"mood": 1}))
    with pytest.raises(ValueError, match="set rank_by to 'overall'"):
        RankBy("text_faithfulness", {"text_faithfulness": 2})


def test_equal_means_are_equal_whatever_the_order_of_their_scores():
    assert (1.0 + 1.2 + 1.1) / 3 != (1.1 + 1.2 + 1.0) / 3
    assert rank([critique(1.1, 1.2, 1.0), critique(1.0, 1.2, 1.1)]) == (0, 1)
    assert rank([critique(1.0, 1.2, 1.1), critique(1.1, 1.2, 1.0)]) == (0, 1)


def likely(score: float, expected: float | None, request: str = "r") -> Critique:
    scored = AspectScore("text_faithfulness", "Text Faithfulness", SCORED, score, expected=expected)
    return Critique("t2i", request, (scored,), COMPLETE)


def test_ties_by_the_expected_score():
    three = [likely(3.0, 2.6), likely(3.0, 3.2), likely(3.5, 1.0)]
    assert rank(three) == (2, 0, 1)
    assert rank(three, RankBy(tie_break=EXPECTED)) == (2, 1, 0)
    # where one of the equals has none, it would be unjust to ask the others
    assert rank([*three, likely(3.0, None)], RankBy(tie_break=EXPECTED)) == (2, 0, 1, 3)
    with pytest.raises(ValueError, match="tie_break must be one of"):
        RankBy(tie_break="dice")


def test_only_ties_that_bear_on_what_is_kept_are_named():
    many = [critique(score) for score in (3.0, 4.0, 3.0, 2.0, 2.0)]
    ranked = rank(many)
    assert ranked == (1, 0, 2, 3, 4)
    assert tied(many, ranked, 1, RankBy()) == []
    assert tied(many, ranked, 2, RankBy()) == [(0, 2)]
    assert tied(many, ranked, 4, RankBy()) == [(0, 2), (3, 4)]
    assert tied([critique(None), critique(None)], (0, 1), 2, RankBy()) == []
