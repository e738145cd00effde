"""The critic under the real core's memory management: asked in, evicted, asked in again, and gone without a
trace.
"""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CARD = torch.device("cpu:0")
"""For core another device than "cpu", from which it evicts models; for torch the same memory."""


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def core(core, tiny_model, monkeypatch):
    """A core that thinks it has a card of 64 MB and some, of which its own models take their share."""
    import comfy.model_management as management

    management.unload_all_models()
    capacity = 64_000_000 + int(management.minimum_inference_memory())

    def free(device=None, torch_free_too=False):
        taken = sum(m.model_loaded_memory() for m in management.current_loaded_models if m.device == device)
        return (capacity - taken, capacity - taken) if torch_free_too else capacity - taken

    monkeypatch.setattr(management, "get_torch_device", lambda: CARD)
    monkeypatch.setattr(management, "get_free_memory", free)
    yield core
    monkeypatch.undo()
    management.unload_all_models()
    management.free_memory(1e30, CARD)


def judged(request: str = "a cat", batch: int = 1, seed: int = 0, **loading) -> dict:
    return {
        "critic": node(
            "RationalRewardsLoadCritic",
            **{"model": "tiny", "precision": "auto", "device": "auto", "max_pixels": 65536} | loading,
        ),
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=batch, fail_on=""),
        "judge": node(
            "RationalRewardsCritique",
            critic=["critic", 0],
            image=["paint", 0],
            request=request,
            task="auto",
            temperature=0.0,
            seed=seed,
            max_new_tokens=64,
        ),
        "show": node("PreviewAny", source=["judge", 7]),
    }


