"""The nodes in the real core: schemas, the critic under core's memory management, Stop, bad input, and each
node's work.
"""

from __future__ import annotations

import ast
import math
import shutil
from pathlib import Path

import pytest
import torch
from rr_tests.loops import REPORT, node, start_node

from rr_models.checkpoints import model_folder

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "RationalRewards"


@pytest.fixture(scope="module")
def core(core, tiny_model):
    """With a tiny model in its folders."""
    return core


@pytest.fixture(scope="module")
def classes(core):
    return {name: cls for name, cls in core.nodes.NODE_CLASS_MAPPINGS.items() if name.startswith(PREFIX)}


def judged(tokens: int = 64, batch: int = 1, **inputs) -> dict:
    """The tiny critic on painted images, by default cut off before its last score."""
    return {
        "critic": node(
            "RationalRewardsLoadCritic", model="tiny", precision="auto", device="auto", max_pixels=65536
        ),
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=batch, fail_on=""),
        "judge": node(
            "RationalRewardsCritique",
            **{
                "critic": ["critic", 0],
                "image": ["paint", 0],
                "request": "a cat",
                "task": "auto",
                "temperature": 0.0,
                "seed": 0,
                "max_new_tokens": tokens,
            }
            | inputs,
        ),
        "show": node("PreviewAny", source=["judge", 3]),
    }


def test_ids_are_literal_equal_to_the_class_and_directly_based(classes):
    found = {}
    for file in (ROOT / "nodes").glob("*.py"):
        for cls in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(cls, ast.ClassDef) and cls.name.startswith(PREFIX):
                (found[cls.name],) = (
                    word.value.value
                    for call in ast.walk(cls)
                    if isinstance(call, ast.Call)
                    for word in call.keywords
                    if word.arg == "node_id"
                )
                assert [ast.unparse(base) for base in cls.bases] == ["io.ComfyNode"]
    assert found == {name: name for name in classes}


def test_everything_is_explained(classes):
    for name, cls in classes.items():
        schema = cls.GET_SCHEMA()
        assert schema.display_name and schema.description and "reward" in schema.search_aliases, name
        for socket in (*schema.inputs, *schema.outputs):
            assert socket.tooltip and socket.tooltip.endswith("."), f"{name}: "
            f"{socket.id or socket.display_name}"


def test_no_node_has_more_sockets_than_the_eye_takes_in(classes):
    """At most 8 inputs, widgets included, before "advanced" is opened, and at most 7 outputs."""
    for name, cls in classes.items():
        schema = cls.GET_SCHEMA()
        visible = [entry.id for entry in schema.inputs if not entry.advanced]
        assert len(visible) <= 8 and len(schema.outputs) <= 7, (name, visible)


def test_models_are_offered_by_folder_and_the_built_in_one_always(classes):
    (model, *_) = classes["RationalRewardsLoadCritic"].GET_SCHEMA().inputs
    here, absent = model.options[:2], model.options[2:]
    assert here == ["tiny", "Shapes critic (built in, demo)"]
    assert "RationalRewards-8B-T2I (17.5 GB, not downloaded)" in absent


def test_half_an_answer_is_an_incomplete_critique_with_no_overall(core):
    run = core.run(judged(batch=2))
    assert run.success, run.complaint
    assert [one.status in ("incomplete", "truncated") for one in run.critiques("judge")] == [True, True]
    assert math.isnan(run.value("judge", 1))
    assert "Image 1:" in run.value("judge", 3) and "Image 2:" in run.value("judge", 3)


def test_a_loop_around_half_an_answer_still_returns_the_image(core):
    prompt = judged(request=["start", 4])
    prompt["start"] = start_node(request="a cat", rounds=3)
    prompt["paint"]["inputs"]["prompt"] = ["start", 1]
    prompt["end"] = node("RationalRewardsRefineEnd", loop=["start", 0], image=["judge", 0])
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("end", 0).shape == (1, 16, 16, 3)
    assert "The critique of round 1 is" in run.value("end", REPORT)


def test_stop_ends_a_critique_at_the_next_token(core):
    seen = []

    def press_stop(name, data):
        if name == "progress" and data["node"] == "judge" and data["max"] <= 16 * 4096:
            seen.append(data["value"])
            if data["value"]:
                core.interrupt()

    run = core.run(judged(tokens=4096, batch=16), on_event=press_stop)
    assert run.interrupted and not run.success
    assert seen[0] == 0 and len(seen) == 2, "it went on after Stop"


