"""What the engine keeps between runs: a kept cache never changes an answer, and is there only as long as it
should be.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rr_tests import tiny
from rr_tests.programs import Case, cases, run

from rr_models.critics import local
from rr_models.critics.base import Question
from rr_models.critics.options import JudgeOptions
from rr_models.engine import engine as engines
from rr_models.engine.engine import Engine
from rr_models.engine.trie_step import NonFiniteLogits

CASE = Case((11, 12, 13), (("sample", 5), ("words", None)))
WIDE = Case((11, 12, 13), (("sample", 5), ("words", None)), max_new_tokens=600)
SHARED = Case((11, 12, 13, 14), (("sample", 3), ("words", None)), prefix=2)


@pytest.fixture(scope="module")
def critic(tmp_path_factory) -> local.LocalCritic:
    return local.load(tiny.make_random(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def engine(critic) -> Engine:
    return Engine(critic.model)


@torch.inference_mode()
def poison(engine: Engine) -> None:
    """Turn all that earlier sequences left in the cache into NaN, which shows wherever it is read."""
    if engine._kept:
        cache = engine._kept.cache
        for tensor in (*cache.keys, *cache.values):
            for row in (*cache._used, cache.prefix_row):
                tensor[row] = torch.nan


runs = st.lists(
    st.tuples(
        cases(prefixes=(0, 2), limits=(200, 600), max_size=3), st.integers(1, 3), st.sampled_from([0, 4])
    ),
    min_size=2,
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=runs)
@example(runs=[([WIDE, CASE, SHARED], 3, 4), ([CASE], 1, 4), ([SHARED, SHARED], 2, 0), ([CASE], 1, 0)])
def test_a_run_after_other_runs_is_bit_equal_to_one_on_a_new_engine(critic, runs):
    """For other lengths, widths, batch sizes, orders and modes, with drafts, and with a shared prefix."""
    kept = Engine(critic.model)
    for cases_of_run, rows, padded_batch_size in runs:
        alone, _ = run(Engine(critic.model), cases_of_run)
        options = {"rows": rows, "padded_batch_size": padded_batch_size, "drafts_from": alone}
        poison(kept)
        assert run(kept, cases_of_run, **options) == run(Engine(critic.model), cases_of_run, **options)


def test_equal_runs_allocate_once_and_a_larger_one_replaces_the_cache(engine):
    for _ in range(3):
        run(engine, [CASE, CASE], rows=2)
    assert engine.allocations == 1
    small = engine.nbytes
    run(engine, [CASE], rows=1)
    assert engine.allocations == 1 and engine.nbytes == small
    run(engine, [WIDE, CASE], rows=2)
    assert engine.allocations == 2 and engine.nbytes > small


def test_a_cache_that_stays_far_too_large_is_replaced_by_a_smaller_one(engine):
    run(engine, [WIDE] * 8, rows=8)
    large = engine.nbytes
    for _ in range(engines.OVERSIZE_PATIENCE - 1):
        run(engine, [CASE])
    assert engine.allocations == 1 and engine.nbytes == large
    run(engine, [CASE])
    assert engine.allocations == 2 and engine.nbytes < large / engines.OVERSIZE


@pytest.mark.slow
def test_alternating_batch_sizes_keep_the_larger_cache(engine):
    for _ in range(2 * engines.OVERSIZE_PATIENCE):
        run(engine, [WIDE] * 8, rows=8)
        run(engine, [CASE])
    assert engine.allocations == 1


def test_no_more_stays_in_main_memory_than_the_limit(critic, monkeypatch):
    engine = Engine(critic.model)
    monkeypatch.setattr(engines, "CPU_IDLE_BYTES", 1000)
    run(engine, [CASE])
    assert engine.nbytes == 0
    monkeypatch.undo()
    run(engine, [CASE])
    assert 0 < engine.nbytes <= engines.CPU_IDLE_BYTES
    assert Engine(critic.model, max_idle_bytes=0).nbytes == 0


class Stopped(Exception):
    pass


def stop_after(steps: int, error: type[BaseException]):
    def on_step():
        nonlocal steps
        steps -= 1
        if not steps:
            raise error("out of memory")

    return on_step


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("padded_batch_size", [0, 4])
def test_a_stopped_run_leaves_an_engine_that_works(engine, critic, steps: int, padded_batch_size: int):
    work = [CASE, SHARED, SHARED]
    with pytest.raises(Stopped):
        run(engine, work, 2, padded_batch_size, on_step=stop_after(steps, Stopped))
    poison(engine)
    assert engine.nbytes > 0
    expected = run(Engine(critic.model), work, 2, padded_batch_size)
    assert run(engine, work, 2, padded_batch_size) == expected


def test_where_memory_runs_out_nothing_stays(engine, critic):
    run(engine, [CASE])
    with pytest.raises(torch.OutOfMemoryError):
        run(engine, [CASE], on_step=stop_after(2, torch.OutOfMemoryError))
    assert engine.nbytes == 0
    assert run(engine, [CASE]) == run(Engine(critic.model), [CASE])


def test_nan_of_one_run_does_not_reach_the_next(engine, critic, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(NonFiniteLogits):
        real = critic.model.lm_head.forward
        patch.setattr(critic.model.lm_head, "forward", lambda hidden: real(hidden) * torch.nan)
        run(engine, [CASE])
    poison(engine)
    assert run(engine, [CASE]) == run(Engine(critic.model), [CASE])


def test_a_run_within_a_run_gets_a_cache_of_its_own(engine, critic):
    inner = []

    def on_step():
        if not inner:
            inner.append(run(engine, [SHARED]))

    outer = run(engine, [CASE, CASE], 2, on_step=on_step)
    assert outer == run(Engine(critic.model), [CASE, CASE], 2)
    assert inner == [run(Engine(critic.model), [SHARED])]


@pytest.mark.slow
def test_what_is_kept_leaves_with_the_weights(tmp_path):
    critic = local.load(tiny.make(tmp_path / "tiny"))
    question = Question("t2i", "A red fox.", (torch.rand(64, 64, 3),))

    def judge():
        return critic.judge([question], JudgeOptions(detail="scores", max_new_tokens=200))

    first = judge()
    kept = critic.engine.nbytes
    assert kept > 0 and judge() == first and critic.engine.allocations == 1
    critic.weights.unload()
    assert critic.engine.nbytes == 0
    critic.weights.load(torch.device("cpu"))
    assert judge() == first and critic.engine.nbytes == kept
    critic.weights.load(torch.device("cpu", 0))  # moved without being unloaded
    assert critic.engine.nbytes == 0
    assert judge() == first


def test_a_cache_of_other_weights_is_not_used(critic, engine):
    """Even if nobody released it: graphs hold addresses."""
    run(engine, [CASE])
    head = critic.model.lm_head
    before = head.weight
    try:
        head.weight = torch.nn.Parameter(before.clone(), requires_grad=False)
        run(engine, [CASE])
    finally:
        head.weight = before
    assert engine.allocations == 2
