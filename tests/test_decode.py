"""The decode loop: whatever programs force, sample, select and draft, and whatever shares their batch, they
write what they would write alone and without drafts.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rr_tests import tiny
from rr_tests.programs import SAMPLE, WORDS, Case, cases, prompt_of, run
from torch.fx.experimental.proxy_tensor import make_fx

from rr_models.engine.engine import Engine
from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner
from rr_models.engine.program import Draft, Force, Rollback
from rr_models.engine.sequence import Request

# the first sequence ends while the second one has drafted tokens in the cache, and moves to its row
MOVED = [
    Case((11, 12, 13), (("sample", 1),)),
    Case((14, 15, 16), (("sample", 5),), ((5, True, None),)),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from rr_models.critics import local

    return local.load(tiny.make_random(tmp_path_factory.mktemp("models") / "tiny")).model


@pytest.mark.slow
@pytest.mark.parametrize("padded_batch_size", [0, 4])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases=cases(), rows=st.integers(1, 3))
@example(cases=MOVED, rows=2)
def test_neither_neighbours_nor_drafts_change_what_is_written(
    model, cases, rows: int, padded_batch_size: int
):
    alone, tables = run(Engine(model), cases)
    together, others = run(Engine(model), cases, rows, padded_batch_size, alone)
    assert together == alone
    for table, other in zip(tables, others, strict=True):
        assert other == [x if isinstance(x, str) else pytest.approx(x, rel=1e-3) for x in table]


def test_a_right_draft_saves_forwards_a_wrong_one_costs_none(model):
    forced = [40] * 8

    def forwards(draft: tuple[int, ...] | None) -> int:
        def program():
            yield Force((12,))
            if draft:
                yield Draft(draft, WORDS)
            yield SAMPLE
            yield Force(tuple(forced))
            yield Force((yield WORDS).ids)

        request = Request(lambda: prompt_of(model, [11, 12, 13]), program, 3, 50)
        Engine(model).run([request], 1)
        written.append(tuple(request.completion.token_ids[1 : 2 + len(forced)]))
        return request.completion.forwards

    written: list[tuple[int, ...]] = []
    without = forwards(None)
    assert forwards(written[0]) < without
    assert forwards((9, *forced)) == without
    assert len(set(written)) == 1


def test_a_long_run_of_tokens_before_a_select_is_fed_in_pieces(model):
    def program():
        yield Force(tuple(range(10, 60)) * 2)
        yield Force((yield WORDS).ids)

    request = Request(lambda: prompt_of(model, [11, 12, 13]), program, 3, 150)
    Engine(model).run([request], 1)
    assert len(request.completion.token_ids) > 100 and not request.completion.truncated


def test_what_is_taken_back_leaves_no_trace(model):
    """After a rollback, into what was fed, into what was not, or to the prompt, everything goes on as if the
    tokens had never been written."""

    def tables(detours):
        written = []

        def program():
            for detour in detours:
                if detour:
                    yield Force(detour[:3])
                    yield SAMPLE
                    yield Force(detour)
                    yield Rollback(len(written) and 5)
                if not written:
                    yield Force((40, 41, 42, 43, 44))
                written.append((yield WORDS).table)

        request = Request(lambda: prompt_of(model, [11, 12, 13]), program, 3, 150)
        Engine(model).run([request], 1)
        return written, request.completion

    straight, _ = tables([(), (), ()])
    bent, completion = tables([tuple(range(10, 20)), (50,), tuple(range(10, 60)) * 2])
    assert completion.token_ids == [40, 41, 42, 43, 44] and completion.forced == [True] * 5
    for table, other in zip(straight, bent, strict=True):
        assert other == pytest.approx(table, rel=1e-4)


@torch.no_grad()
def test_a_step_is_one_graph(model):
    """Nothing in it asks the host what to do next, so that it can be captured: tracing fails where a number
    is read back. The trace works for other numbers too."""
    runner = ModelRunner(model, KVCache(model, 2, 512))

    def inputs(number: int):
        numbers = torch.full((2, 1), number)
        return numbers + 20, numbers, numbers, torch.arange(64) <= numbers[..., None]

    traced = make_fx(lambda *step: runner.step(*step))(*inputs(7))
    assert torch.equal(traced(*inputs(8)), runner.step(*inputs(8)))
    with pytest.raises(RuntimeError, match="get value out of a tracing tensor"):
        make_fx(lambda *step: runner.step(*step) * float(step[0].sum()))(*inputs(7))
