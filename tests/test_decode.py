"""The decode loop by itself: whatever scripts say, ask, choose and guess, in whatever company, they write
what they would write alone and without a guess.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rr_tests import tiny

from rr_models.engine.cuda_graphs import WARMUP_CALLS, CudaGraphCache
from rr_models.engine.engine import Engine
from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner
from rr_models.engine.program import Draft, Force, Sample, Select, Trie
from rr_models.engine.sequence import Prompt, Request

ASK = Sample(stop=frozenset({7}))
WORDS = Select(Trie({"a": (20, 21, 22), "b": (20, 23), "c": (24, 25), "d": (26,)}))
SHORT = Select(Trie({"x": (30,), "y": (31,)}))
CHOICES = {"words": WORDS, "short": SHORT}

token = st.integers(10, 60)
act = st.one_of(
    st.tuples(st.just("say"), st.lists(token, min_size=1, max_size=60)),
    st.tuples(st.just("ask"), st.integers(1, 5)),
    st.tuples(st.sampled_from(sorted(CHOICES)), st.none()),
)
guesses = st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.sampled_from([None, *sorted(CHOICES)])))
answers = st.lists(
    st.tuples(st.lists(token, min_size=3, max_size=20), st.lists(act, min_size=1, max_size=6), guesses),
    min_size=1,
    max_size=4,
)

# the first row ends while the second one has guessed tokens in the cache, and moves to its place
MOVED = [([11, 12, 13], [("ask", 1)], []), ([14, 15, 16], [("ask", 5)], [(5, True, None)])]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from rr_models.critics import local

    return local.load(tiny.make(tmp_path_factory.mktemp("models") / "tiny")).model


def written(model, answers, foreseen=None, rows: int = 1, lines: int = 0):
    """What each script writes and has chosen; with what is foreseen, it guesses, at times wrongly."""
    chosen = [[] for _ in answers]
    jobs = []
    for number, (prompt, acts, guesses) in enumerate(answers):

        def script(number=number, acts=acts, guesses=guesses):
            table, left = chosen[number], list(guesses)
            table.clear()

            def guess():
                if foreseen is None or not left:
                    return
                length, right, then = left.pop()
                done = len(jobs[number].completion.token_ids)
                ids = foreseen[number][0][done : done + length]
                if not right and ids:
                    ids = [*ids[:-1], 9]
                yield Draft(tuple(ids), CHOICES.get(then))

            # the probabilities of a last choice show all that is in the cache; the first row ends anyhow
            for kind, what in [*acts, *[("words", None)] * (number > 0)]:
                yield from guess()
                if kind == "say":
                    yield Force(tuple(what))
                elif kind == "ask":
                    for _ in range(what):
                        yield from guess()
                        if (yield ASK) == 7:
                            break
                else:
                    choice = yield CHOICES[kind]
                    table += [choice.word, *choice.table.values()]

        jobs.append(Request(lambda prompt=prompt: plain(model, prompt), script, len(prompt), 200))
    Engine(model, rows, lines).run(jobs)
    return [(job.completion.token_ids, job.completion.truncated) for job in jobs], chosen


def plain(model, ids) -> Prompt:
    nothing = torch.zeros(0, model.config.get_text_config().hidden_size)
    picture = torch.zeros(len(ids), dtype=torch.bool)
    return Prompt(list(ids), torch.arange(len(ids)).expand(3, -1), picture, [nothing, nothing])


@pytest.mark.parametrize("lines", [0, 4])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=answers, rows=st.integers(1, 3))
@example(answers=MOVED, rows=2)
def test_neither_company_nor_guesses_change_what_is_written(model, answers, rows: int, lines: int):
    alone, tables = written(model, answers)
    together, others = written(model, answers, alone, rows, lines)
    assert together == alone
    for table, other in zip(tables, others, strict=True):
        assert other == [x if isinstance(x, str) else pytest.approx(x, rel=1e-3) for x in table]


def test_a_right_guess_saves_forwards_a_wrong_one_costs_none(model):
    said = [40] * 8

    def forwards(guess: tuple[int, ...] | None) -> int:
        def script():
            yield Force((12,))
            if guess:
                yield Draft(guess, WORDS)
            yield ASK
            yield Force(tuple(said))
            yield WORDS

        job = Request(lambda: plain(model, [11, 12, 13]), script, 3, 50)
        Engine(model, 1).run([job])
        follows.append(tuple(job.completion.token_ids[1 : 2 + len(said)]))
        return job.completion.forwards

    follows: list[tuple[int, ...]] = []
    without = forwards(None)
    assert forwards(follows[0]) < without
    assert forwards((9, *said)) == without
    assert len(set(follows)) == 1


def test_a_long_stretch_before_a_choice_is_fed_in_pieces(model):
    def script():
        yield Force(tuple(range(10, 60)) * 2)
        yield WORDS

    job = Request(lambda: plain(model, [11, 12, 13]), script, 3, 150)
    Engine(model, 1).run([job])
    assert len(job.completion.token_ids) > 100 and not job.completion.truncated


def test_a_step_is_one_graph(model):
    """Nothing in it asks the host what to do next, so that it can be captured."""
    runner = ModelRunner(model, KVCache(model, 2, 512))
    told = torch.full((2, 1), 7)
    mask = torch.arange(64) <= told[..., None]
    whole = torch.compile(runner.step, fullgraph=True, backend="eager")
    with torch.inference_mode():
        assert torch.equal(whole(told, told, told, mask), runner.step(told, told, told, mask))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA card")
def test_a_replayed_step_is_the_step(model):
    """To the last bit, what it writes into the cache included, and for other values than were recorded."""
    model.to("cuda")
    runners = [ModelRunner(model, KVCache(model, 2, 512)) for _ in range(2)]
    replay = CudaGraphCache(runners[0].forward)
    try:
        with torch.inference_mode():
            for column in range(3 * WARMUP_CALLS):
                told = torch.tensor([[column], [column + 7]], device="cuda")
                mask = torch.arange(64, device="cuda") <= told[..., None]
                inputs = told + 20, told, told, mask, torch.zeros_like(told)
                assert torch.equal(replay(*inputs), runners[1].forward(*inputs))
        assert len(replay.recorded) == 1
        for ours, theirs in zip(runners[0].cache.keys, runners[1].cache.keys, strict=True):
            assert torch.equal(ours, theirs)
    finally:
        model.to("cpu")