def test_the_progress_bar_counts_tokens(core):
    seen = []
    run = core.run(
        judged(tokens=100),
        on_event=lambda name, data: seen.append((data["value"], data["max"])) if name == "progress" else None,
    )
    assert run.success, run.complaint
    tokens = [value for value, total in seen if total == 100]
    assert tokens[-1] == 100 and tokens == sorted(tokens)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"request": " "}, "request is empty"),
        ({"image": ["none", 0]}, "image is an empty batch"),
        ({"task": "edit"}, "source_image is missing"),
        ({"source_image": ["none", 0]}, "source_image is an empty batch"),
        ({"weights": "mood=1"}, "'mood' is not judged here"),
        ({"weights": "text_rendering"}, "not an aspect and a number"),
    ],
)
def test_bad_input_is_an_error_that_names_it(core, change, said):
    prompt = judged(**change)
    prompt["none"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=0, fail_on="")
    run = core.run(prompt)
    assert not run.success and said in run.complaint


def test_a_damaged_model_is_an_error_that_names_the_file(core):
    broken = core.base / "models" / "LLM" / "broken"
    shutil.copytree(core.base / "models" / "LLM" / "tiny", broken)
    try:
        file = broken / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
        prompt = judged()
        prompt["critic"]["inputs"]["model"] = "broken"
        run = core.run(prompt)
        assert not run.success and "model.safetensors" in run.complaint
    finally:
        shutil.rmtree(broken)


def test_an_edit_may_have_several_sources(core):
    prompt = judged(source_image=["sources", 0])
    prompt["sources"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=3, fail_on="")
    run = core.run(prompt)
    assert run.success, run.complaint
    assert len(run.critiques("judge")[0].source["source_images"]) == 3


def test_aspects_and_style_of_ones_own(core):
    prompt = judged()
    prompt["critic"]["inputs"] |= {
        "style": "single",
        "aspects": '{"add": [{"name": "Woodcut Look", "question": "is it?", "levels": ["no", "yes"]}]}',
    }
    run = core.run(prompt)
    assert run.success, run.complaint
    (critique,) = run.critiques("judge")
    assert [a.name for a in critique.aspects][-1] == "Woodcut Look"
    assert critique.source["style"] == "single"
    prompt["critic"]["inputs"]["aspects"] = '{"add": 1}'
    run = core.run(prompt)
    assert not run.success and "aspects.add must be a list" in run.complaint


def test_an_edit_is_judged_against_its_source(core):
    prompt = judged(source_image=["source", 0])
    prompt["source"] = node("RRTestPaint", prompt="brighter", seed=0, batch_size=1, fail_on="")
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.critiques("judge")[0].task == "edit"


def test_the_critic_is_under_cores_memory_management(core):
    import comfy.model_management as management

    executor = core.executor()
    run = core.run(judged(), executor)
    critic = run.value("critic")
    assert run.critiques("judge")[0].source["critic"] == "tiny"
    assert any(loaded.model is critic.residency.patcher for loaded in management.current_loaded_models)
    assert critic.residency.patcher.loaded_size() == critic.residency.patcher.model_size() > 0
    kept = critic.engine.nbytes
    assert critic.residency.patcher.partially_unload(torch.device("cpu"), 1) == kept > 0
    assert critic.residency.patcher.partially_unload(torch.device("cpu"), 1) == 0, "half a critic cannot run"
    management.unload_all_models()
    assert not any(loaded.model is critic.residency.patcher for loaded in management.current_loaded_models)
    again = core.run(judged(request="another cat"), executor)
    assert again.success, again.complaint
    assert again.value("critic") is critic


def test_as_many_images_at_a_time_as_the_device_holds(core, monkeypatch):
    """And core is asked for just that room."""
    memory = core.library("nodes.common.model_memory")
    executor = core.executor()
    critic = core.run(judged(), executor).value("critic")
    asked, load = [], memory.management.load_models_gpu
    images = [torch.rand(64, 64, 3) for _ in range(6)]
    base, options = core.library("rr_models.critics.base"), core.library("rr_models.critics.options")
    questions = [base.Question("t2i", "a cat", (image,)) for image in images]
    scores = options.JudgeOptions(detail="scores", max_new_tokens=100)
    estimate = critic.memory_estimate(questions, scores)

    def spy(models, memory_required=0, **rest):
        asked.append(memory_required)
        load(models, memory_required=memory_required, **rest)

    monkeypatch.setattr(memory.management, "load_models_gpu", spy)
    for rows in (1, 4):
        total = (
            estimate.total(rows) + critic.weights.size + estimate.per_sequence // 2
        ) / memory._MEMORY_SHARE
        monkeypatch.setattr(memory.management, "get_total_memory", lambda *_, total=total: total)
        kept = critic.engine.cache_bytes
        critic.judge(questions, scores)
        assert asked.pop() == estimate.additional(rows, kept)


