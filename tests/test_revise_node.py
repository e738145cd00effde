"""Revise Prompt in the real core: all inputs by wire, and tokens as the generator's own CLIP counts them."""

from __future__ import annotations

from rr_tests.loops import HISTORY, loop, node

PLAIN = {"prefix": "", "suffix": "", "protected_terms": "", "max_words": 0}


def revised(request: str, prompt: str = "", **inputs) -> dict:
    """An image judged for a request; its refined request is the prompt it was made from, and brighter."""
    return {
        "paint": node("RRTestPaint", prompt=prompt or request, seed=0, batch_size=1, fail_on=""),
        "judge": node(
            "RRTestMeasure", image=["paint", 0], request=request, prompt=prompt or request, blind_above=1.0
        ),
        "revise": node("RationalRewardsRevisePrompt", candidates=["judge", 0], **PLAIN | inputs),
        "show": node("PreviewAny", source=["revise", 0]),
    }


def test_terms_form_and_difference(core):
    prompt = revised(
        "a (red hat:1.2) <lora:ink:1>", "a red hat and a dog", style="tags", protected_terms="sks"
    )
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("revise", 0) == "(red hat:1.2), dog brighter, sks, <lora:ink:1>"
    assert "Protected terms added: sks, <lora:ink:1>." in run.value("revise", 1)
    assert "+" in run.value("revise", 2) or "→" in run.value("revise", 2)


def test_tokens_are_counted_by_the_generators_own_clip(core):
    long = "extraordinarily photorealistic. " * 30 + "a cat in the rain."
    inputs = {"max_tokens": 20, "clip": ["model", 1]}
    prompt = {**revised("a cat", long, **inputs), "model": node("RRTestTinyModel", weights_seed=0)}
    run = core.run(prompt)
    assert run.success, run.complaint
    clip, text = run.value("model", 1), run.value("revise", 0)
    chunks = clip.tokenize(text)
    # CLIP's chunk has a start, and ends and padding of one kind; T5's an end and padding of 0
    counts = [
        sum(token != chunks["l"][0][-1][0] for token, _ in chunks["l"][0]) - 1,
        sum(token != 0 for token, _ in chunks["t5xxl"][0]) - 1,
    ]
    assert "a cat in the rain." in text and 10 < min(counts)
    assert max(counts) <= 20 and f"The prompt has {max(counts)} tokens." in run.value("revise", 1)


def test_in_the_loop_prompts_are_appended_and_terms_kept(core):
    prompt = loop(request="grey __x__", rounds=3, threshold=4.0)
    prompt["revise"] = node(
        "RationalRewardsRevisePrompt",
        candidates=["judge", 0],
        last_prompt=["start", 1],
        **PLAIN | {"protected_terms": "Sks"},
    )
    prompt["end"]["inputs"]["next_prompt"] = ["revise", 0]
    run = core.run(prompt)
    assert run.success, run.complaint
    assert [past.prompt for past in run.value("end", HISTORY).history] == [
        "grey __x__",
        "grey __x__ brighter, Sks",
        "grey __x__ brighter, Sks brighter",
    ]


def test_an_unchanged_prompt_is_said(core):
    prompt = revised("a cat", "a cat", last_prompt=["same", 0])
    prompt["same"] = node("RRTestList", text="a cat brighter")
    run = core.run(prompt)
    assert run.success, run.complaint
    assert run.value("revise", 2) == "" and "unchanged" in run.value("revise", 1)
