"""CUDA graphs: when they are captured, kept and dropped, and that a wrong one never changes an answer.

Without an NVIDIA card, a stand-in takes the place of the graph itself.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from rr_tests import tiny
from rr_tests.programs import Case, run

from rr_models.critics import local
from rr_models.critics.generation import CritiqueGenerator
from rr_models.critics.options import JudgeOptions
from rr_models.engine import cuda_graphs
from rr_models.engine.cuda_graphs import PROOFS, WARMUP_CALLS, CudaGraphCache
from rr_models.engine.engine import GRAPHS, PLAIN, Engine
from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner

CASE = Case((11, 12, 13), (("sample", 5), ("words", None)))
LONG = Case((11, 12, 13), (("sample", 5), ("words", None)) * 4)
WIDE = Case((11, 12, 13), (("sample", 5), ("words", None)), max_new_tokens=600)
SHARED = Case((11, 12, 13, 14), (("sample", 3), ("words", None)), prefix=2)


class StandIn:
    """A graph as the cache of graphs sees it: fixed inputs, and a result that the next replay overwrites."""

    def __init__(self, work, arguments, stream, pool):
        self.work, self.inputs = work, [argument.clone() for argument in arguments]
        self.result, self.replays = work(*self.inputs).clone(), 0

    nbytes = cuda_graphs.CudaGraph.nbytes

    def __call__(self, *arguments):
        self.replays += 1
        for recorded, argument in zip(self.inputs, arguments, strict=True):
            recorded.copy_(argument)
        return self.result.copy_(self.work(*self.inputs))


class WrongByABit(StandIn):
    """Like a kernel that rounds differently when it is replayed."""

    def __call__(self, *arguments):
        result = super().__call__(*arguments)
        return result.copy_(result.nextafter(result + 1)) if result.is_floating_point() else result.add_(1)


class Frozen(StandIn):
    """Does not read what it is called with, only what it was recorded with."""

    def __call__(self, *arguments):
        return self.result


class CannotBeCaptured(StandIn):
    def __init__(self, *arguments):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with ...")


class CannotBeReplayed(StandIn):
    def __call__(self, *arguments):
        raise RuntimeError("CUDA error: invalid argument")


class BreaksLater(StandIn):
    """After it has proven itself."""

    def __call__(self, *arguments):
        result = super().__call__(*arguments)
        if self.replays > PROOFS + 1:
            raise RuntimeError("CUDA error: invalid argument")
        return result


class OutOfMemory(StandIn):
    def __init__(self, *arguments):
        raise torch.OutOfMemoryError("Allocation on device 0 would exceed allowed memory.")


@pytest.fixture(scope="module")
def critic(tmp_path_factory) -> local.LocalCritic:
    return local.load(tiny.make_random(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def engine(critic) -> Engine:
    return Engine(critic.model)


@pytest.fixture
def graphs(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", StandIn)


@pytest.mark.slow
def test_graphs_are_captured_once_and_replayed_in_later_runs(critic, engine, graphs):
    work = [CASE, WIDE, SHARED]
    expected = run(Engine(critic.model), work, 3, 4)
    for _ in range(4):
        assert run(engine, work, 3, 4, cuda_graphs=True) == expected
    captures = engine.captures
    assert captures > 0
    for _ in range(3):
        assert run(engine, work, 3, 4, cuda_graphs=True) == expected
    assert engine.captures == captures and engine.allocations == 1
    assert engine.nbytes > engine.cache_bytes, "graphs are counted"


def test_graphs_go_with_the_cache_whose_addresses_they_hold(critic, engine, graphs):
    for _ in range(4):
        run(engine, [CASE], 1, 4, cuda_graphs=True)
    captures, kept = engine.captures, set(engine._kept.graphs.graphs.values())
    run(engine, [WIDE], 1, 4, cuda_graphs=True)
    assert engine.allocations == 2 and kept and not kept & set(engine._kept.graphs.graphs.values())
    for _ in range(4):
        assert run(engine, [CASE], 1, 4, cuda_graphs=True) == run(Engine(critic.model), [CASE], 1, 4)
    assert engine.captures > captures


def test_no_more_graphs_are_kept_than_the_limit(monkeypatch, graphs):
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 2)
    replay = CudaGraphCache(lambda x: 2 * x)
    for _ in range(6):
        for size in (1, 2, 3):
            x = torch.arange(size)
            assert torch.equal(replay(x), 2 * x)
    assert len(replay.graphs) == 2 and replay.captures > 2


def test_a_graph_is_proven_before_it_replaces_the_step(graphs):
    """Each shape anew: by a plain call beside each of its first replays, and by none afterwards."""
    calls = []

    def work(x):
        calls.append(x)
        return 2 * x

    replay = CudaGraphCache(work)
    for size in (1, 2):
        plain = []
        for number in range(WARMUP_CALLS + PROOFS + 3):
            x, before = torch.full((size,), number), len(calls)
            assert torch.equal(replay(x), 2 * x)
            plain.append(any(argument is x for argument in calls[before:]))
        assert plain == [True] * (WARMUP_CALLS + PROOFS) + [False] * 3
    assert replay.captures == 2 and replay.proven and not replay.fault


def test_equal_padding_that_is_not_a_number_is_equal(graphs):
    replay = CudaGraphCache(lambda x: x / 0)
    for _ in range(WARMUP_CALLS + PROOFS + 1):
        replay(torch.zeros(3))
    assert replay.proven


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (WrongByABit, "gives other results than a plain step"),
        (Frozen, "gives other results than a plain step"),
        (CannotBeCaptured, "fails (CUDA error: operation not permitted when stream is capturing)"),
        (CannotBeReplayed, "fails (CUDA error: invalid argument)"),
        (BreaksLater, "fails (CUDA error: invalid argument)"),
    ],
)
def test_after_a_fault_steps_are_plain_for_good_and_answers_the_same(
    critic, engine, monkeypatch, caplog, kind, reason
):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", kind)
    work = [LONG, SHARED, CASE]
    expected = run(Engine(critic.model), work, 3, 4)
    with caplog.at_level(logging.INFO, logger="rr_models"):
        assert run(engine, work, 3, 4, cuda_graphs=True) == expected
        assert engine.captures > 0 and engine.graphs == PLAIN
        captures = engine.captures
        monkeypatch.setattr(cuda_graphs, "CudaGraph", StandIn)
        assert run(engine, work, 3, 4, cuda_graphs=True) == expected
        assert run(engine, [WIDE], 1, 4, cuda_graphs=True) == run(Engine(critic.model), [WIDE], 1, 4)
    assert engine.captures == captures and not engine._kept.graphs.graphs
    (warning,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert reason in warning and "plain steps" in warning


def test_where_memory_runs_out_for_a_graph_the_next_cache_tries_again(critic, engine, monkeypatch, caplog):
    monkeypatch.setattr(cuda_graphs, "CudaGraph", OutOfMemory)
    expected = run(Engine(critic.model), [LONG], 1, 4)
    assert run(engine, [LONG], 1, 4, cuda_graphs=True) == expected
    assert "fails (Allocation on device 0 would exceed allowed memory)" in caplog.text
    assert engine.graphs == ""
    monkeypatch.setattr(cuda_graphs, "CudaGraph", StandIn)
    captures = engine.captures
    assert run(engine, [LONG], 1, 4, cuda_graphs=True) == expected
    assert engine.captures == captures == 1, "of the same cache: no more"
    engine.release()
    assert run(engine, [LONG], 1, 4, cuda_graphs=True) == expected
    assert engine.captures > captures and engine.graphs == GRAPHS


def test_a_failing_plain_step_is_not_blamed_on_the_graph(graphs, caplog):
    def work(x):
        if len(x) > 1 and replay.captures:
            raise RuntimeError("of the step")
        return x

    replay = CudaGraphCache(work)
    for _ in range(WARMUP_CALLS + PROOFS):
        replay(torch.zeros(1))
    with pytest.raises(RuntimeError, match="of the step"):
        replay(torch.zeros(2))
    assert replay.proven and not caplog.records


def test_the_critic_says_how_its_steps_run(critic, monkeypatch, graphs):
    monkeypatch.setattr(critic.generator, "engine", Engine(critic.model))
    assert repr(critic) == "LocalCritic(tiny, cpu, fp32)"
    for _ in range(2):
        run(critic.engine, [LONG], 1, 4, cuda_graphs=True)
    assert repr(critic) == "LocalCritic(tiny, cpu, fp32, CUDA graphs)"


@pytest.mark.parametrize(
    ("choice", "quantizer", "replayed"),
    [(None, None, True), (None, "gptq", False), (False, None, False), (True, "gptq", True)],
)
def test_where_graphs_are_on_by_default(monkeypatch, choice, quantizer, replayed):
    """Whatever torch's allocator is: ComfyUI chooses cudaMallocAsync on most cards."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
    generator = object.__new__(CritiqueGenerator)
    generator.model = SimpleNamespace(device=torch.device("cuda"), hf_quantizer=quantizer)
    assert generator._cuda_graphs(JudgeOptions(cuda_graphs=choice).cuda_graphs, True) is replayed


