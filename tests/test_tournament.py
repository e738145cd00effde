"""Tournaments: who is placed where, how many comparisons it takes, and that any order of results works."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_models.judgement.tournament import FORMATS, KNOCKOUT, ROUND_ROBIN, Tournament, max_comparisons, play

SIZES = st.integers(1, 10)
FORMS = st.sampled_from(FORMATS)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 12), FORMS)
def test_a_judge_who_knows_true_worth_gets_the_true_order(worth, places, form):
    fought = []

    def meet(a: int, b: int) -> float:
        fought.append((a, b))
        return worth[a] - worth[b]

    end = play(Tournament(len(worth), places, form), meet)
    best = sorted(range(len(worth)), key=lambda i: (-worth[i], i))
    if form == ROUND_ROBIN:  # points of many comparisons may round to the same sum; worth decides wins
        assert [worth[i] for i in end.ranking] == [worth[i] for i in best]
    else:
        assert end.ranking[:places] == tuple(best[:places])
    assert (
        len(fought) == len({frozenset(pair) for pair in fought}) <= max_comparisons(len(worth), places, form)
    )
    assert sorted(end.ranking) == list(range(len(worth))) and end.done


@given(SIZES, st.integers(1, 10), FORMS, st.data())
def test_any_results_in_any_order_come_to_an_end(count, places, form, data):
    """Judges contradict themselves (a beats b, b beats c, c beats a) and leave comparisons undecided."""
    state, fought = Tournament(count, places, form), 0
    while state.due:
        pair = data.draw(st.sampled_from(state.due))
        if data.draw(st.booleans()):
            state = state.observe(pair[::-1], -data.draw(st.sampled_from([-1.0, 0.0, 0.5])))
        else:
            state = state.observe(pair, data.draw(st.sampled_from([-1.0, 0.0, 0.5])))
        fought += 1
        assert fought <= max_comparisons(count, places, form)
    assert sorted(state.ranking) == list(range(count))
    if form == KNOCKOUT and count > 1:  # the winner has lost to nobody
        best = state.ranking[0]
        assert all(
            (m >= 0) if best == low else (m < 0)
            for (low, high), m in state.results.items()
            if best in (low, high)
        )


@given(st.integers(2, 40))
def test_the_first_round_of_a_knockout_pairs_everyone_it_can(count):
    due = Tournament(count).due
    fighting = [number for pair in due for number in pair]
    assert len(set(fighting)) == len(fighting) and all(a < b for a, b in due)
    assert len(due) >= count // 4


def test_undecided_comparisons_leave_the_order_as_it_was():
    for form in FORMATS:
        assert play(Tournament(6, 6, form), lambda a, b: 0.0).ranking == (0, 1, 2, 3, 4, 5)


def test_favourites_meet_late():
    fought = []
    play(Tournament(8, 1), lambda a, b: fought.append((a, b)) or 1.0)
    assert fought[-1] == (0, 1) and (0, 1) not in fought[:-1]


def test_cost():
    assert [max_comparisons(n) for n in (1, 2, 3, 4, 8)] == [0, 1, 2, 3, 7]
    assert max_comparisons(8, 2) == 9 and max_comparisons(8, 8) < max_comparisons(8, 1, ROUND_ROBIN) == 28
    assert max_comparisons(64, 64) < 64 * 6, "about N log N for the whole order"


@pytest.mark.parametrize(
    ("given", "said"), [((0, 1), "one entry"), ((1, 0), "one place"), ((2, 1, "cup"), "cup")]
)
def test_what_is_no_tournament_is_an_error(given, said):
    with pytest.raises(ValueError, match=said):
        Tournament(*given)


def test_only_what_is_due_can_be_observed():
    state = Tournament(4)
    (first, *_) = state.due
    state = state.observe(first, 1.0)
    for pair in (first, (0, 0), next(p for p in combinations(range(4), 2) if p not in (*state.due, first))):
        with pytest.raises(ValueError, match="is not due"):
            state.observe(pair, 1.0)
