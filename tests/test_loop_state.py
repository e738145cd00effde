"""The refine loop's state machine: when it stops, what it tries next, and that it never loses the best."""

from __future__ import annotations

import json
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rr_tests.made import critique

from rr_models.loop.replay import replay
from rr_models.loop.settings import LoopSettings
from rr_models.loop.state import SEED_STEP, SEEDS, end, observe, start
from rr_models.loop.stop_reason import Stop, StopReason


def run(*rounds, **options):
    """The state after these critiques, one per round; by default without patience and with one seed."""
    state = start(
        "a request", 7, LoopSettings(**{"rounds": 9, "patience": 0, "seed_policy": "fixed", **options})
    )
    for number, made in enumerate(rounds, 1):
        assert not state.done, state.stop_text
        state = observe(state, [made], [f"image {number}"])
    return state


def test_round_one_tries_the_request_itself():
    state = start("a cat", 7)
    assert (state.prompt, state.seed, state.number, state.done) == ("a cat", 7, 1, False)


def test_stops_when_every_aspect_reaches_its_threshold():
    state = run(critique(2.9, 4.0, refined="a"), critique(3.0, 3.0))
    assert state.stop == Stop(StopReason.THRESHOLDS_REACHED, {"round": 2, "thresholds": "3"})
    assert state.stop_text == "Round 2 reaches the thresholds: 3."
    assert state.best_payload == "image 2"


def test_a_high_mean_does_not_hide_a_low_aspect():
    assert not run(critique(4.0, 2.9)).done


def test_goes_on_with_the_refined_request_and_the_same_seed():
    state = run(critique(2.0, refined="a red cat"))
    assert (state.prompt, state.seed, state.number) == ("a red cat", 7, 2)
    assert state.request == "a request"


def test_a_worse_round_never_replaces_the_best():
    state = run(critique(2.5, refined="a"), critique(1.0, refined="b"), critique(2.0, refined="c"))
    assert (state.best.number, state.best_payload) == (1, "image 1")


def test_of_equals_the_earlier_stays():
    state = run(critique(2.0, refined="a"), critique(2.0, refined="b"))
    assert state.best_payload == "image 1"


def test_an_image_at_the_threshold_beats_one_with_a_higher_mean_below_it():
    state = run(critique(4.0, 4.0, 2.0, refined="a"), critique(3.0, 3.0, 3.0))
    assert (state.best.number, state.best_payload) == (2, "image 2")


def test_the_best_candidate_of_a_batch_is_the_rounds_result():
    state = observe(
        start("a request", 0),
        [critique(1.0), critique(2.0, refined="from two"), critique(2.0)],
        ["a", "b", "c"],
    )
    assert (state.best_payload, state.history[0].chosen, state.prompt) == ("b", 1, "from two")


def test_round_budget():
    state = run(critique(2.0, refined="a"), critique(2.5, refined="b"), rounds=2)
    assert state.stop == Stop(StopReason.ROUNDS_USED, {"rounds": 2})


def test_stall():
    state = run(
        critique(2.0, refined="a"), critique(2.04, refined="b"), critique(1.0, refined="c"), patience=2
    )
    assert state.stop == Stop(StopReason.NO_GAIN, {"min_gain": "0.05", "rounds": 2})
    assert state.best.number == 2, "too small to go on for, but better all the same"


def test_a_gain_of_just_the_size_asked_for_counts():
    assert run(critique(3.0, 2.0, refined="a"), critique(3.1, 2.0, refined="b"), patience=1).done is False


def test_no_refined_request():
    state = run(critique(2.0, refined=" "))
    assert state.stop == Stop(StopReason.NO_NEW_PROMPT, {"round": 1})


def test_no_refined_request_is_explained_by_what_happened_to_the_answer():
    state = run(critique(2.0, refined="", notes=("the answer was cut off by its length limit",)))
    assert state.stop.reason is StopReason.NO_NEW_PROMPT
    assert state.stop_text.endswith("in round 1: the answer was cut off by its length limit.")


def test_no_refined_request_is_no_end_with_new_seeds():
    state = run(critique(2.0, refined=""), seed_policy="new")
    assert (state.prompt, state.seed) == ("a request", 7 + SEED_STEP)


def test_the_same_prompt_with_the_same_seed_ends():
    state = run(critique(2.0, refined="a request"))
    assert state.stop == Stop(StopReason.SAME_IMAGE)


