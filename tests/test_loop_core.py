"""The refine loop in the real executor: rounds, the best image, files, errors, nesting, caches."""

from __future__ import annotations

import json
import math
import sys

import pytest
import torch
from PIL import Image
from rr_tests.loops import CANDIDATES, FIRST, HISTORY, IMAGE, REPORT, loop, node, start_node


def test_runs_until_the_threshold_is_reached_and_returns_the_best(core):
    run = core.run(loop(packed=True))
    assert run.success, run.complaint
    history = run.value("end", HISTORY)
    assert [past.prompt for past in history.history] == ["grey", "grey brighter", "grey brighter brighter"]
    assert history.stop_text == "Round 3 reaches the thresholds: 3."
    assert run.value("end", CANDIDATES)[0].prompt == "grey brighter brighter"
    assert run.value("end", CANDIDATES)[0].seed == 0
    assert run.value("end", IMAGE).shape == (1, 16, 16, 3)
    assert math.isclose(run.value("end", IMAGE).mean().item(), 0.75, abs_tol=1e-5)
    assert math.isclose(run.value("end", CANDIDATES)[0].latent["samples"].mean().item(), 0.75, abs_tol=1e-5)
    assert run.value("end", CANDIDATES)[0].mask.shape == (1, 16, 16)
    assert math.isclose(run.value("end", CANDIDATES)[0].critique.overall, 3.25, abs_tol=1e-5)
    assert math.isclose(run.value("end", FIRST).mean().item(), 0.25, abs_tol=1e-5)
    assert len(run.value("end", REPORT).splitlines()) == 4


def test_refine_end_judges_by_itself_if_a_critic_is_connected(core):
    prompt = loop(end={"image": ["paint", 0], "critic": ["toy", 0]})
    del prompt["judge"]
    prompt["toy"] = node("RRTestToyCritic")
    run = core.run(prompt)
    assert run.success, run.complaint
    history = run.value("end", HISTORY)
    assert len(history.history) > 1 and {past.critique.request for past in history.history} == {"grey"}
    assert run.value("end", CANDIDATES)[0].critique == history.best.critique


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ({"preset": "balanced"}, {"patience": 3, "seed_policy": "new on stall", "target_count": 1}),
        ({"preset": "fast"}, {"patience": 1, "min_gain": 0.1}),
        ({"preset": "careful"}, {"patience": 0, "prompt_policy": "refined"}),
        (
            {"preset": "collect", "preset.target_count": 2},
            {"patience": 0, "seed_policy": "new", "prompt_policy": "as written", "target_count": 2},
        ),
        ({"preset": "custom", "preset.patience": 2, "preset.seed_policy": "fixed"}, {"patience": 2}),
    ],
    ids=lambda value: value.get("preset"),
)
def test_a_preset_sets_how_the_loop_searches(core, preset, expected):
    prompt = loop(rounds=2)
    inputs = prompt["start"]["inputs"]
    custom = {name: value for name, value in inputs.items() if name.startswith("preset")}
    prompt["start"]["inputs"] = {name: value for name, value in inputs.items() if name not in custom}
    prompt["start"]["inputs"] |= (custom if preset["preset"] == "custom" else {}) | preset
    run = core.run(prompt)
    assert run.success, run.complaint
    chosen = run.value("end", HISTORY).settings
    assert {name: getattr(chosen, name) for name in expected} == expected


def test_an_unknown_preset_is_refused_before_the_run(core):
    run = core.run(loop(preset="quick"))
    assert not run.success and not run.executed
    assert "preset must be one of balanced, fast, careful, collect, custom, not 'quick'" in run.complaint


def test_the_judge_always_sees_the_request_as_written(core):
    history = core.run(loop()).value("end", HISTORY)
    assert {past.critique.request for past in history.history} == {"grey"}


def test_a_later_worse_round_does_not_replace_the_best(core):
    # The seed makes the image darker, and the prompt is held still.
    run = core.run(loop(seed_policy="new", patience=0, end={"next_prompt": "grey"}))
    assert run.success, run.complaint
    history = run.value("end", HISTORY)
    assert [past.seed for past in history.history] == [0, 1000003, 2000006, 3000009]
    assert run.value("end", CANDIDATES)[0].seed == 0 and history.best.number == 1
    assert math.isclose(run.value("end", IMAGE).mean().item(), 0.25, abs_tol=1e-5)


def test_of_a_batch_the_best_is_the_result(core):
    prompt = loop(rounds=1, packed=True)
    prompt["paint"]["inputs"]["batch_size"] = 3
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("end", HISTORY).history[0].chosen == 2
    assert math.isclose(run.value("end", IMAGE).mean().item(), 0.25, abs_tol=1e-5)
    assert run.value("end", CANDIDATES)[0].latent["samples"].shape[0] == 1


