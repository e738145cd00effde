"""The memory estimate against what torch really allocates."""

from __future__ import annotations

import _random_model as random_model
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from rr_models.critics.base import Question
from rr_models.critics.options import JudgeOptions
from rr_models.engine.memory import MemoryEstimate


class Enough(Exception):
    """Ends a call after all prompts and a few steps, when memory use has peaked."""


@pytest.fixture(scope="module")
def critic():
    # the proportions of the 8B, so that each part of the estimate has the same share as there
    random_model.SHAPES["wide"] = ((256, 1024, 3, 4, 2, 8192), (3, 128, 512, (0,)))
    return random_model.make("wide")


def peak(work) -> int:
    """The most bytes held at a time, beyond those at the start."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    held = most = 0
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.slow
@pytest.mark.parametrize("task", ["t2i", "edit"])
@pytest.mark.parametrize("rows", [1, 2, 4, 8])
def test_the_estimate_is_within_15_percent_of_the_peak(critic, task: str, rows: int):
    generator = torch.Generator().manual_seed(rows)
    images = [torch.rand(384, 384, 3, generator=generator) for _ in range(rows + 1)]
    sources = (images[-1],) if task == "edit" else ()
    questions = [Question(task, "A red fox.", (image,), sources) for image in images[:-1]]
    calls = []

    def watch(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) > rows + 20:
            raise Enough

    def work() -> None:
        calls.clear()
        with pytest.raises(Enough):
            critic.judge(questions, JudgeOptions(detail="scores", batch_size=rows), on_progress=watch)

    work()  # now everything exists that is made once and kept
    estimate = critic.memory_estimate(questions, JudgeOptions(detail="scores"))
    critic.engine.release()
    assert estimate.total(rows) == pytest.approx(peak(work), rel=0.15)
    kept = critic.engine.cache_bytes
    assert kept > 0
    assert estimate.additional(rows, kept) == pytest.approx(peak(work), abs=0.15 * estimate.total(rows))


def test_the_batch_is_as_large_as_fits():
    room = MemoryEstimate(fixed=100, per_sequence=10)
    assert [room.max_batch_size(free, limit=8) for free in (0, 105, 129, 130, 10_000)] == [1, 1, 2, 3, 8]
    assert room.total(3) == 130


def test_a_kept_cache_is_not_asked_for_again():
    room = MemoryEstimate(fixed=100, per_sequence=10, cache_row=8)
    # of a cache that is larger than 3 + 1 rows, only those count
    assert [room.additional(3, kept) for kept in (0, 20, 32, 1000)] == [130, 110, 98, 98]