def test_refine_from_best_falls_back_on_the_latest_where_the_best_was_tried():
    state = run(critique(2.0, refined="a"), critique(1.0, refined="b"))
    assert state.prompt == "b"


def test_refine_from_latest():
    rounds = critique(2.0, refined="a"), critique(1.0, refined="b"), critique(1.0, refined="c")
    assert run(*rounds, refine_from="latest").prompt == "c"


def test_refine_from_best_with_new_seeds_returns_to_the_best_prompt():
    state = run(critique(2.0, refined="a"), critique(1.0, refined="b"), seed_policy="new")
    assert (state.prompt, state.seed) == ("a", 7 + 2 * SEED_STEP)


@given(st.integers(0, SEEDS - 1), st.integers(1, 4096))
def test_new_seeds_share_no_image_of_a_batch(seed, batch):
    """Generators count the seed up by one from image to image."""
    state = start("a request", seed, LoopSettings(rounds=5, patience=0, seed_policy="new"))
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
    assert state.done and state.best_payload == "image 1"
    assert state.stop == Stop(
        StopReason.CRITIQUE_FAILED, {"round": 2, "status": "incomplete"}, "It ran out of memory."
    )
    assert state.stop_text == "The critique of round 2 is incomplete: It ran out of memory."


def test_a_first_round_that_fails_still_returns_its_image():
    state = run(critique(None, None))
    assert state.done and state.best_payload == "image 1" and state.best.critique.overall is None


def test_a_batch_goes_on_if_one_candidate_was_judged():
    made = [critique(None), critique(2.0, refined="a"), critique(None)]
    state = observe(start("a request", 0), made, ["x", "y", "z"])
    assert not state.done and state.best_payload == "y"
    assert "candidate 2 of 3; 2 of 3 could not be judged)" in state.history[0].line()


def test_seeds_stay_in_range():
    state = observe(start("a request", SEEDS - 1, LoopSettings(seed_policy="new")), [critique(2.0)])
    assert state.seed == SEED_STEP - 1


def test_history_is_plain_data():
    state = run(critique(2.0, refined="a"), critique(4.0, 4.0))
    data = json.loads(json.dumps(state.to_dict()))
    assert [one["number"] for one in data["rounds"]] == [1, 2]
    assert data["rounds"][0]["scores"]["Text Faithfulness"] == 2.0
    assert (
        data["best"] == 2
        and data["stop"]["code"] == "thresholds_reached"
        and data["stop"]["text"] == state.stop_text
    )


def test_report_has_one_line_per_round_and_the_reason():
    lines = run(critique(2.0, refined="a\nb " + "long " * 100), critique(4.0, 4.0)).report().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Round 1 (seed 7): Text Faithfulness 2.0")
    assert lines[2].startswith("Best: round 2. Round 2 reaches the thresholds")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rounds": 0}, "rounds"),
        ({"seed_policy": "random"}, "seed_policy"),
        ({"patience": -1}, "patience"),
        ({"refine_from": "worst"}, "refine_from"),
        ({"target_count": 0}, "target_count"),
        ({"threshold": float("nan")}, "threshold must be a score"),
        ({"time_limit_seconds": float("nan")}, "time_limit_seconds"),
        ({"max_failed_rounds": -1}, "max_failed_rounds"),
        ({"prompt_policy": "as written", "seed_policy": "fixed"}, "same image.*seed_policy"),
    ],
)
def test_settings_out_of_range_are_errors_that_name_them(wrong, named):
    with pytest.raises(ValueError, match=named):
        LoopSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"threshold": 4.5}, "threshold must lie between 1 .worst. and 4 .best.; it is 4.5"),
        ({"aspect_thresholds": {"text_faithfulness": 5}}, "aspect_thresholds: text_faithfulness must lie"),
        ({"min_overall": 0.5}, "min_overall must lie .* 0 for no minimum"),
    ],
)
def test_thresholds_lie_on_the_critics_scale(wrong, said):
    with pytest.raises(ValueError, match=said):
        run(critique(3.0), **wrong)
    assert run(critique(3.0, scale=(0.0, 10.0)), threshold=8.0).done is False


def test_thresholds_of_single_aspects_and_of_the_overall():
    assert run(critique(3.5, 2.0), aspect_thresholds={"physical_quality": 2.0}).done
    assert not run(critique(3.5, 2.9), aspect_thresholds={"text_faithfulness": 2.0}).done
    assert not run(critique(3.0, 3.0), min_overall=3.2).done
    assert run(critique(3.0, 3.5), min_overall=3.2).stop.parameters["thresholds"] == "3, overall=3.2"
    with pytest.raises(
        ValueError, match="aspect_thresholds: 'mood' is not judged here; the aspects are text_faithfulness"
    ):
        run(critique(3.0), aspect_thresholds={"mood": 2.0})