def test_a_critique_that_fails_in_round_two_returns_round_one(core):
    prompt = loop()
    prompt["judge"]["inputs"]["blind_above"] = 0.3
    run = core.run(prompt)
    assert run.success, run.complaint
    history = run.value("end", HISTORY)
    assert len(history.history) == 2 and history.best.number == 1
    assert "round 2 is incomplete: Too bright to look at." in run.value("end", REPORT)


def test_a_critique_that_fails_in_round_one_still_returns_the_image(core):
    prompt = loop()
    prompt["judge"]["inputs"]["blind_above"] = 0.1
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("end", IMAGE).shape == (1, 16, 16, 3)
    assert run.value("end", CANDIDATES)[0].critique.overall is None


@pytest.mark.parametrize("cache", ["classic", "lru", "none", "ram"])
def test_every_round_runs_once_with_every_cache(core, cache):
    counted = sys.modules[core.nodes.NODE_CLASS_MAPPINGS["RRTestCount"].__module__].RAN
    counted.clear()
    prompt = loop()
    prompt["judge"]["inputs"]["image"] = ["count", 0]
    prompt["count"] = node("RRTestCount", image=["paint", 0], name=cache)
    run = core.run(prompt, core.executor(cache))
    assert run.success, run.complaint
    assert counted == [cache] * 3


def test_two_loops_in_one_graph(core):
    run = core.run({**loop("a.", request="grey"), **loop("b.", request="brighter")})
    assert run.success, run.complaint
    assert run.value("a.end", CANDIDATES)[0].prompt == "grey brighter brighter"
    assert run.value("b.end", CANDIDATES)[0].prompt == "brighter brighter"


def test_two_equal_loops_are_still_two(core):
    saved = {"save_rounds": True, "filename_prefix": "twin"}
    run = core.run({**loop("1:", end=saved), **loop("2:", end=saved)})
    assert run.success, run.complaint
    assert len(list((core.base / "output" / "RationalRewards").glob("twin_*"))) == 2


def test_ids_of_nested_subgraphs(core):
    run = core.run(loop("10:27:"))
    assert run.success, run.complaint
    assert len(run.value("10:27:end", HISTORY).history) == 3


def test_a_loop_in_a_loop(core):
    inner = loop("in.", rounds=2, threshold=4.0)
    inner["in.start"]["inputs"]["request"] = ["start", 1]
    outer = loop(rounds=2, threshold=4.0)
    outer["judge"]["inputs"]["image"] = ["in.end", 0]
    del outer["paint"]
    run = core.run({**outer, **inner})
    assert run.success, run.complaint
    # Outer prompts: "grey", then "grey brighter"; the inner loop adds one "brighter" to each.
    shades = [past.critique.overall for past in run.value("end", HISTORY).history]
    assert shades == pytest.approx([1 + 3 * 0.5, 1 + 3 * 0.75], abs=1e-4)


def test_a_list_of_requests_runs_as_many_loops(core):
    prompt = {**loop(), "list": node("RRTestList", text="grey\nbrighter brighter\nbrighter")}
    prompt["start"]["inputs"]["request"] = ["list", 0]
    run = core.run(prompt)
    assert run.success, run.complaint
    assert [state.request for state in run.slot("end", HISTORY)] == ["grey", "brighter brighter", "brighter"]
    assert [len(state.history) for state in run.slot("end", HISTORY)] == [3, 1, 2]
    assert [image.mean().item() for image in run.slot("end", IMAGE)] == pytest.approx([0.75] * 3)


def test_nodes_show_their_work_on_the_nodes_the_user_sees(core):
    run = core.run(loop())
    shown = {data["display_node"] for name, data in run.events if name == "executing" and data.get("node")}
    assert shown == {"start", "paint", "judge", "end"}


def test_a_second_run_of_the_same_prompt_is_cached(core):
    executor = core.executor()
    core.run(loop(), executor)
    again = core.run(loop(), executor)
    assert again.success and again.executed == []
    assert again.value("end", CANDIDATES)[0].prompt == "grey brighter brighter"


