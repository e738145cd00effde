"""Pick Best in the real core: what belongs together stays together, over batches and lists of any sizes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

BEST, CANDIDATES, REST, REST_CANDIDATES, INDEX, REPORT = range(6)
PACKED = ("latent", "mask", "prompt", "seed")


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def picked(batch: int = 3, **inputs) -> dict:
    packed = {"latent": ["paint", 1], "mask": ["paint", 2]}
    packed |= {name: inputs.pop(name) for name in PACKED if name in inputs}
    return {
        "paint": node("RRTestPaint", prompt="grey", seed=0, batch_size=batch, fail_on=""),
        "pack": node("RationalRewardsPackImages", image=["paint", 0], **packed),
        "judge": node("RRTestMeasure", image=["pack", 0], request="r", prompt="p", blind_above=1.0),
        "pick": node(
            "RationalRewardsPickBest", **{"candidates": ["judge", 0], "rank_by": "overall"} | inputs
        ),
        "best": node("PreviewImage", images=["pick", BEST]),
        "rest": node("PreviewImage", images=["pick", REST]),
    }


def parts(run, slot: int, name: str, pick: str = "pick") -> list:
    """One part of each candidate that came out."""
    return [getattr(one, name) for bundle in run.slot(pick, slot) for one in bundle]


def test_pick_best_keeps_together_what_belongs_together(core):
    run = core.run(picked(count=2))
    assert run.success, run.complaint
    shades = [one.mean().item() for one in run.value("pick", BEST)]
    assert shades == pytest.approx([0.25, 0.20])
    assert [one.mean().item() for one in run.value("pick", REST)] == pytest.approx([0.15])
    assert [one["samples"].mean().item() for one in parts(run, CANDIDATES, "latent")] == pytest.approx(shades)
    assert [one.mean().item() for one in parts(run, CANDIDATES, "mask")] == pytest.approx(shades)
    assert [one.overall for one in parts(run, CANDIDATES, "critique")] == pytest.approx([1.75, 1.6])
    assert run.slot("pick", INDEX) == [2, 1]
    assert len(run.value("pick", REPORT).splitlines()) == 3


def test_pick_best_runs_nothing_after_an_empty_rest(core):
    run = core.run(picked(count=9))
    assert run.success, run.complaint
    assert not run.errors and set(run.outputs) == {"pick", "best"}


def test_pick_best_refuses_what_does_not_belong_together(core):
    prompt = picked(count=1, latent=["other", 1])
    prompt["other"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=2, fail_on="")
    run = core.run(prompt)
    assert not run.success and "latent holds 2 items for 3 images" in run.complaint


def listed(
    count: int, prompts: str = "grey\nbrighter\nbrighter brighter", sizes: str = "16 24 32", **pick
) -> dict:
    """A list of images of different sizes, from a list of prompts and one of seeds."""
    prompt = picked(**{"count": count, "prompt": ["prompts", 0], "seed": ["seeds", 0]} | pick)
    prompt |= {
        "prompts": node("RRTestList", text=prompts),
        "sizes": node("RRTestInts", text=sizes),
        "seeds": node("RRTestInts", text="10 20 30"),
    }
    prompt["paint"]["inputs"] |= {
        "prompt": ["prompts", 0],
        "size": ["sizes", 0],
        "seed": ["seeds", 0],
        "batch_size": 1,
    }
    prompt["judge"]["inputs"] |= {"request": ["prompts", 0]}
    return prompt


def shades(images) -> list[float]:
    return [round(one.mean().item(), 3) for image in images for one in image]


def test_a_list_of_different_sizes_is_chosen_among_as_a_whole(core):
    run = core.run(listed(2))
    assert run.success, run.complaint
    assert [tuple(one.shape) for one in run.slot("pick", BEST)] == [(1, 32, 32, 3), (1, 24, 24, 3)]
    assert parts(run, CANDIDATES, "prompt") == ["brighter brighter", "brighter"]
    assert parts(run, CANDIDATES, "seed") == [30, 20] and run.slot("pick", INDEX) == [2, 1]
    critiques = parts(run, CANDIDATES, "critique")
    assert [one.request for one in critiques] == ["brighter brighter", "brighter"]
    assert critiques[0].overall > critiques[1].overall
    latents = parts(run, CANDIDATES, "latent")
    assert shades(run.slot("pick", BEST)) == [round(one["samples"].mean().item(), 3) for one in latents]
    assert [tuple(one.shape) for one in parts(run, CANDIDATES, "mask")] == [(1, 32, 32), (1, 24, 24)]
    # and so does the rest
    assert run.value("pick", REST).shape == (1, 16, 16, 3)
    (rest,) = run.value("pick", REST_CANDIDATES)
    assert (rest.prompt, rest.seed, rest.critique.request) == ("grey", 10, "grey")
    assert rest.latent["samples"].mean().item() == pytest.approx(0.25) and rest.mask.shape == (1, 16, 16)


def test_a_list_of_batches_is_one_pool_or_each_for_itself(core):
    prompt = listed(1, sizes="16 16 16")
    prompt["paint"]["inputs"]["batch_size"] = 2
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.slot("pick", INDEX) == [5] and parts(run, CANDIDATES, "prompt") == ["brighter brighter"]
    assert len(run.slot("pick", REST)) == 5
    prompt["pick"]["inputs"]["scope"] = "each batch"
    run = core.run(prompt)
    assert run.slot("pick", INDEX) == [1, 1, 1] and parts(run, CANDIDATES, "seed") == [10, 20, 30]
    assert shades(run.slot("pick", BEST)) == pytest.approx([0.25, 0.5, 0.75])
    prompt["pick"]["inputs"]["count"] = 2
    run = core.run(prompt)
    assert [len(one) for one in run.slot("pick", BEST)] == [2, 2, 2]


def test_a_batch_may_go_out_as_a_list(core):
    run = core.run(
        picked(count=2, as_list=True, prompt=["text", 0]) | {"text": node("RRTestList", text="grey")}
    )
    assert run.success, run.complaint
    assert [len(one) for one in run.slot("pick", BEST)] == [1, 1]
    assert parts(run, CANDIDATES, "prompt") == ["grey", "grey"]
    assert [len(bundle) for bundle in run.slot("pick", CANDIDATES)] == [1, 1]


def test_below_the_threshold_nothing_is_kept_and_it_says_so(core):
    run = core.run(picked(count=3, threshold=1.5))
    assert run.success and run.slot("pick", INDEX) == [2, 1]
    run = core.run(picked(count=3, threshold=3.9))
    assert run.success and not run.errors and set(run.outputs) == {"pick", "rest"}, "only the rest was shown"
    said = "Pick Best selects none of 3 image(s): none scores 3.9 or more"
    assert run.outputs["pick"]["text"][0].startswith(said) and run.value("pick", REPORT).startswith(said)
    ((panel,),) = run.outputs["pick"]["rational_rewards"]
    assert panel["counts"] == [0, 3]
    assert [type(index).__name__ for index in run.slot("pick", INDEX)] == ["ExecutionBlocker"]
    assert len(run.value("pick", REST)) == 3


def test_where_nothing_could_be_judged_nothing_is_kept_and_the_critic_is_quoted(core):
    prompt = picked(count=1)
    prompt["judge"]["inputs"]["blind_above"] = 0.0
    run = core.run(prompt)
    assert run.success and set(run.outputs) == {"pick", "rest"}
    said = run.value("pick", REPORT)
    assert "none could be judged" in said and "Too bright" in said
    # one that could be judged is kept, and no other beside it
    prompt["judge"]["inputs"]["blind_above"] = 0.16
    prompt["pick"]["inputs"]["count"] = 3
    assert core.run(prompt).slot("pick", INDEX) == [0]


def test_an_empty_batch_among_several_blocks_only_its_own_place(core):
    prompt = listed(1, sizes="16 16 16", scope="each batch", threshold=2.0)
    run = core.run(prompt)
    assert run.success and len(run.slot("pick", BEST)) == 3
    assert len(run.outputs["best"]["images"]) == 2


def test_what_candidates_do_not_carry_is_named_where_it_is_used(core):
    prompt = picked(count=1)
    prompt["unpack"] = node("RationalRewardsUnpackImages", candidates=["pick", CANDIDATES])
    prompt["show"] = node("PreviewAny", source=["unpack", 3])
    run = core.run(prompt)
    assert "the candidates carry no prompt; give it to Pack Images" in run.complaint and "best" in run.outputs
    prompt["show"] = node("MaskPreview", mask=["unpack", 2])
    assert core.run(prompt).outputs["show"], "the masks are there"
    prompt["show"] = node("PreviewImage", images=["unpack", 6])
    assert "are not edits, so there is no source_image" in core.run(prompt).complaint


def test_scores_come_out_as_numbers(core):
    prompt = picked(count=2)
    prompt["scores"] = node("RationalRewardsUnpackScores", candidates=["pick", CANDIDATES])
    prompt["show"] = node("PreviewAny", source=["scores", 0])
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.slot("scores", 0) == pytest.approx([1.75, 1.6]) == run.slot("scores", 1)
    assert all(math.isnan(score) for score in run.slot("scores", 2)), "no edit: no image faithfulness"
    assert run.slot("scores", 5) == ["p brighter", "p brighter"]
    assert len(run.slot("scores", 6)) == 2
    prompt["scores"]["inputs"]["candidates"] = ["pack", 0]
    assert "these images have not been judged" in core.run(prompt).complaint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": ["two", 0]}, "prompt holds 2 items for 3 images"),
        ({"weights": "mood=1"}, "'mood' is not judged here"),
        ({"weights": "text_rendering=1", "rank_by": "text_rendering"}, "weights are for the overall score"),
        ({"tie_break": "comparison"}, "connect critic"),
        ({"count": ["counts", 0]}, "count must be one value"),
        ({"rank_by": "image_faithfulness"}, "has no aspect 'image_faithfulness'"),
    ],
)
def test_bad_input_is_an_error_that_names_it(core, change, said):
    prompt = picked(**{"count": 1} | change)
    prompt["two"] = node("RRTestList", text="a\nb")
    prompt["counts"] = node("RRTestInts", text="1 2")
    run = core.run(prompt)
    assert not run.success and said in run.complaint


def test_one_mask_and_one_seed_serve_all(core):
    prompt = picked(count=2, seed=["number", 0], mask=["one", 2])
    prompt["one"] = node("RRTestPaint", prompt="grey", seed=0, batch_size=1, fail_on="")
    prompt["number"] = node("RRTestInts", text="7")
    run = core.run(prompt)
    assert run.success, run.complaint
    assert parts(run, CANDIDATES, "seed") == [7, 7]
    assert [tuple(one.shape) for one in parts(run, CANDIDATES, "mask")] == [(1, 16, 16)] * 2


SHAPES = "a large red circle on the left and a small blue star on the right"


def shaped(**pick) -> dict:
    """Two right images of one request between wrong ones, judged by the built-in critic: a real tie."""
    return {
        "critic": node(
            "RationalRewardsLoadCritic",
            model="Shapes critic (built in, demo)",
            precision="auto",
            device="auto",
            max_pixels=802816,
        ),
        "texts": node("RRTestList", text=f"a small green square in the middle\n{SHAPES}\n{SHAPES}"),
        "seeds": node("RRTestInts", text="1 1 1"),
        "paint": node(
            "RationalRewardsShapesGenerator", prompt=["texts", 0], seed=["seeds", 0], size=128, batch_size=1
        ),
        "judge": node(
            "RationalRewardsCritique",
            critic=["critic", 0],
            image=["paint", 0],
            request=SHAPES,
            task="auto",
            temperature=0.0,
            seed=0,
            max_new_tokens=2048,
            detail="scores",
        ),
        "pick": node(
            "RationalRewardsPickBest",
            **{
                "candidates": ["judge", 0],
                "count": 1,
                "rank_by": "overall",
                "tie_break": "comparison",
                "critic": ["critic", 0],
            }
            | pick,
        ),
        "show": node("PreviewAny", source=["pick", REPORT]),
    }


def test_a_tie_is_settled_by_the_critic_and_its_cost_told_beforehand(core):
    said = []
    run = core.run(
        shaped(), on_event=lambda name, data: said.append(data["text"]) if name == "progress_text" else 0
    )
    assert run.success, run.complaint
    report = run.value("pick", REPORT)
    told = [text for text in said if "judged independently" in text]  # beside what the critic's loading says
    assert told == ["2 images, judged independently: 2 answers of the critic"] and told[0] in report
    assert "Images 2, 3 have equal scores" in report and "Image 2 against image 3:" in report
    assert run.slot("pick", INDEX) == [1], "the very same image twice: the earlier one"
    assert parts(run, CANDIDATES, "critique")[0].overall is not None


def test_a_tie_between_images_of_different_requests_is_not_compared(core):
    prompt = shaped()
    prompt["wishes"] = node("RRTestList", text=f"{SHAPES}\n{SHAPES}\n{SHAPES}.")
    prompt["judge"]["inputs"]["request"] = ["wishes", 0]
    run = core.run(prompt)
    assert run.success, run.complaint
    assert "have equal scores but different requests" in run.value("pick", REPORT)


def test_the_shipped_workflow_keeps_the_best_two(core):
    file = Path(__file__).parents[1] / "workflows" / "api" / "best_of_shapes_demo.json"
    prompt = json.loads(file.read_text("utf-8"))
    (pick,) = (name for name, one in prompt.items() if one["class_type"] == "RationalRewardsPickBest")
    run = core.run(prompt)
    assert run.success, run.complaint
    best, rest = (parts(run, slot, "critique", pick) for slot in (CANDIDATES, REST_CANDIDATES))
    assert len(run.value(pick, BEST)) == len(best) == 2 and len(rest) == 4
    assert min(one.overall for one in best) >= max(one.overall for one in rest)
    assert best[0].overall > rest[-1].overall, "the demo should show a difference"
