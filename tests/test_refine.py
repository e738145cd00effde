"""The refine loop's state machine: when it stops, what it tries next, and that it never loses the best."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rr_tests.made import critique

from rr_models.critique import COMPLETE
from rr_models.refine import SEED_POLICIES, SEED_STEP, SEEDS, Settings, observe, start
from rr_models.select import rank

SCORE = st.sampled_from([1.0, 2.0, 2.5, 2.9, 3.0, 3.5, 4.0])
PROMPT = st.sampled_from(["", "one", "two", "three", " padded "])
CRITIQUES = st.lists(st.builds(critique, st.none() | SCORE, SCORE, refined=PROMPT), min_size=1, max_size=3)
SETTINGS = st.builds(
    Settings,
    rounds=st.integers(1, 6),
    bar=st.sampled_from([1.0, 3.0, 4.0]),
    seed_policy=st.sampled_from(SEED_POLICIES),
    patience=st.integers(0, 3),
    min_gain=st.sampled_from([0.0, 0.05, 1.0]),
    next_from=st.sampled_from(["best", "latest"]),
)


def run(*rounds, **options):
    """The state after these critiques, one per round, with no patience unless asked for."""
    state = start("a request", 7, Settings(**{"rounds": 9, "patience": 0, **options}))
    for number, made in enumerate(rounds, 1):
        assert not state.done, state.reason
        state = observe(state, [made], [f"picture {number}"])
    return state


def test_round_one_tries_the_request_itself():
    state = start("a cat", 7)
    assert (state.prompt, state.seed, state.number, state.done) == ("a cat", 7, 1, False)


def test_stops_when_every_aspect_reaches_the_bar():
    state = run(critique(2.9, 4.0, refined="a"), critique(3.0, 3.0))
    assert state.done and "3 or above in round 2" in state.reason
    assert state.kept == "picture 2"


def test_a_high_mean_does_not_hide_a_low_aspect():
    assert not run(critique(4.0, 2.9)).done


def test_goes_on_with_the_refined_request_and_the_same_seed():
    state = run(critique(2.0, refined="a red cat"))
    assert (state.prompt, state.seed, state.number) == ("a red cat", 7, 2)
    assert state.request == "a request"


def test_a_worse_round_never_replaces_the_best():
    state = run(critique(2.5, refined="a"), critique(1.0, refined="b"), critique(2.0, refined="c"))
    assert (state.best.number, state.kept) == (1, "picture 1")


def test_of_equals_the_earlier_stays():
    state = run(critique(2.0, refined="a"), critique(2.0, refined="b"))
    assert state.kept == "picture 1"


def test_a_picture_at_the_bar_beats_one_with_a_higher_mean_below_it():
    state = run(critique(4.0, 4.0, 2.0, refined="a"), critique(3.0, 3.0, 3.0))
    assert (state.best.number, state.kept) == (2, "picture 2")


def test_the_best_candidate_of_a_batch_is_the_rounds_result():
    state = observe(
        start("a request", 0),
        [critique(1.0), critique(2.0, refined="from two"), critique(2.0)],
        ["a", "b", "c"],
    )
    assert (state.kept, state.history[0].chosen, state.prompt) == ("b", 1, "from two")


def test_round_budget():
    state = run(critique(2.0, refined="a"), critique(2.5, refined="b"), rounds=2)
    assert state.done and state.reason == "All 2 rounds are used."


def test_stall():
    state = run(
        critique(2.0, refined="a"), critique(2.04, refined="b"), critique(1.0, refined="c"), patience=2
    )
    assert state.done and "No gain of 0.05 or more in 2 rounds" in state.reason
    assert state.best.number == 2, "too small to go on for, but better all the same"


def test_a_gain_of_just_the_size_asked_for_counts():
    assert run(critique(3.0, 2.0, refined="a"), critique(3.1, 2.0, refined="b"), patience=1).done is False


def test_no_refined_request():
    state = run(critique(2.0, refined=" "))
    assert state.done and state.reason == "The critic gave no refined request in round 1."


def test_no_refined_request_is_explained_by_what_happened_to_the_answer():
    state = run(critique(2.0, refined="", notes=("the answer was cut off by its length limit",)))
    assert "in round 1: the answer was cut off by its length limit." in state.reason


def test_no_refined_request_is_no_end_with_new_seeds():
    state = run(critique(2.0, refined=""), seed_policy="new")
    assert (state.prompt, state.seed) == ("a request", 7 + SEED_STEP)


def test_the_same_prompt_with_the_same_seed_ends():
    state = run(critique(2.0, refined="a request"))
    assert state.done and "same picture" in state.reason


def test_next_from_best_falls_back_on_the_latest_where_the_best_was_tried():
    state = run(critique(2.0, refined="a"), critique(1.0, refined="b"))
    assert state.prompt == "b"


def test_next_from_latest():
    rounds = critique(2.0, refined="a"), critique(1.0, refined="b"), critique(1.0, refined="c")
    assert run(*rounds, next_from="latest").prompt == "c"


def test_next_from_best_with_new_seeds_returns_to_the_best_prompt():
    state = run(critique(2.0, refined="a"), critique(1.0, refined="b"), seed_policy="new")
    assert (state.prompt, state.seed) == ("a", 7 + 2 * SEED_STEP)


@given(st.integers(0, SEEDS - 1), st.integers(1, 4096))
def test_new_seeds_share_no_picture_of_a_batch(seed, batch):
    """Generators count the seed up by one from picture to picture."""
    state = start("a request", seed, Settings(rounds=5, patience=0, seed_policy="new"))
    drawn = []
    while not state.done:
        drawn += [(state.seed, state.seed + batch - 1)]
        state = observe(state, [critique(2.0)])
    first, *others = sorted(drawn)
    for later in others:
        assert first[1] < later[0]
        first = later


def test_new_on_stall():
    first = run(critique(2.0, refined="a"), seed_policy="new on stall")
    assert first.seed == 7
    second = run(critique(2.0, refined="a"), critique(2.0, refined="b"), seed_policy="new on stall")
    assert (second.prompt, second.seed) == ("a", 7 + SEED_STEP)
    nothing_new = run(critique(2.0, refined="a request"), seed_policy="new on stall")
    assert (nothing_new.prompt, nothing_new.seed) == ("a request", 7 + SEED_STEP)


def test_next_prompt_replaces_the_refined_request():
    state = observe(start("a request", 0), [critique(2.0, refined="mine")], next_prompt=" yours ")
    assert state.prompt == "yours"


def test_a_failed_critique_ends_the_loop_with_the_best_so_far():
    state = run(critique(2.0, refined="a"), critique(4.0, None, notes=("It ran out of memory.",)))
    assert state.done and state.kept == "picture 1"
    assert "round 2 is incomplete: It ran out of memory." in state.reason


def test_a_first_round_that_fails_still_returns_its_picture():
    state = run(critique(None, None))
    assert state.done and state.kept == "picture 1" and state.best.critique.overall is None


def test_a_batch_goes_on_if_one_candidate_was_judged():
    made = [critique(None), critique(2.0, refined="a"), critique(None)]
    state = observe(start("a request", 0), made, ["x", "y", "z"])
    assert not state.done and state.kept == "y"
    assert "candidate 2 of 3; 2 of 3 could not be judged)" in state.history[0].line()


def test_seeds_stay_in_range():
    state = observe(start("a request", SEEDS - 1, Settings(seed_policy="new")), [critique(2.0)])
    assert state.seed == SEED_STEP - 1


def test_history_is_plain_data():
    state = run(critique(2.0, refined="a"), critique(4.0, 4.0))
    data = json.loads(json.dumps(state.to_dict()))
    assert [one["number"] for one in data["rounds"]] == [1, 2]
    assert data["rounds"][0]["scores"]["Text Faithfulness"] == 2.0
    assert data["best"] == 2 and data["reason"] == state.reason


def test_report_has_one_line_per_round_and_the_reason():
    lines = run(critique(2.0, refined="a\nb " + "long " * 100), critique(4.0, 4.0)).report().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Round 1 (seed 7): Text Faithfulness 2.0")
    assert lines[2].startswith("Best: round 2. Every aspect")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rounds": 0}, "rounds"),
        ({"bar": 4.5}, "bar"),
        ({"seed_policy": "random"}, "seed_policy"),
        ({"patience": -1}, "patience"),
        ({"next_from": "worst"}, "next_from"),
    ],
)
def test_settings_out_of_range_are_errors_that_name_them(wrong, named):
    with pytest.raises(ValueError, match=named):
        Settings(**wrong)


def test_wrong_use_is_an_error():
    with pytest.raises(ValueError, match="request is empty"):
        start("  ", 0)
    with pytest.raises(ValueError, match="Round 1: there is no critique"):
        observe(start("r", 0), [])
    with pytest.raises(ValueError, match="Round 1: 2 pictures but 1 critiques"):
        observe(start("a request", 0), [critique(2.0)], ["a", "b"])
    with pytest.raises(ValueError, match='Round 1: .*"a better request".*"a request".*not to the .* prompt'):
        observe(start("a request", 0), [critique(2.0), critique(2.0, request="a better request")])
    with pytest.raises(ValueError, match="has ended"):
        observe(run(critique(4.0, 4.0)), [critique(2.0)])


class Laws(RuleBasedStateMachine):
    """Any critic and any settings: what must hold after every round."""

    @initialize(chosen=SETTINGS, seed=st.integers(0, SEEDS - 1))
    def begin_first(self, chosen, seed):
        self.begin(chosen, seed)

    def begin(self, chosen, seed):
        self.state = start("a request", seed, chosen)
        self.generated = []

    @precondition(lambda self: not self.state.done)
    @rule(critiques=CRITIQUES, next_prompt=st.none() | PROMPT)
    def play(self, critiques, next_prompt):
        before = self.state
        self.generated.append((before.prompt, before.seed))
        self.state = observe(
            before, critiques, [(before.number, i) for i in range(len(critiques))], next_prompt
        )
        assert before.history == self.state.history[:-1], "the past was changed"

    @precondition(lambda self: self.state.done)
    @rule(chosen=SETTINGS, seed=st.integers(0, SEEDS - 1))
    def begin_anew(self, chosen, seed):
        self.begin(chosen, seed)

    @invariant()
    def budget(self):
        assert len(self.state.history) <= self.state.settings.rounds
        assert self.state.number <= self.state.settings.rounds

    @invariant()
    def never_the_same_picture_twice(self):
        assert len(set(self.generated)) == len(self.generated)

    @invariant()
    def the_best_is_the_first_best_of_all_candidates(self):
        if not self.generated:
            return
        everything = [
            ((past.number, i), one) for past in self.state.history for i, one in enumerate(past.critiques)
        ]
        order = rank([one for _, one in everything], bar=self.state.settings.bar)
        assert self.state.kept == everything[order[0]][0]

    @invariant()
    def no_round_with_a_lower_standing_is_preferred(self):
        if self.state.best is None:
            return
        best, bar = self.state.best.critique, self.state.settings.bar
        for past in self.state.history:
            if past.critique.status == COMPLETE:
                assert best.status == COMPLETE
                assert (best.reaches(bar), best.overall) >= (
                    past.critique.reaches(bar),
                    past.critique.overall,
                )

    @invariant()
    def seed_policy(self):
        seeds = [seed for _, seed in self.generated]
        if self.state.settings.seed_policy == "fixed":
            assert len(set(seeds)) <= 1
        if self.state.settings.seed_policy == "new":
            assert len(set(seeds)) == len(seeds)

    @invariant()
    def the_end_is_explained_and_the_request_kept(self):
        assert self.state.done == bool(self.state.reason)
        assert self.state.reason == "" or self.state.reason.endswith(".")
        assert self.state.request == "a request"
        assert self.state.prompt.strip()


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=100, stateful_step_count=8, deadline=None)


@given(SETTINGS, st.lists(CRITIQUES, min_size=6, max_size=6))
def test_the_loop_always_ends(chosen, rounds):
    state = start("a request", 0, chosen)
    for critiques in rounds:
        if not state.done:
            state = observe(state, critiques)
    assert state.done
