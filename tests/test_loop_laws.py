"""Laws of the refine loop that hold after every round, for any critic and any settings."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rr_tests.histories import CRITIQUES, PROMPT, SETTINGS

from rr_models.judgement.critique import COMPLETE
from rr_models.judgement.ranking import rank
from rr_models.loop.replay import replay
from rr_models.loop.state import SEEDS, end, observe, start
from rr_models.loop.stop_reason import StopReason


class Laws(RuleBasedStateMachine):
    """Any critic and any settings: what must hold after every round."""

    @initialize(chosen=SETTINGS, seed=st.integers(0, SEEDS - 1))
    def begin_first(self, chosen, seed):
        self.begin(chosen, seed)

    def begin(self, chosen, seed):
        self.state = start("a request", seed, chosen)
        self.generated, self.began, self.clock, self.quickest = [], [], 0.0, 99.0

    @precondition(lambda self: not self.state.done)
    @rule(critiques=CRITIQUES, next_prompt=st.none() | PROMPT, seconds=st.sampled_from([1.0, 4.0, 9.0]))
    def play(self, critiques, next_prompt, seconds):
        before = self.state
        self.generated.append((before.prompt, before.seed))
        self.began.append(self.clock)
        self.quickest = min(self.quickest, seconds)
        self.clock += seconds
        self.state = observe(
            before, critiques, [(before.number, i) for i in range(len(critiques))], next_prompt, self.clock
        )
        assert before.history == self.state.history[:-1], "the past was changed"

    @precondition(lambda self: not self.state.done)
    @rule()
    def stop(self):
        before = self.state
        self.state = end(before, StopReason.STOPPED)
        assert (self.state.best, self.state.best_payload) == (before.best, before.best_payload)

    @precondition(lambda self: self.state.done)
    @rule(chosen=SETTINGS, seed=st.integers(0, SEEDS - 1))
    def begin_again(self, chosen, seed):
        self.begin(chosen, seed)

    @invariant()
    def budget(self):
        assert len(self.state.history) <= self.state.settings.rounds
        assert self.state.number <= self.state.settings.rounds

    @invariant()
    def time_budget(self):
        limit = self.state.settings.time_limit_seconds
        if limit and not self.state.done and self.state.history:
            assert self.clock + self.quickest <= limit
        if limit:
            assert all(begin < limit for begin in self.began)

    @invariant()
    def accepted_are_the_first_at_the_thresholds_and_no_more_than_wanted(self):
        thresholds, count = self.state.settings.thresholds, self.state.settings.target_count
        good = [
            (past.number, i)
            for past in self.state.history
            for i in rank(past.critiques, thresholds=thresholds)
            if thresholds.reached(past.critiques[i])
        ]
        assert [one.payload for one in self.state.accepted] == good[:count]
        assert [(one.number, one.candidate) for one in self.state.accepted] == good[:count]
        if len(good) >= count:
            assert self.state.done

    @invariant()
    def no_more_rounds_fail_than_allowed(self):
        failed = sum(past.critique.status != COMPLETE for past in self.state.history)
        assert failed <= self.state.settings.max_failed_rounds + self.state.done

    @invariant()
    def the_prompt_as_written_stays(self):
        if self.state.settings.prompt_policy == "as written":
            assert {prompt for prompt, _ in self.generated} <= {"a request"}

    @invariant()
    def what_changed_is_said(self):
        for one, other in zip(self.state.history, self.state.history[1:], strict=False):
            assert ("prompt" in other.changed) == (one.prompt != other.prompt)
            assert ("seed" in other.changed) == (one.seed != other.seed)

    @invariant()
    def the_history_replays_from_json(self):
        data = json.loads(json.dumps(self.state.to_dict()))
        assert replay(data).to_dict() == self.state.to_dict()

    @invariant()
    def never_the_same_image_twice(self):
        assert len(set(self.generated)) == len(self.generated)

    @invariant()
    def the_best_is_the_first_best_of_all_candidates(self):
        if not self.generated:
            return
        everything = [
            ((past.number, i), one) for past in self.state.history for i, one in enumerate(past.critiques)
        ]
        order = rank([one for _, one in everything], thresholds=self.state.settings.thresholds)
        assert self.state.best_payload == everything[order[0]][0]

    @invariant()
    def no_round_with_a_lower_standing_is_preferred(self):
        if self.state.best is None:
            return
        best, thresholds = self.state.best.critique, self.state.settings.thresholds
        for past in self.state.history:
            if past.critique.status == COMPLETE:
                assert best.status == COMPLETE
                assert (thresholds.reached(best), best.overall) >= (
                    thresholds.reached(past.critique),
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
        assert self.state.done == bool(self.state.stop_text)
        assert not self.state.done or self.state.stop_text.endswith(".")
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
