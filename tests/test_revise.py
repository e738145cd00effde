"""From a refined request to the next prompt."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rr_tests.made import critique

from rr_models.prompt_revision.protected_terms import contains_term, prompt_syntax, protected_terms
from rr_models.prompt_revision.revise import revise
from rr_models.prompt_revision.shorten import count_words, estimate_tokens


def test_the_refined_request_as_it_is():
    revision = revise(critique(3.0, refined="  A red circle.\nOn the left. "))
    assert revision.prompt == "A red circle.\nOn the left."
    assert revision.notes == ()


def test_prefix_and_suffix_stand_around():
    assert (
        revise(critique(3.0, refined="a cat"), prefix=" photo of", suffix="8k ").prompt == "photo of a cat 8k"
    )


def test_an_empty_refinement_falls_back_to_the_request_with_a_note():
    revision = revise(critique(3.0, refined=" ", request="a cat"))
    assert revision.prompt == "a cat"
    assert "no refined request" in revision.notes[0]


def test_an_unchanged_refinement_is_noted():
    assert "unchanged" in revise(critique(3.0, refined="A  Cat", request="a cat")).notes[0]


@pytest.mark.parametrize(
    ("refined", "term", "prompt", "outcome"),
    [
        ("a photo of sks dog", "sks", "a photo of sks dog", "present"),
        ("a photo of SKS dog", "sks", "a photo of sks dog", "restored"),
        ("a wide category of dogs", "cat", "a wide category of dogs, cat", "added"),
        ("a dog.", "blue hat", "a dog, blue hat", "added"),
        ("一只猫坐着", "猫", "一只猫坐着", "present"),
        ("see C++ code", "C++", "see C++ code", "present"),
        ("(sks:1.2) dog", "(sks:1.2)", "(sks:1.2) dog", "present"),
        ("a red hat on a dog", "(red hat:1.2)", "a (red hat:1.2) on a dog", "restored"),
        ("a (Red Hat:1.5), a dog", "(red hat:1.2)", "a (red hat:1.2), a dog", "restored"),
        ("a (red hat) on a dog", "(red hat:1.2)", "a (red hat:1.2) on a dog", "restored"),
        ("a red hat-trick", "(big hat:1.2)", "a red hat-trick, (big hat:1.2)", "added"),
        ("a dog", "<lora:dog_v2:0.8>", "a dog, <lora:dog_v2:0.8>", "added"),
        ("a dog my_style_2", "my_style", "a dog my_style_2, my_style", "added"),
    ],
)
def test_protected_terms_appear_word_for_word_and_are_reported(refined, term, prompt, outcome):
    revision = revise(critique(3.0, refined=refined), protected_terms=[term])
    assert revision.prompt == prompt
    assert f"Protected terms {outcome}: {term}." in revision.notes


def test_prompt_syntax_survives_without_being_named():
    request = "a {red|blue} __animal__ in (a big, dark forest:1.3) <lora:ink:0.7>, embedding:good_v2, (plain)"
    tokens = "{red|blue}", "__animal__", "(a big, dark forest:1.3)", "<lora:ink:0.7>", "embedding:good_v2"
    assert prompt_syntax(request) == tokens
    revision = revise(critique(3.0, request=request, refined="An animal in a big, dark forest."))
    assert revision.prompt == (
        "An animal in (a big, dark forest:1.3), {red|blue}, __animal__, <lora:ink:0.7>, embedding:good_v2"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("((a:1.1) b:1.2)", ("((a:1.1) b:1.2)",)),
        ("{a|{b|c}} {no choice} {2$$x|y}", ("{a|{b|c}}", "{2$$x|y}")),
        ("at (12:30) she", ("(12:30)",)),  # core reads it as a weight too
        ("(open {a|b", ()),
        ("1 < 2 > 0, a <b>", ()),
        ("__init__ and __a/b*__", ("__init__", "__a/b*__")),
        ("", ()),
    ],
)
def test_syntax(text, found):
    assert prompt_syntax(text) == found


def test_a_protected_term_in_the_prefix_is_not_added_again():
    assert (
        revise(critique(3.0, refined="a dog"), prefix="sks style", protected_terms=["sks"]).prompt
        == "sks style a dog"
    )


def test_lists_of_terms():
    assert protected_terms(" sks, blue hat\n\nsks，红色 ,") == ("sks", "blue hat", "红色")
    assert protected_terms("(red, blue:1.2), {a,b|c}\n<lora:x:1>,(open, x") == (
        "(red, blue:1.2)",
        "{a,b|c}",
        "<lora:x:1>",
        "(open, x",
    )


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (0, "A red circle, on the left. A blue square. Sharp edges."),
        (11, "A red circle, on the left. A blue square. Sharp edges."),
        (10, "A red circle, on the left. A blue square."),
        (8, "A red circle, on the left. Sharp edges."),
        (5, "A red circle. Sharp edges."),
        (4, "A red circle"),
        (2, "A red"),
    ],
)
def test_shortened_at_sentence_then_comma_then_word(limit, expected):
    refined = "A red circle, on the left. A blue square. Sharp edges."
    revision = revise(critique(3.0, refined=refined), max_words=limit)
    assert revision.prompt == expected
    assert bool(revision.notes) == (expected != refined)


@pytest.mark.parametrize(
    ("refined", "expected"),
    [
        ("A cat. It sits on the old red sofa of a very rich aunt", "A cat. It sits on the old red"),
        ("Dr. Smith stands in the hall of his big house today", "Dr. Smith stands in the hall of his"),
        ("A cat. It sits on an old sofa, near the window of a house", "A cat. It sits on an old sofa"),
        ("A cat, sitting there. It is on the old red sofa of mine", "A cat, sitting there."),
    ],
)
def test_a_sentence_end_that_wastes_most_of_the_limit_is_not_used(refined, expected):
    assert revise(critique(3.0, refined=refined), max_words=8).prompt == expected


def test_a_term_that_the_cut_takes_away_is_added_again_within_the_limit():
    revision = revise(
        critique(3.0, refined="A red circle. A dog with a hat."), protected_terms=["hat"], max_words=4
    )
    assert revision.prompt == "A red circle, hat"
    assert count_words(revision.prompt) == 4


def test_chinese_is_cut_at_its_own_full_stops():
    assert revise(critique(3.0, refined="一只红猫。一只蓝狗。"), max_words=6).prompt == "一只红猫。"


def test_the_least_relevant_sentences_go_first():
    revision = revise(
        critique(
            3.0,
            request="a red circle and a blue square",
            refined="A calm mood. A red circle. Soft light, fine grain. A blue square. Crisp lines.",
            refinement_comments="The lines must be crisp.",
        ),
        max_words=8,
    )
    assert revision.prompt == "A red circle. A blue square. Crisp lines."
    assert revision.notes == ("Shortened from 15 to 8 words to fit 8 words.",)


def test_a_cut_does_not_end_in_small_words():
    revision = revise(critique(3.0, refined="A red circle stands on the left of the picture"), max_words=6)
    assert revision.prompt == "A red circle stands"


def test_a_budget_in_tokens():
    refined = "A red circle, on the left. A blue square. Sharp edges."
    revision = revise(critique(3.0, refined=refined), max_tokens=8, count_tokens=lambda text: len(text) // 4)
    assert revision.prompt == "A red circle, on the left."
    assert "The prompt has 6 tokens." in revision.notes
    assert "about" in revise(critique(3.0, refined=refined), max_tokens=8).notes[1]


def test_tags():
    refined = "There is a large red circle on the left and a small blue star. Black and white, a red circle."
    revision = revise(
        critique(3.0, refined=refined), style="tags", prefix="masterpiece,", protected_terms=["sks"]
    )
    assert revision.prompt == (
        "masterpiece, large red circle on the left, small blue star, Black and white, red circle, sks"
    )
    assert revise(critique(3.0, refined="一只猫，一条狗。"), style="tags").prompt == "一只猫, 一条狗"


def test_tags_are_left_out_by_relevance():
    made = critique(3.0, request="a cat and a dog", refined="fog, a cat, rain, a dog, snow")
    assert revise(made, style="tags", max_words=2).prompt == "cat, dog"


def test_append_keeps_the_last_prompt():
    made = critique(3.0, request="a cat", refined="A cat. It wears a red hat. The cat.")
    assert revise(made, mode="append").prompt == "a cat. It wears a red hat."
    assert revise(made, mode="append", style="tags").prompt == "a cat, It wears a red hat"
    again = revise(made, mode="append", prefix="ink", suffix="8k", last_prompt="ink a dog 8k")
    assert again.prompt == "ink a dog. A cat. It wears a red hat. The cat. 8k"
    nothing = revise(critique(3.0, request="a red cat", refined="A cat, red."), mode="append")
    assert nothing.prompt == "a red cat" and "adds nothing to the last prompt" in nothing.notes[0]


def test_the_difference_to_the_last_prompt():
    made = critique(3.0, request="a green cat", refined="a red cat on a chair")
    assert revise(made).difference == "green → red\n+ on a chair"
    assert revise(made, last_prompt="a red old cat on a chair").difference == "- old"
    same = revise(made, last_prompt="a red cat on a chair")
    assert same.difference == "" and "unchanged: only a new seed" in same.notes[-1]


TERM = st.sampled_from(["sks", "Big Dog", "(red hat:1.2)", "<lora:a:1>", "{x|y}", "__w__", "猫", "sks dog"])
TEXT = st.lists(
    st.sampled_from(
        ["red", "circle,", "left.", "Big", "SKS", "a", "猫。", "dog!", "hat", "(red", "{x|y}", "\n"]
    ),
    max_size=30,
).map(" ".join)


def bare_words(text):
    return [word.casefold() for word in re.findall(r"[A-Za-z0-9]+|[\u4e00-\u9fff]", text)]


@given(
    TEXT,
    TEXT,
    st.lists(TERM, max_size=3),
    st.lists(TERM, max_size=2).map(" ".join),
    st.integers(0, 20),
    st.sampled_from(["sentences", "tags"]),
    st.sampled_from(["replace", "append"]),
)
def test_laws(refined, prefix, protected, wanted, limit, style, mode):
    made = critique(3.0, refined=refined, request=f"a request {wanted}".strip())
    revision = revise(made, prefix=prefix, protected_terms=protected, max_words=limit, style=style, mode=mode)
    for term in (*protected, *prompt_syntax(made.request)):
        assert contains_term(revision.prompt, term), "a protected term is missing"
    if limit and count_words(revision.prompt) > limit:
        assert any("The parts that must stay are longer" in note for note in revision.notes)
    allowed = {
        *bare_words(refined),
        *bare_words(prefix),
        *bare_words(" ".join(protected)),
        *bare_words(made.request),
    }
    assert set(bare_words(revision.prompt)) <= allowed, "a word was cut in two"
    notes = " ".join(revision.notes)
    assert all(term in notes for term in protected)
    assert bool(revision.difference) == (revision.prompt.split() != made.request.split())
    if not refined.strip():
        assert "no refined request" in notes
    if (
        not limit
        and style == "sentences"
        and mode == "replace"
        and refined.strip()
        and not protected
        and not wanted
    ):
        assert revision.prompt.split() == [*prefix.split(), *refined.split()], "words are missing"


@given(TEXT, st.integers(1, 12))
def test_the_remaining_words_keep_their_order(refined, limit):
    refined = refined.strip() or "x"
    prompt = revise(critique(3.0, refined=refined), max_words=limit).prompt
    rest = iter(bare_words(refined))
    assert all(word in rest for word in bare_words(prompt))


PROMPTS = (
    ("masterpiece, best quality, 1girl, solo, long hair, blue eyes, cinematic lighting, 8k uhd", 0.9, 1.15),
    (
        "A close-up portrait of an elderly fisherman with weathered skin, at golden hour; 85mm, f/1.8",
        0.9,
        1.15,
    ),
    ('a small yellow star and a large purple triangle on the right with the word "SUN" below', 0.9, 1.15),
    (
        "An isometric illustration of a futuristic greenhouse laboratory: hydroponic towers, soft pastel",
        0.9,
        1.25,
    ),
    ("Keep the woman's face exactly; replace the background. Don't change the lighting.", 0.9, 1.15),
    ("sks dog, ohwx man, (red hat:1.2), <lora:myStyle_v2:0.8>, __animal__, {cat|dog}", 0.9, 1.15),
    ("一只戴着红色帽子的猫坐在木椅上，背景是大海，电影光效", 1.0, 1.4),
    ("Ein rotes Fahrrad lehnt an einer alten Backsteinmauer, Frühlingslicht, Überbelichtung", 1.0, 1.4),
)


def test_the_token_estimate_is_close_to_clip(core_folder):
    from transformers import CLIPTokenizer

    clip = CLIPTokenizer.from_pretrained(core_folder / "comfy" / "sd1_tokenizer")
    for prompt, least, most in PROMPTS:
        true = len(clip(prompt)["input_ids"]) - 2
        assert least <= estimate_tokens(prompt) / true <= most, f"{estimate_tokens(prompt)} {true} {prompt}"


def test_a_negative_limit_is_an_error():
    with pytest.raises(ValueError, match="max_words"):
        revise(critique(3.0), max_words=-1)
    with pytest.raises(ValueError, match="max_tokens"):
        revise(critique(3.0), max_tokens=-1)
    with pytest.raises(ValueError, match="style must be one of sentences, tags, not 'poem'"):
        revise(critique(3.0), style="poem")
    with pytest.raises(ValueError, match="mode"):
        revise(critique(3.0), mode="mix")