def test_other_errors_of_a_critic_stop_the_run(core, monkeypatch):
    executor = core.executor()
    critic = core.run(judged(), executor).value("critic")

    def fail(*args, **options):
        raise RuntimeError("size mismatch")

    monkeypatch.setattr(critic.model.lm_head, "forward", fail)
    run = core.run(judged(request="another cat"), executor)
    assert not run.success and "size mismatch" in run.complaint


@pytest.mark.skipif(
    not (model_folder.SHAPES_CRITIC / "config.json").is_file(),
    reason="the Shapes critic is not there: train it with scripts/train_shapes_critic.py",
)
def test_the_built_in_critic_has_a_name(classes):
    load = classes["RationalRewardsLoadCritic"]
    assert load.execute("Shapes critic (built in, demo)", "auto", "cpu").result[0].name == "Shapes critic"


def test_a_second_card_can_be_chosen(core, monkeypatch):
    memory = core.library("nodes.common.model_memory")
    assert memory.devices() == ["auto", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for count, offered in {1: [], 2: ["cuda:0", "cuda:1"]}.items():
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert memory.devices() == ["auto", "cpu", *offered]
    assert memory.critic_device("cuda:1") == torch.device("cuda", 1)


def test_precisions(core, monkeypatch):
    """What "auto" may take is what is free and what core's own models hold."""
    import comfy.model_management as management

    memory, folder = core.library("nodes.common.model_memory"), core.base / "models" / "LLM" / "tiny"
    cpu, card = torch.device("cpu"), torch.device("cuda")
    assert memory.critic_precision("auto", cpu, folder).name == "fp32"
    monkeypatch.setattr(management, "get_free_memory", lambda device: 7e9)
    monkeypatch.setattr(management, "should_use_bf16", lambda device: False)
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 0.5e9)
    assert str(memory.critic_precision("auto", card, folder)).startswith("fp16, because 6.5 GB can be free")
    assert str(memory.critic_precision("fp32", card, folder)) == "fp32"
    assert memory.critic_precision("int8", card, folder).dtype == torch.float16


def test_noise_masks_go_along_however_many_there_are(core):
    sockets = core.library("nodes.common.batches")
    for count in (1, 2, 4, 5):
        masks = torch.arange(count).reshape(-1, 1, 1, 1).expand(count, 1, 2, 2)
        latent = {"samples": torch.zeros(4, 4, 2, 2), "noise_mask": masks}
        taken = sockets.take_latents(latent, [3, 1], 4)["noise_mask"]
        assert taken[:, 0, 0, 0].tolist() == [3 % count, 1 % count]


def test_revise_prompt(core):
    prompt = {
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=3, fail_on=""),
        "judge": node("RRTestMeasure", image=["paint", 0], request="r", prompt="p", blind_above=1.0),
    }
    prompt["revise"] = node(
        "RationalRewardsRevisePrompt",
        candidates=["judge", 0],
        prefix="photo,",
        suffix="8k",
        protected_terms="sks",
        max_words=0,
    )
    prompt["text"] = node("PreviewAny", source=["revise", 0])
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("revise", 0) == "photo, p brighter, sks 8k"
    assert "sks" in run.value("revise", 1)


SHAPES = "a large red circle on the left"


def test_shapes_generator(core):
    prompt = {
        "shapes": node("RationalRewardsShapesGenerator", prompt=SHAPES, seed=3, size=96, batch_size=2),
        "next": node("RationalRewardsShapesGenerator", prompt=SHAPES, seed=4, size=96, batch_size=1),
        "one": node("PreviewImage", images=["shapes", 0]),
        "two": node("PreviewImage", images=["next", 0]),
    }
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("shapes").shape == (2, 96, 96, 3)
    assert torch.equal(run.value("shapes")[1], run.value("next")[0])
    prompt["shapes"]["inputs"]["prompt"] = "freedom"
    assert "freedom" in core.run(prompt).complaint