def test_rounds_on_disk(core):
    saved = {"save_rounds": True, "filename_prefix": "on disk"}
    workflow = {"nodes": [], "version": 0.4}
    run = core.run(loop(end=saved), extra_pnginfo={"workflow": workflow})
    assert run.success, run.complaint
    folder = core.base / "output" / "RationalRewards" / "on disk_00001"
    assert sorted(file.name for file in folder.iterdir()) == [
        "best.png",
        "history.json",
        "round_01.png",
        "round_02.png",
        "round_03.png",
    ]
    history = json.loads((folder / "history.json").read_text("utf-8"))
    assert [past["prompt"] for past in history["rounds"]] == [
        "grey",
        "grey brighter",
        "grey brighter brighter",
    ]
    assert history["best"] == 3 and history["stop"]["code"] == "thresholds_reached"
    with Image.open(folder / "best.png") as best, Image.open(folder / "round_03.png") as third:
        assert best.tobytes() == third.tobytes()
        assert json.loads(best.text["workflow"]) == workflow
        assert json.loads(best.text["prompt"])["start"]["class_type"] == "RationalRewardsRefineStart"
    (shown,) = [ui for ui in run.outputs.values() if ui.get("images")]
    assert shown["images"] == [
        {"filename": "best.png", "subfolder": "RationalRewards/on disk_00001", "type": "output"}
    ]
    core.run(loop(end=saved))
    assert (folder.parent / "on disk_00002").is_dir()


@pytest.mark.parametrize("prefix", ["", "..", "a/b", "a\\b", "a:b"])
def test_a_prefix_that_leads_elsewhere_is_an_error(core, prefix):
    run = core.run(loop(end={"save_rounds": True, "filename_prefix": prefix}))
    assert not run.success and "filename_prefix" in run.complaint


@pytest.mark.parametrize("broken", ["round_02.png", "history.json", "best.png"])
def test_a_file_that_cannot_be_written_costs_the_file_alone(core, broken):
    prefix = f"full {broken}"
    # A folder of that name is in the way of the file, once the loop has made its own folder.
    home = core.base / "output" / "RationalRewards" / f"{prefix}_00001"

    def block(name, data):
        if home.is_dir() and not (home / broken).is_dir():
            (home / broken).unlink(missing_ok=True)
            (home / broken).mkdir()

    run = core.run(loop(end={"save_rounds": True, "filename_prefix": prefix}), on_event=block)
    assert run.success, run.complaint
    assert len(run.value("end", HISTORY).history) == 3
    assert math.isclose(run.value("end", IMAGE).mean().item(), 0.75, abs_tol=1e-5)
    assert "Not everything could be saved" in run.value("end", REPORT)
    assert (home / "round_01.png").is_file() and (home / "round_03.png").is_file()
    assert (home / "best.png").is_file() == (broken != "best.png")


def test_an_output_folder_that_cannot_be_made_costs_the_files_alone(core, monkeypatch, tmp_path):
    import folder_paths

    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path / "file"))
    run = core.run(loop(end={"save_rounds": True}))
    assert run.success, run.complaint
    assert "Not everything could be saved" in run.value("end", REPORT)
    (shown,) = [ui for ui in run.outputs.values() if ui.get("images")]
    assert [image["type"] for image in shown["images"]] == ["temp"], "the best image, as a preview"


def test_an_unconnected_output_blocks_with_a_reason(core):
    run = core.run(
        {
            **loop(),
            "unpack": node("RationalRewardsUnpackImages", candidates=["end", CANDIDATES]),
            "decode": node(
                "LatentUpscale",
                samples=["unpack", 1],
                upscale_method="bilinear",
                width=64,
                height=64,
                crop="disabled",
            ),
            "save": node("SaveLatent", samples=["decode", 0], filename_prefix="x"),
        }
    )
    said = "Unpack Images: the candidates carry no latent; give it to Pack Images"
    assert any(said in error["exception_message"] for error in run.errors), run.complaint


def test_a_generator_that_fails_later_is_named(core):
    prompt = loop()
    prompt["paint"]["inputs"]["fail_on"] = "brighter"
    run = core.run(prompt)
    assert not run.success and "the generator fell over" in run.complaint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["start"]["inputs"].update(request="  "), "request is empty"),
        (lambda p: p["paint"]["inputs"].update(batch_size=0), "image is an empty batch"),
        (lambda p: p["end"]["inputs"].update(image=["one", 0]), "image does not depend on Refine Start"),
        (
            lambda p: (
                p["paint"]["inputs"].update(prompt="grey", seed=1)
                or p["judge"]["inputs"].update(request="grey", prompt="grey")
            ),
            "Connect Refine Start's prompt or seed to your generator",
        ),
        (
            lambda p: p["judge"]["inputs"].update(request=["start", 1]),
            'round 2: Judge every round by the loop\'s request, "grey", not by',
        ),
        (lambda p: p["end"]["inputs"].update(image=["paint", 0]), "nothing judges this loop's images"),
        (lambda p: p["end"]["inputs"].update(image=["pack", 0]), "round 1: the images are not judged"),
        (lambda p: p["end"]["inputs"].update(critic=["toy", 0]), "are judged already: disconnect critic"),
        (lambda p: p["start"]["inputs"].update(speed=3), "Refine Start has no input speed"),
        (lambda p: p["start"]["inputs"].update(carried="x"), "Refine Start has no input carried"),
    ],
)
def test_wrong_wiring_is_an_error_that_says_what_to_do(core, change, said):
    prompt = loop()
    prompt["pack"] = node("RationalRewardsPackImages", image=["paint", 0])
    prompt["toy"] = node("RRTestToyCritic")
    prompt["one"] = node("RRTestPaint", prompt="x", seed=0, batch_size=1, fail_on="")
    change(prompt)
    run = core.run(prompt)
    assert not run.success and said in run.complaint