def test_reward_filtered_sampling():
    state = run(
        critique(3.0),
        critique(1.0),
        critique(3.5),
        target_count=2,
        prompt_policy="as written",
        seed_policy="new",
    )
    assert state.stop == Stop(StopReason.TARGET_COUNT_REACHED, {"target_count": 2})
    assert [one.payload for one in state.accepted] == ["image 1", "image 3"]
    assert {past.prompt for past in state.history} == {"a request"} and state.best_payload == "image 3"
    assert "Accepted: round 3, candidate 1 (seed 2000013)" in state.report()


def test_no_round_begins_that_cannot_end_in_time():
    state = start("a request", 7, LoopSettings(time_limit_seconds=10, seed_policy="new", patience=0))
    state = observe(state, [critique(2.0)], seconds=6.0)
    assert state.stop.reason is StopReason.TIME_LIMIT
    assert state.stop_text == "6 of 10 seconds are used, and another round takes at least 6."
    state = start("a request", 7, LoopSettings(time_limit_seconds=12, seed_policy="new", patience=0))
    assert not observe(state, [critique(2.0)], seconds=6.0).done


def test_a_failed_round_may_be_survived():
    state = run(
        critique(2.0, refined="a"), critique(None, refined=""), seed_policy="new", max_failed_rounds=1
    )
    assert not state.done and state.best.number == 1 and state.prompt == "a"
    assert observe(state, [critique(None)], ["x"]).done


def test_what_is_new_in_a_round_is_said():
    state = run(critique(2.0, refined="a"), critique(2.0, refined="b"), critique(2.0), seed_policy="new")
    assert [past.changed for past in state.history] == ["", "prompt and seed", "seed"]
    assert "(seed 2000013; new seed)" in state.report()


def test_a_history_that_was_changed_does_not_replay():
    data = json.loads(json.dumps(run(critique(2.0, refined="a"), critique(2.0, refined="b")).to_dict()))
    assert replay(data).prompt == "b"
    data["rounds"][1]["prompt"] = "something else"
    with pytest.raises(ValueError, match="does not replay: round 2 has prompt 'something else'"):
        replay(data)


def test_a_loop_ended_by_its_caller_replays():
    state = end(run(critique(2.0, refined="a")), StopReason.ROUND_FAILED, "RuntimeError: no memory.")
    assert state.stop_text == "Round 2 failed: RuntimeError: no memory."
    assert replay(json.loads(json.dumps(state.to_dict()))).stop == state.stop


@pytest.mark.parametrize("reason", StopReason)
def test_every_stop_reason_has_a_sentence_of_its_parameters(reason):
    names = [name for _, name, _, _ in Formatter().parse(reason.template) if name]
    stop = Stop(reason, dict.fromkeys(names, 7), "Why. ")
    assert stop.to_dict()["text"] == str(stop) and str(stop).endswith(": Why.") and "{" not in str(stop)
    assert Stop.from_dict(json.loads(json.dumps(stop.to_dict()))) == stop
    if names:
        with pytest.raises(ValueError, match=f"stop.parameters.{names[0]} is missing"):
            Stop.from_dict(stop.to_dict() | {"parameters": {}})


def test_wrong_use_is_an_error():
    with pytest.raises(ValueError, match="request is empty"):
        start("  ", 0)
    with pytest.raises(ValueError, match="There is no critique"):
        observe(start("r", 0), [])
    with pytest.raises(ValueError, match="one critique for each image, not 1 for 2 images"):
        observe(start("a request", 0), [critique(2.0)], ["a", "b"])
    with pytest.raises(ValueError, match='request, "a request", not by "a better request"'):
        observe(start("a request", 0), [critique(2.0), critique(2.0, request="a better request")])
    with pytest.raises(ValueError, match="has ended already: Round 1 reaches"):
        end(run(critique(4.0, 4.0)), StopReason.STOPPED)
    with pytest.raises(ValueError, match="no_gain is for the loop itself to decide"):
        end(start("r", 0), StopReason.NO_GAIN)
    with pytest.raises(ValueError, match="has ended"):
        observe(run(critique(4.0, 4.0)), [critique(2.0)])
