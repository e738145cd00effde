"""Ranking critiques."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rr_tests.made import critique

from rr_models.critique import COMPLETE
from rr_models.select import rank, top_k

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
    assert rank(both, "physical_quality") == (1, 0)
    assert rank(both, "text_faithfulness") == (0, 1)


def test_where_an_aspect_does_not_apply_comes_after_those_it_applies_to():
    assert rank(
        [critique(4.0, 4.0), critique(1.0, 1.0, 1.0), critique(1.0, None, 1.0)], "text_rendering"
    ) == (1, 0, 2)


def test_with_a_bar_the_accepted_come_first():
    uneven, even = critique(4.0, 4.0, 2.0), critique(3.0, 3.0, 3.0)
    assert rank([uneven, even]) == (0, 1)
    assert rank([uneven, even], bar=3.0) == (1, 0)


def test_an_aspect_that_is_not_judged_is_an_error_that_names_those_that_are():
    with pytest.raises(ValueError, match="image_faithfulness.*text_rendering"):
        rank([critique(3.0)], "image_faithfulness")


@given(CRITIQUES, st.integers(1, 10))
def test_top_k_parts_the_batch(critiques, k):
    best, rest = top_k(critiques, k)
    assert sorted(best + rest) == list(range(len(critiques)))
    assert len(best) == min(k, len(critiques))
    assert best + rest == rank(critiques)


@given(CRITIQUES)
def test_order_holds_between_all_neighbours(critiques):
    order = rank(critiques)
    for one, other in zip(order, order[1:], strict=False):
        first, second = critiques[one], critiques[other]
        assert first.status == COMPLETE or second.status != COMPLETE
        if first.overall is not None and second.overall is not None:
            assert first.overall > second.overall or (first.overall == second.overall and one < other)


@pytest.mark.parametrize("k", [0, -1])
def test_best_of_none_is_an_error(k):
    with pytest.raises(ValueError, match="count"):
        top_k([critique(3.0)], k)