def step_inputs(column: int):
    numbers = torch.tensor([[column], [column + 7]], device="cuda")
    mask = torch.arange(64, device="cuda") <= numbers[..., None]
    return numbers + 20, numbers, numbers, mask, torch.zeros_like(numbers)


@pytest.fixture
def on_card(critic):
    critic.model.to("cuda")
    yield critic.model
    critic.model.to("cpu")


@pytest.mark.gpu
@torch.inference_mode()
def test_a_replayed_step_is_the_step(on_card):
    """To the last bit, including what it writes into the cache, and for other values than were recorded."""
    runners = [ModelRunner(on_card, KVCache(on_card, 2, 512)) for _ in range(2)]
    replay = CudaGraphCache(runners[0].forward)
    for column in range(3 * (WARMUP_CALLS + PROOFS)):
        inputs = step_inputs(column)
        assert torch.equal(replay(*inputs), runners[1].forward(*inputs))
    assert len(replay.graphs) == 1 and replay.proven
    for ours, theirs in zip(runners[0].cache.keys, runners[1].cache.keys, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.gpu
@torch.inference_mode()
def test_on_a_card_a_step_that_cannot_be_captured_leaves_stream_and_memory_as_they_were(on_card, caplog):
    """It reads a number back, which no capture allows. Only with torch's own allocator: with cudaMallocAsync
    torch ends the process where memory of an invalid capture is freed."""
    if torch.cuda.get_allocator_backend() != "native":
        pytest.skip("torch itself cannot survive an invalid capture with this allocator")
    runner = ModelRunner(on_card, KVCache(on_card, 2, 512))

    def work(*inputs):
        result = runner.forward(*inputs)
        return result + 0 * float(result.sum())

    replay, stream = CudaGraphCache(work), torch.cuda.current_stream()
    expected = [work(*step_inputs(column)) for column in range(8)]
    for column in range(8):
        assert torch.equal(replay(*step_inputs(column)), expected[column])
    assert replay.captures == 1 and "captur" in replay.fault and len(caplog.records) == 1
    assert torch.cuda.current_stream() == stream
    held = torch.cuda.memory_allocated()
    block = torch.zeros(1 << 20, device="cuda")
    del block
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == held
    sound = CudaGraphCache(runner.forward)
    for column in range(8):
        assert torch.equal(sound(*step_inputs(column)), runner.forward(*step_inputs(column)))
    assert sound.proven


@pytest.mark.gpu
@torch.inference_mode()
def test_on_a_card_an_error_of_python_in_a_capture_does_no_harm(on_card, caplog):
    """With any allocator. Set PYTORCH_CUDA_ALLOC_CONF=backend:cudaMallocAsync to try ComfyUI's."""
    runner = ModelRunner(on_card, KVCache(on_card, 2, 512))

    def work(*inputs):
        result = runner.forward(*inputs)
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("stopped in the capture")
        return result

    replay = CudaGraphCache(work)
    for column in range(8):
        assert torch.equal(replay(*step_inputs(column)), runner.forward(*step_inputs(column)))
    assert "stopped in the capture" in replay.fault and len(caplog.records) == 1
    sound = CudaGraphCache(runner.forward)
    for column in range(8):
        assert torch.equal(sound(*step_inputs(column)), runner.forward(*step_inputs(column)))
    assert sound.proven
