"""From a refined request to the next prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rr_tests.made import critique

from rr_models.revise import count_words, kept_terms, revise

WORDS = st.lists(st.sampled_from(["red", "circle,", "left.", "Big", "sks", "a", "猫。", "dog!"]), max_size=30)


def test_the_refined_request_as_it_is():
    revision = revise(critique(3.0, refined="  A red circle.\nOn the left. "))
    assert revision.prompt == "A red circle.\nOn the left."
    assert revision.notes == ()


def test_prefix_and_suffix_stand_around():
    assert (
        revise(critique(3.0, refined="a cat"), prefix=" photo of", suffix="8k ").prompt == "photo of a cat 8k"
    )


def test_an_empty_refinement_uses_the_request_and_says_so():
    revision = revise(critique(3.0, refined=" ", request="a cat"))
    assert revision.prompt == "a cat"
    assert "no refined request" in revision.notes[0]


def test_an_unchanged_refinement_is_said():
    assert "unchanged" in revise(critique(3.0, refined="A  Cat", request="a cat")).notes[0]


@pytest.mark.parametrize(
    ("refined", "term", "added"),
    [
        ("a photo of sks dog", "sks", False),
        ("a photo of SKS dog", "sks", False),
        ("a wide category of dogs", "cat", True),
        ("a dog.", "blue hat", True),
        ("一只猫坐着", "猫", False),
        ("see C++ code", "C++", False),
        ("(sks:1.2) dog", "(sks:1.2)", False),
    ],
)
def test_a_kept_term_is_added_only_where_it_is_lost(refined, term, added):
    revision = revise(critique(3.0, refined=refined), keep=[term])
    assert (revision.prompt != refined) == added
    assert term.casefold() in revision.prompt.casefold()
    assert any(term in note for note in revision.notes) == added


def test_a_kept_term_in_the_prefix_is_not_lost():
    assert (
        revise(critique(3.0, refined="a dog"), prefix="sks style", keep=["sks"]).prompt == "sks style a dog"
    )


def test_lists_of_terms():
    assert kept_terms(" sks, blue hat\n\nsks，红色 ,") == ("sks", "blue hat", "红色")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (0, "A red circle, on the left. A blue square. Sharp edges."),
        (11, "A red circle, on the left. A blue square. Sharp edges."),
        (10, "A red circle, on the left. A blue square."),
        (8, "A red circle, on the left."),
        (5, "A red circle"),
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
def test_an_end_that_wastes_most_of_the_room_is_no_place_to_cut(refined, expected):
    assert revise(critique(3.0, refined=refined), max_words=8).prompt == expected


def test_a_term_that_the_cut_takes_away_is_added_again_within_the_limit():
    revision = revise(critique(3.0, refined="A red circle. A dog with a hat."), keep=["hat"], max_words=4)
    assert revision.prompt == "A red circle, hat"
    assert count_words(revision.prompt) == 4


def test_chinese_is_cut_at_its_own_full_stops():
    assert revise(critique(3.0, refined="一只红猫。一只蓝狗。"), max_words=6).prompt == "一只红猫。"


@given(WORDS, WORDS, st.lists(st.sampled_from(["sks", "hat", "big dog"]), max_size=3), st.integers(0, 20))
def test_laws(refined, prefix, keep, limit):
    whole = " ".join(refined) or "x"
    revision = revise(critique(3.0, refined=whole), prefix=" ".join(prefix), keep=keep, max_words=limit)
    for term in keep:
        assert term.casefold() in revision.prompt.casefold()
    alone = count_words(" ".join(prefix)) + count_words(" ".join(dict.fromkeys(keep)))
    if limit:
        assert count_words(revision.prompt) <= max(limit, alone)
    pieces = whole.replace(",", " ").replace(".", " ").replace("!", " ").replace("。", " ").split()
    own = revision.prompt.removeprefix(" ".join(prefix))
    known = {*pieces, *" ".join(keep).split()}
    for word in own.replace(",", " ").replace(".", " ").replace("!", " ").replace("。", " ").split():
        assert word in known, "a word was cut in two"


def test_a_negative_limit_is_an_error():
    with pytest.raises(ValueError, match="max_words"):
        revise(critique(3.0), max_words=-1)