def another_model(size: int):
    """A diffusion model's stand-in: core's own patcher around so many bytes of weights."""
    import comfy.model_patcher

    module = torch.nn.Linear(size // 4, 1, bias=False)
    return comfy.model_patcher.ModelPatcher(module, CARD, torch.device("cpu"))


def loaded() -> list:
    import comfy.model_management as management

    return [entry.model for entry in management.current_loaded_models]


def on_meta(critic) -> bool:
    return all(parameter.is_meta for parameter in critic.model.parameters())


def reads(core, monkeypatch) -> list[str]:
    """The names of the files that are opened from here on, one entry each time."""
    import safetensors

    opened, real = [], safetensors.safe_open

    def spy(file, *args, **options):
        opened.append(Path(file).name)
        return real(file, *args, **options)

    monkeypatch.setattr(safetensors, "safe_open", spy)
    return opened


def test_used_evicted_by_another_model_used_again_unloaded(core, monkeypatch):
    import comfy.model_management as management

    opened, executor = reads(core, monkeypatch), core.executor()
    run = core.run(judged(), executor)
    critic = run.value("critic")
    size = critic.residency.patcher.model_size()
    assert loaded() == [critic.residency.patcher] and critic.residency.patcher.loaded_size() == size > 0
    assert not on_meta(critic) and len(opened) == 1
    first = run.critiques("judge")[0].text

    core.run(judged("a dog"), executor)
    assert len(opened) == 1, "it was in memory, and has been read again"

    other = another_model(64_000_000 - size // 2)
    management.load_models_gpu([other])
    assert loaded() == [other] and on_meta(critic), "the other model got no room"
    assert critic.residency.patcher.loaded_size() == 0 and critic.weights.device is None

    again = core.run(judged(seed=1), executor)
    assert again.success and again.value("critic") is critic and len(opened) == 2
    assert critic.residency.patcher in loaded() and not on_meta(critic) and other.loaded_size() == 0
    assert again.critiques("judge")[0].text == first, "the same weights answer alike"

    management.free_memory(1e30, CARD)
    assert loaded() == [] and on_meta(critic)


def test_what_is_kept_between_calls_counts_as_loaded_and_goes_first(core):
    import comfy.model_management as management

    executor = core.executor()
    run = core.run(judged(), executor)
    critic = run.value("critic")
    kept, weights = critic.engine.nbytes, critic.weights.size
    assert (
        kept > 0
        and critic.residency.patcher.loaded_size() == critic.residency.patcher.model_size() == weights + kept
    )

    other = another_model(int((64_000_000 - weights - kept // 2) / 1.1))  # core asks for 10 % more
    management.load_models_gpu([other])
    assert loaded() == [other, critic.residency.patcher] and not on_meta(critic), "the weights had room"
    assert critic.engine.nbytes == 0 and critic.residency.patcher.loaded_size() == weights

    again = core.run(judged(seed=1), executor)
    assert again.success and again.critiques("judge")[0].text == run.critiques("judge")[0].text
    assert critic.engine.nbytes == kept
    management.free_memory(1e30, CARD)
    assert critic.engine.nbytes == critic.residency.patcher.loaded_size() == 0
    assert critic.residency.patcher.model_size() == weights


def test_always_waits_in_ordinary_memory(core, monkeypatch):
    import comfy.model_management as management

    opened, executor = reads(core, monkeypatch), core.executor()
    critic = core.run(judged(keep_loaded="always"), executor).value("critic")
    management.free_memory(1e30, CARD)
    assert loaded() == [] and critic.weights.device == torch.device("cpu") and not on_meta(critic)
    assert critic.engine.nbytes == 0
    assert core.run(judged("a dog", keep_loaded="always"), executor).success
    assert loaded() == [critic.residency.patcher] and len(opened) == 1


def test_never_leaves_after_every_use(core):
    executor = core.executor()
    for request in ("a cat", "a dog"):
        run = core.run(judged(request, keep_loaded="never"), executor)
        assert run.success and run.critiques("judge")[0].text
        assert loaded() == [] and on_meta(run.value("critic"))
        assert run.value("critic").engine.nbytes == 0


def asked_several_times(kind: str, folder: Path) -> dict:
    """A node that asks the critic several times for one result."""
    prompt = judged(keep_loaded="never")
    paint, critic = prompt["paint"]["inputs"], {"critic": ["critic", 0]}
    del prompt["judge"]
    if kind == "tournament":
        paint["batch_size"] = 3
        asking = {"image": ["paint", 0], "request": "a cat", "count": 1, "format": "round robin"}
        prompt["ask"] = node("RationalRewardsTournament", **critic, **asking)
    elif kind == "folder":
        for shade in range(9):
            Image.new("L", (16, 16), 25 * shade).save(folder / f"{shade}.png")
        asking = {"folder": str(folder), "request": "a cat", "count": 1, "rank_by": "overall"}
        prompt["ask"] = node("RationalRewardsRankFolder", **critic, **asking, best_files="none")
    else:
        paint["prompt"] = ["prompts", 0]
        prompt["prompts"] = node("RRTestList", text="grey\nbrighter grey")
        prompt["same"] = node("RepeatImageBatch", image=["paint", 0], amount=2)
        measured = {"request": "a cat", "prompt": "a cat", "blind_above": 1.0}
        prompt["measure"] = node("RRTestMeasure", image=["same", 0], **measured)
        asking = {"candidates": ["measure", 0], "count": 1, "rank_by": "overall"}
        ties = {"tie_break": "comparison", "scope": "each batch"}
        prompt["ask"] = node("RationalRewardsPickBest", **critic, **asking, **ties)
    prompt["show"] = node("PreviewAny", source=["ask", 4 if kind == "folder" else 7])
    return prompt


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tournament", "folder", "ties of two batches"])
def test_never_loads_once_for_all_that_belongs_to_one_result(core, monkeypatch, tmp_path, kind: str):
    opened, asked = reads(core, monkeypatch), []
    prompt, executor = asked_several_times(kind, tmp_path), core.executor()
    shown = {"critic": prompt["critic"], "show": node("PreviewAny", source=["critic", 0])}
    critic = core.run(shown, executor).value("critic")
    judge = critic.judge
    monkeypatch.setattr(critic, "judge", lambda *args: asked.append(len(args[0])) or judge(*args))
    run = core.run(prompt, executor)
    assert run.success, run.complaint
    assert len(asked) > 1, "once is not several times"
    assert len(opened) == 1 and loaded() == [] and on_meta(critic)


def test_stop_ends_the_reading_of_the_weights(core):
    executor, seen = core.executor(), []

    def press_stop(name, data):
        if name == "progress" and data["node"] == "judge" and data["max"] == size:
            seen.append(data["value"])
            core.interrupt()

    size = (core.base / "models" / "LLM" / "tiny" / "model.safetensors").stat().st_size
    run = core.run(judged(), executor, on_event=press_stop)
    assert run.interrupted and seen == [0], "it went on to read"
    critic = run.value("critic")
    assert loaded() == [] and on_meta(critic)
    again = core.run(judged(), executor)
    assert again.success and again.value("critic") is critic and again.critiques("judge")[0].text


LACK = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("MPS backend out of memory")]


@pytest.mark.parametrize("error", LACK, ids=["CUDA", "MPS"])
@pytest.mark.parametrize("when", ["the weights are read", "it judges"])
def test_where_memory_runs_out_all_others_leave_and_it_is_tried_once_more(core, monkeypatch, when, error):
    import comfy.model_management as management

    executor = core.executor()
    critic = core.run(judged(), executor).value("critic")
    management.free_memory(1e30, CARD)
    other = another_model(1_000_000)
    management.load_models_gpu([other])
    fails_while_occupied(core, monkeypatch, critic, when, error, lambda: other in loaded())
    run = core.run(judged("another cat", batch=2), executor)
    assert run.success and loaded() == [critic.residency.patcher], run.complaint
    assert [bool(one.text) for one in run.critiques("judge")] == [True, True]


@pytest.mark.parametrize("when", ["the weights are read", "it judges"])
def test_where_memory_is_too_small_it_says_what_helps_and_leaves_nothing_behind(core, monkeypatch, when):
    executor = core.executor()
    critic = core.run(judged(), executor).value("critic")
    critic.residency.unload()
    fails_while_occupied(core, monkeypatch, critic, when, LACK[0], lambda: True)
    short = core.run(judged("another cat", batch=2), executor)
    assert short.success, short.complaint
    assert [one.status for one in short.critiques("judge")] == ["incomplete", "incomplete"]
    report = short.value("judge", 3)
    for said in ("tiny ran out of memory on cpu:0", "its weights take 0.0 GB", "Lower max_pixels"):
        assert said in report
    assert loaded() == [] and on_meta(critic)
    monkeypatch.undo()


def fails_while_occupied(core, monkeypatch, critic, when, error, occupied):
    """Let memory run out at that point for as long as `occupied` says so."""
    if when == "it judges":
        place, name = critic.model.lm_head, "forward"
    else:
        place, name = core.library("rr_models.checkpoints.weights"), "_assign"
    real = getattr(place, name)

    def fail(places, *args, **options):
        # a place for an empty tensor needs no memory
        if occupied() and not (args and args[0].is_meta):
            raise error
        return real(places, *args, **options)

    monkeypatch.setattr(place, name, fail)


def test_nothing_keeps_a_critic_alive_that_nobody_wants(core):
    run = core.run(judged())
    critic = run.value("critic")
    watched = [
        weakref.ref(part) for part in (critic, critic.residency, critic.model, critic.residency.patcher)
    ]
    assert loaded() == [critic.residency.patcher]
    del run, critic
    gc.collect()
    assert [ref() for ref in watched] == [None] * 4
    core.run(judged())
    assert len(loaded()) == 1, "core still counts the dead one"


def test_fifty_loads_and_unloads_leave_memory_as_it_was(core):
    """One lost copy in ten would show."""
    executor, process = core.executor(), psutil.Process()
    critic = core.run(judged(), executor).value("critic")
    size = critic.residency.patcher.model_size()
    for cycle in range(60):
        critic.residency.patcher.detach()
        critic.residency.patcher.partially_load(CARD)
        if cycle == 9:
            gc.collect()
            before = process.memory_info().rss
    gc.collect()
    grown = process.memory_info().rss - before
    assert grown < 5 * size, f"{grown / 1e6:.1f} MB more after 50 cycles of {size / 1e6:.1f} MB"
