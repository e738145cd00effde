"""Refine loops for tests, made by hand or by hypothesis: finished ones, as states and as strategies."""

from __future__ import annotations

from hypothesis import strategies as st
from rr_tests.made import critique

from rr_models.loop.settings import SEED_POLICIES, LoopSettings
from rr_models.loop.state import State, observe, start

SCORE = st.sampled_from([1.0, 2.0, 2.5, 2.9, 3.0, 3.5, 4.0])
PROMPT = st.sampled_from(["", "one", "two", "three", " padded "])
CRITIQUES = st.lists(st.builds(critique, st.none() | SCORE, SCORE, refined=PROMPT), min_size=1, max_size=3)
SETTINGS = st.builds(
    lambda policies, **others: LoopSettings(seed_policy=policies[0], prompt_policy=policies[1], **others),
    st.sampled_from(
        [
            *((seed, "refined") for seed in SEED_POLICIES),
            ("new", "as written"),
            ("new on stall", "as written"),
        ]
    ),
    rounds=st.integers(1, 6),
    threshold=st.sampled_from([1.0, 3.0, 4.0]),
    aspect_thresholds=st.sampled_from([{}, {"physical_quality": 2.0}, {"text_faithfulness": 4.0}]),
    min_overall=st.sampled_from([0.0, 2.75, 3.5]),
    target_count=st.integers(1, 3),
    time_limit_seconds=st.sampled_from([0.0, 10.0, 25.0]),
    max_failed_rounds=st.integers(0, 2),
    patience=st.integers(0, 3),
    min_gain=st.sampled_from([0.0, 0.05, 1.0]),
    refine_from=st.sampled_from(["best", "latest"]),
)


def finished(
    rounds, settings: LoopSettings | None = None, request: str = "a request", seed: int = 7
) -> State:
    """The state after these rounds' critiques, or after as many of them as the loop takes."""
    state = start(request, seed, settings)
    for number, critiques in enumerate(rounds, 1):
        if not state.done:
            state = observe(state, critiques, seconds=2.5 * number)
    return state
