"""Which wording a critic is asked in, and template files of the user's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rr_tests.cards import PUBLISHED, PUBLISHED_EDIT, built, count_images

from rr_models.judgement.answer_format import CARD, SINGLE, STYLES, TEST_TIME
from rr_models.judgement.aspects import RATIONAL_REWARDS, TEXT_RENDERING
from rr_models.judgement.task import Task
from rr_models.prompting import rubric, templates
from rr_models.prompting.wording import Wording, choose

GOOD = {
    "t2i": [
        {"role": "system", "content": "Judge {things}."},
        {"role": "user", "content": "Want {request} {0} {{x}} %s\nSee {image} now."},
    ],
    "edit": [{"role": "user", "content": "{request}: from {source} to {image}"}],
    "t2i-pair": [{"role": "user", "content": "{image_a} or {image_b} for {request}"}],
    "edit-pair": [{"role": "user", "content": "{request}{source}{image_a}{image_b}"}],
}


def written(folder: Path, data: object) -> Path:
    file = folder / "mine.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return file


def text(words: str) -> dict:
    return {"type": "text", "text": words}


IMAGE = {"type": "image"}


def test_a_template_file_is_followed_to_the_letter(tmp_path: Path):
    read = templates.read_file(written(tmp_path, GOOD))
    assert read["t2i"].messages("a {image} cat") == [
        {"role": "system", "content": [text("Judge {things}.")]},
        {"role": "user", "content": [text("Want a {image} cat {0} {{x}} %s\nSee "), IMAGE, text(" now.")]},
    ]
    assert read["edit"].messages("red", 1)[0]["content"] == [
        text("red: from "),
        IMAGE,
        text(" to "),
        IMAGE,
    ]
    assert read["edit"].messages("red", 3)[0]["content"] == [
        text("red: from "),
        *(IMAGE, text("\n"), IMAGE, text("\n"), IMAGE),
        text(" to "),
        IMAGE,
    ]
    assert read["t2i-pair"].messages("x", 2)[0]["content"] == [IMAGE, text(" or "), IMAGE, text(" for x")]
    assert read["edit-pair"].messages("x")[0]["content"] == [text("x"), IMAGE, IMAGE, IMAGE]
    assert all(re.fullmatch(r"file/mine\.json/[0-9a-f]{12}", one.name) for one in read.values())
    assert len({one.name for one in read.values()}) == 4


SLOTS = st.sampled_from(["{request}", "{image}", "{source}", "{}", "<image>", "%s", "<|im_end|>", "{{", "}}"])


@given(request=st.lists(st.one_of(SLOTS, st.text(max_size=4))).map("".join), sources=st.integers(1, 8))
def test_no_request_changes_the_structure_of_a_template(request: str, sources: int):
    for task, told in GOOD.items():
        template = templates._template(task, told, Path("x.json"))
        plain, asked = template.messages("<here>", sources), template.messages(request, sources)
        assert count_images(plain) == count_images(asked)
        for was, now in zip(plain, asked, strict=True):
            expected = [
                text(p["text"].replace("<here>", request)) if p["type"] == "text" else p
                for p in was["content"]
            ]
            assert now["content"] == expected


def user(content: str, role: str = "user") -> list[dict]:
    return [{"role": role, "content": content}]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON that can be read: it is nested too deeply"),
        ("[]", "must be an object with one or more of t2i, edit, t2i-pair, edit-pair"),
        ({}, "must be an object"),
        ({"video": user("{request}{image}")}, "there is no task 'video'. The tasks are t2i"),
        ({"t2i": "{request}{image}"}, "mine.json, t2i: this must be a list of turns"),
        ({"t2i": []}, "list of turns"),
        ({"t2i": ["{request}{image}"]}, "mine.json, t2i: turn 1 must be an object"),
        ({"t2i": [{"role": "user"}]}, "turn 1.content is missing"),
        (
            {"t2i": [user("{request}{image}")[0] | {"name": "x"}]},
            "turn 1 has no field 'name'; its fields are: role, content",
        ),
        (
            {"t2i": [{"role": "user", "content": ["{request}{image}"]}]},
            "turn 1.content must be a text, not ['{request}{image}']",
        ),
        ({"t2i": user("{image}")}, "mine.json, t2i: {request} must appear once, not 0 times"),
        ({"t2i": user("{image}{request}{request}")}, "{request} must appear once, not 2 times"),
        ({"t2i": user("{request}{image}{image}")}, "{image} must appear once, not 2 times"),
        ({"t2i": user("{request}{image}{source}")}, "{source} belongs to another task"),
        ({"t2i": user("{request}{image}{image_a}")}, "{image_a} belongs to another task"),
        ({"edit": user("{request}{image}")}, "edit: {source} must appear once"),
        ({"edit": user("{request}{image}{source}")}, "in the order {source}, {image}"),
        ({"t2i-pair": user("{request}{image}")}, "{image_a} must appear once"),
        ({"edit-pair": user("{request}{source}{image_b}{image_a}")}, "{source}, {image_a}, {image_b}"),
        (
            {"t2i": user("{request}{image}", "tool")},
            "turn 1.role must be one of system, user, assistant, not 'tool'",
        ),
        ({"t2i": user("{request}{image}", "system")}, "images belong in a user turn"),
        ({"t2i": [*user("{request}{image}"), *user("hm", "assistant")]}, "the last turn must be the user's"),
        (
            {"t2i": [*user("{request}{image}"), *user("x", "system"), *user("y")]},
            "system turn must be the first",
        ),
        (" " * 1_000_001, "it may hold 1000000 bytes"),
    ],
)
def test_a_wrong_template_file_is_explained(tmp_path: Path, data: object, why: str):
    with pytest.raises(ValueError, match=re.escape(why)) as error:
        templates.read_file(written(tmp_path, data))
    assert "mine.json" in str(error.value)


def test_a_missing_template_file_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="none.json cannot be read"):
        templates.read_file(tmp_path / "none.json")


@pytest.mark.parametrize("sources", [0, 9])
def test_a_template_takes_one_to_eight_sources(tmp_path: Path, sources: int):
    with pytest.raises(ValueError, match="sources|source images, not 9"):
        templates.read_file(written(tmp_path, GOOD))["edit"].messages("x", sources)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text(
        f"```python\n{PUBLISHED}\n```\n```python\n{PUBLISHED_EDIT}\n```", "utf-8"
    )
    return folder


def own(wording: Wording, task: str) -> bool:
    asked = rubric.messages(task, "a cat", style=wording.style, profile=wording.profile)
    name = rubric.wording(task, wording.style, wording.profile)
    same = wording.messages(task, "a cat") == asked
    assert same == (wording.name(task) == name)
    return same


def test_without_anything_this_projects_own_wording_is_used():
    assert choose() == Wording()
    assert all(own(choose(style=style), task) for style in STYLES for task in Task)


def test_the_checkpoints_card_is_used_for_the_tasks_it_has(model: Path):
    chosen = choose(model)
    assert chosen.notices == ()
    assert chosen.messages("t2i", "a cat") == built(PUBLISHED, "t2i", "a cat")
    assert [task for task in Task if own(chosen, task)] == [Task.T2I_PAIR, Task.EDIT_PAIR]
    assert chosen.name("edit").startswith("model card/")
    with pytest.raises(ValueError, match="takes 1 source images, not 2"):
        chosen.messages("edit", "a cat", 2)


@pytest.mark.parametrize("style", [TEST_TIME, SINGLE])
def test_another_style_is_asked_in_our_wording(model: Path, style: str):
    chosen = choose(model, style=style)
    assert chosen.notices == () and all(own(chosen, task) for task in (Task.T2I, Task.EDIT))


def test_other_aspects_are_asked_in_our_wording_and_that_is_said_once(model: Path):
    fewer = RATIONAL_REWARDS.changed(drop=[TEXT_RENDERING.key])
    chosen = choose(model, profile=fewer)
    assert all(own(chosen, task) for task in (Task.T2I, Task.EDIT))
    (notice,) = chosen.notices
    assert "model card is not used" in notice and fewer.name in notice
    assert choose(model, profile=fewer, style=SINGLE).notices == ()
    assert choose(model.parent, profile=fewer).notices == ()


def test_a_card_that_cannot_be_used_gives_our_wording_and_a_notice(model: Path):
    (model / "README.md").write_text(
        f"```python\n{PUBLISHED.replace('Text Rendering', 'Letters')}\n```", "utf-8"
    )
    chosen = choose(model)
    assert own(chosen, "t2i")
    (notice,) = chosen.notices
    assert "build_t2i_messages" in notice and "Text Rendering" in notice


@pytest.mark.parametrize("style", STYLES)
def test_a_users_file_wins_over_everything_for_the_tasks_it_has(model: Path, style: str):
    file = written(model.parent, {"t2i": GOOD["t2i"], "t2i-pair": GOOD["t2i-pair"]})
    fewer = RATIONAL_REWARDS.changed(drop=[TEXT_RENDERING.key])
    for profile in (RATIONAL_REWARDS, fewer):
        chosen = choose(model, file, style, profile)
        assert chosen.name("t2i").startswith("file/mine.json/")
        assert chosen.messages("t2i", "a cat") == templates.read_file(file)["t2i"].messages("a cat")
        assert not own(chosen, "t2i-pair") and own(chosen, "edit-pair")
        assert own(chosen, "edit") == (style != CARD or profile is fewer)


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="style must be one of card, test-time, single, not 'x'"):
        choose(style="x")
    with pytest.raises(ValueError, match="task must be one of"):
        Wording().messages("x", "a cat")
    with pytest.raises(ValueError, match="task must be one of"):
        Wording().name("x")
