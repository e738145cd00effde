"""What a critic is asked: parts in their places, whatever the request holds; and aspects of one's own."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_models.judgement import aspects_json
from rr_models.judgement.answer_format import STYLES
from rr_models.judgement.aspects import PROFILES, RATIONAL_REWARDS, VIESCORE, Profile
from rr_models.judgement.task import Task
from rr_models.prompting import rubric

IMAGES = {"t2i": 1, "edit": 2, "t2i-pair": 2, "edit-pair": 3}
WOODCUT = {
    "name": "Woodcut Look",
    "question": "does it look cut in wood?",
    "levels": ["a photo.", "hints of it.", "mostly.", "throughout."],
}


def told(messages: list[dict]) -> str:
    return "\n".join(p.get("text", "<shown>") for m in messages for p in rubric.parts(m))


# sha256 of the messages with one, two and three sources, for both profiles, and the name of the prompt. The
# Shapes critic was trained on these bytes: a prompt that differs in one of them is another prompt.
FROZEN = [
    # task, style, rational-rewards, viescore, digest
    ("t2i", "card", "f463835b08f2cabf", "6afb0821d7b91e86", "c4a2de8bce5d"),
    ("t2i", "test-time", "a84fea3d64e2d4a4", "1642446b5057da19", "1084f1531052"),
    ("t2i", "single", "8ff4cf02800c2a74", "80dd09d7ecac3ec0", "444674e7e170"),
    ("edit", "card", "f9caf2f194b983a2", "190a83e3b58ee96d", "c65fcf9c3197"),
    ("edit", "test-time", "17de3304e6f6ca97", "1863e96a10cc898c", "961b5ad596c7"),
    ("edit", "single", "c86a7c4ecd0c5682", "1fab3c5f26877634", "409cd2954965"),
    ("t2i-pair", "card", "de35bb51c9b02fae", "4e247300094ece62", "f60355544b9d"),
    ("t2i-pair", "test-time", "b767e030f254832b", "a0840caa12e9e251", "5518149c85de"),
    ("t2i-pair", "single", "bc426e69b0e3bea7", "097956f34103fb90", "4404e223dc28"),
    ("edit-pair", "card", "348f7a91b776f97f", "924afbf567fbfb0e", "442dada8c91b"),
    ("edit-pair", "test-time", "06d6553fd72f87a3", "88150094401e4d76", "b6aef00b0124"),
    ("edit-pair", "single", "5c828afc1af982ac", "b09fb122ea4c9c52", "31e030faa61f"),
]


@pytest.mark.parametrize(("task", "style", "rational_rewards", "viescore", "digest"), FROZEN)
def test_the_bytes_of_the_prompt_never_change(
    task: str, style: str, rational_rewards: str, viescore: str, digest: str
):
    for profile, frozen in ((RATIONAL_REWARDS, rational_rewards), (VIESCORE, viescore)):
        messages = [
            rubric.messages(task, "A red fox.", style=style, profile=profile, sources=sources)
            for sources in (1, 2, 3)
        ]
        data = "".join(map(json.dumps, messages)).encode()
        assert hashlib.sha256(data).hexdigest()[:16] == frozen
    assert rubric.wording(task, style) == f"rational-rewards/{digest}"


@pytest.mark.parametrize("task", IMAGES)
@pytest.mark.parametrize("style", STYLES)
def test_every_task_in_every_style(task: str, style: str):
    messages = rubric.messages(task, "A red fox.", style=style)
    assert [m["role"] for m in messages] == (["system", "user"] if style == "card" else ["user"])
    text = told(messages)
    assert text.count("<shown>") == IMAGES[task] and text.count("A red fox.") == 1
    assert text.index("A red fox.") < text.index("<shown>") < text.index("1. Text Faithfulness")
    names = [aspect.name for aspect in RATIONAL_REWARDS.aspects(task)]
    form = text[text.index("in this form:") :]
    assert [line[3:-1] for line in form.splitlines() if line[1:3] == ". "] == names
    scores = ("## Score A:", "## Score B:", "## Winner:") if Task.parse(task).is_pair else ("## Score:",)
    for heading in ("## Justification:", *scores):
        assert form.count(heading) == len(names)
    score_first = form.index(scores[0]) < form.index("## Justification:")
    assert score_first == (style == "test-time" and not Task.parse(task).is_pair)
    assert ("# User Request Analysis" in form) == (style != "test-time")
    assert ("## Refined Request:" in form) != Task.parse(task).is_pair


def test_every_source_has_its_place():
    text = told(rubric.messages("edit", "Join them.", sources=3))
    assert "Source image 3: \n<shown>\n\nEdited image: \n<shown>" in text
    assert text.count("<shown>") == 4
    with pytest.raises(ValueError, match="sources"):
        rubric.messages("edit", "Join them.", sources=0)


requests = st.text() | st.sampled_from(
    [
        "<image>",
        "{}",
        "{image}",
        "{sources}",
        "{worst:.1f}",
        "<|im_start|>system",
        "{a|b}",
        "embedding:x",
        "%s",
    ]
)


@given(requests, st.sampled_from(sorted(IMAGES)), st.sampled_from(STYLES))
def test_a_request_is_data(request: str, task: str, style: str):
    plain, odd = (rubric.messages(task, r, style=style) for r in ("", request))
    assert len(plain) == len(odd)
    for one, other in zip(plain, odd, strict=True):
        assert [p["type"] for p in one["content"]] == [p["type"] for p in other["content"]]
    longest = told(odd)
    assert request in longest and len(longest) == len(told(plain)) + len(request)


def test_the_wording_names_what_is_asked_and_nothing_else():
    names = {
        rubric.wording(task, style, profile)
        for task in IMAGES
        for style in STYLES
        for profile in PROFILES.values()
    }
    assert len(names) == len(IMAGES) * len(STYLES) * len(PROFILES)


def test_unknown_tasks_and_styles_are_named():
    with pytest.raises(ValueError, match="t2i, edit, t2i-pair, edit-pair, not 'video'"):
        rubric.messages("video", "A fox.")
    with pytest.raises(ValueError, match="card, test-time, single, not 'haiku'"):
        rubric.messages("t2i", "A fox.", style="haiku")


def test_another_scale_is_data():
    text = told(rubric.messages("t2i", "A fox.", profile=VIESCORE))
    assert "from 0.0 (worst) to 10.0 (best)" in text and "(0.0 to 10.0)" in text
    assert [line.split(":")[0] for line in text.splitlines() if line[:2] in ("10", "5:", "0:")] == [
        *("10", "5", "0"),
        *("10", "5", "0"),
    ]


def test_an_aspect_of_ones_own_is_asked_for():
    profile = aspects_json.loads(json.dumps({"add": [WOODCUT], "drop": ["text_rendering"]}))
    text = told(rubric.messages("edit", "Darker.", profile=profile))
    assert "4. Woodcut Look: does it look cut in wood?\n4: throughout.\n3: mostly." in text
    assert "Text Rendering" not in text
    assert [a.key for a in profile.t2i] == ["text_faithfulness", "physical_quality", "woodcut_look"]


def test_a_family_of_ones_own():
    profile = aspects_json.loads(json.dumps({"name": "mine", "aspects": [WOODCUT], "worst": 0, "best": 100}))
    assert profile.scale == (0.0, 100.0) and profile.t2i == profile.edit
    assert "66.7: mostly." in told(rubric.messages("t2i", "A fox.", profile=profile))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "aspects must be an object, not"),
        ({"profile": "x"}, "rational-rewards, viescore, not 'x'"),
        ({"add": "x"}, "aspects.add must be a list"),
        ({"addd": []}, "aspects has no field 'addd'; its fields are: profile, add, drop"),
        ({"drop": ["mood"]}, "'mood' is no aspect.*text_rendering"),
        ({"drop": [[]]}, r"aspects.drop\[0\] must be a text"),
        ({"drop": ["text_faithfulness", "physical_quality"]}, "at least one aspect must always apply"),
        ({"add": [1]}, r"add\[0\] must be an object, not 1"),
        (
            {"add": [{"name": "Mood"}]},
            r"add\[0\].question is missing",
        ),
        ({"add": [WOODCUT | {"levels": ["one"]}]}, "at least the worst and the best"),
        ({"add": [WOODCUT | {"levels": ["one", " "]}]}, r"levels\[1\] must be a text that is not empty"),
        ({"add": [WOODCUT | {"optional": "no"}]}, "optional must be true or false, not 'no'"),
        ({"add": [WOODCUT | {"name": "# Score:"}]}, "cannot be used as a heading"),
        ({"add": [WOODCUT | {"name": "text rendering"}]}, "two aspects named 'text rendering'"),
        ({"add": [WOODCUT, WOODCUT]}, "two aspects named"),
        ({"add": [WOODCUT | {"aliases": ["文字渲染"]}]}, "two aspects named '文字渲染'"),
        ({"name": "m", "aspects": []}, "at least one aspect"),
        (
            {"name": "m", "aspects": [WOODCUT], "worst": True},
            "profile.worst must be a finite number, not True",
        ),
        ({"name": "m", "aspects": [WOODCUT], "worst": 5, "best": 5}, "must lie below best"),
        ('{"name": "m", "aspects": [], "best": 1e999}', "profile.best must be a finite number, not inf"),
        ('{"name": "m", "aspects": [], "best": NaN}', "profile.best must be a finite number, not nan"),
        ('{"name": "m", "aspects": [], "best": 1' + "0" * 400 + "}", "profile.best must be a finite number"),
        ('{"name": "m", "aspects": [], "best": 1' + "0" * 5000 + "}", "is not JSON"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_bad_aspects_are_named(data, said: str):
    with pytest.raises(ValueError, match=said):
        aspects_json.loads(data if isinstance(data, str) else json.dumps(data))


def test_a_file_of_aspects(tmp_path):
    file = tmp_path / "mine.json"
    with pytest.raises(ValueError, match="mine.json cannot be read"):
        aspects_json.read(file)
    file.write_text('\ufeff{"add": 1}', encoding="utf-8")
    with pytest.raises(ValueError, match="mine.json: aspects.add must be a list"):
        aspects_json.read(file)
    file.write_text(json.dumps({"profile": "viescore"}), encoding="utf-8")
    assert aspects_json.read(file) == VIESCORE
    assert aspects_json.loads("") == RATIONAL_REWARDS and isinstance(VIESCORE, Profile)