def test_wrong_wiring_is_found_in_a_round_that_would_be_the_last(core):
    prompt = loop(rounds=1, end={"image": ["one", 0]})
    prompt["one"] = node("RRTestPaint", prompt="x", seed=0, batch_size=1, fail_on="")
    run = core.run(prompt)
    assert not run.success and "image does not depend on Refine Start" in run.complaint


def test_a_loop_whose_end_is_part_of_another_nodes_expansion(core):
    from comfy_execution.graph import DynamicPrompt

    graph = core.library("nodes.common.graph_copy")
    outer = loop()
    dynprompt = DynamicPrompt({name: outer[name] for name in ("start", "paint")})
    inner = {
        "host.0.0.paint": node("RRTestCount", image=["paint", 0], name="inner"),
        "host.0.0.end": node("RationalRewardsRefineEnd", loop=["start", 0], image=["host.0.0.paint", 0]),
    }
    for name, made in inner.items():
        dynprompt.add_ephemeral_node(name, made, "host", "host")
    copies, inputs = graph.copy_body(dynprompt, "start", "host.0.0.end", {"seed": 3}, "new.")
    made = copies.finalize()
    assert set(made) == {"new.start", "new.paint", "new.host.0.0.paint"}
    assert made["new.host.0.0.paint"]["inputs"]["image"] == ["new.paint", 0]
    assert made["new.start"]["inputs"] == {"seed": 3}
    assert inputs == {"loop": ["new.start", 0], "image": ["new.host.0.0.paint", 0]}


def test_a_really_sampled_image(core):
    """CLIPTextEncode, KSampler and VAEDecode of the core, around a tiny random diffusion model."""
    prompt = {
        "model": node("RRTestTinyModel", weights_seed=0),
        "start": start_node(request="a cat", seed=5, rounds=3, threshold=4.0, seed_policy="new", patience=0),
        "yes": node("CLIPTextEncode", clip=["model", 1], text=["start", 1]),
        "no": node("CLIPTextEncode", clip=["model", 1], text="blurry"),
        "empty": node("EmptySD3LatentImage", width=64, height=64, batch_size=2),
        "sample": node(
            "KSampler",
            model=["model", 0],
            seed=["start", 2],
            steps=2,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            positive=["yes", 0],
            negative=["no", 0],
            latent_image=["empty", 0],
            denoise=1.0,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
        "pack": node("RationalRewardsPackImages", image=["decode", 0], latent=["sample", 0]),
        "judge": node(
            "RRTestMeasure", image=["pack", 0], request=["start", 4], prompt=["start", 1], blind_above=2.0
        ),
        "end": node("RationalRewardsRefineEnd", loop=["start", 0], image=["judge", 0]),
        "unpack": node("RationalRewardsUnpackImages", candidates=["end", CANDIDATES]),
        "again": node("VAEDecode", samples=["unpack", 1], vae=["model", 2]),
        "show": node("PreviewImage", images=["again", 0]),
    }
    run = core.run(prompt)
    assert run.success, run.complaint
    history = run.value("end", HISTORY)
    assert [past.seed for past in history.history] == [5, 1000008, 2000011]
    lights = [one.overall for past in history.history for one in past.critiques]
    assert len(set(lights)) == 6, "every candidate of every round is another image"
    assert run.value("end", CANDIDATES)[0].critique.overall == max(lights)
    # What comes out belongs together: the latent decodes to the image.
    assert torch.allclose(run.value("again", 0), run.value("end", IMAGE), atol=1e-4)
    assert sum(run.executed.count(name) for name in ("model", "no", "empty")) == 3, "outside the loop: "
    "once each"
