"""The scripted critic, on which other tests rely: what it writes, and that it sees what a model would."""

from __future__ import annotations

import pytest
import torch
from rr_tests.answers import answer, scores
from rr_tests.scripted import (
    HEADER,
    Always,
    Loops,
    NonFiniteAfter,
    RandomWords,
    Writes,
    scripted,
)

from rr_models.critics.judging import critique
from rr_models.engine.engine import Engine
from rr_models.engine.program import Draft, Force, Measure, Sample, Trie
from rr_models.engine.sequence import Prompt, Request
from rr_models.errors import CriticError

FREE = {"constrained": False, "ask_again": False}
IMAGE = torch.zeros(64, 96, 3)
WRITTEN = answer("3.5", "N/A", "A red fox (狐狸) asleep on a blue chair 🦊.")


@pytest.fixture
def critic(real_vocabulary_critic):
    return real_vocabulary_critic


def test_the_vocabulary_is_the_real_one(critic):
    """Places of tokens that the published checkpoints have."""
    ids = critic.tokenizer("## Score: 3.5\n\n<think>", add_special_tokens=False).input_ids
    assert ids == [565, 18115, 25, 220, 18, 13, 20, 271, 151667]
    assert critic.model.config.get_text_config().vocab_size == 151_936
    assert sorted(critic.model.generation_config.eos_token_id) == [151_643, 151_645]


@pytest.mark.parametrize("batch_invariant", [False, True])
def test_it_writes_the_text_that_it_is_given(critic, batch_invariant: bool):
    texts = {"a fox": WRITTEN, "a fox asleep": "I can't judge this.", "a cat": answer("1.0", "4.0")}
    answers = {request: Writes(critic.tokenizer, text) for request, text in texts.items()}
    with scripted(critic, answers) as script:
        for request, text in texts.items():
            for sources in ((), [IMAGE]):
                options = {"sources": sources, "batch_invariant": batch_invariant, **FREE}
                (one,) = critique(critic, [IMAGE], request, **options)
                assert one.text == text
                assert one.source["tokens"] == len(answers[request].ids) - 1
        script.answers = Writes(critic.tokenizer, WRITTEN, end_token=151_643)
        together = critique(critic, [IMAGE] * 3, "any", batch_size=2, batch_invariant=batch_invariant, **FREE)
        assert [scores(one) for one in together] == [[3.5, 3.0, "not_applicable"]] * 3
        assert [one.text for one in together] == [WRITTEN] * 3


def test_afterwards_the_critic_is_itself_again(critic):
    def write() -> str:
        return critique(critic, [IMAGE], "a fox", max_new_tokens=4, **FREE)[0].text

    before = write()
    with scripted(critic, Writes(critic.tokenizer, WRITTEN)):
        assert WRITTEN.startswith(write())
    assert write() == before


def test_texts_without_end_are_cut_off_and_numbers_that_are_none_found(critic):
    a, size = critic.tokenizer(" a").input_ids[0], 151_936
    endless = [Loops(critic.tokenizer, "the fox "), Always(a), RandomWords(size)]
    for words in endless:
        with scripted(critic, words):
            (one,) = critique(critic, [IMAGE], "a fox", max_new_tokens=40, **FREE)
            assert (one.status, one.source["tokens"]) == ("truncated", 40)
    with scripted(critic, Always(critic.tokenizer.eos_token_id)) as script:
        assert critique(critic, [IMAGE], "a fox", **FREE)[0].text == ""
        assert script.forwards == 0
    for count in (0, 5):
        for value in (float("nan"), float("inf")):
            with scripted(critic, NonFiniteAfter(count, a, size, value)), pytest.raises(CriticError):
                critique(critic, [IMAGE], "a fox", max_new_tokens=40, **FREE)


@pytest.mark.parametrize("padded_batch_size", [0, 8])
@pytest.mark.parametrize("draft", [(), (102, 103), (102, 9)])
@pytest.mark.parametrize("lookahead", [False, True])
def test_each_token_sees_what_stands_before_it(critic, padded_batch_size: int, draft, lookahead: bool):
    """Through drafts that are right or wrong, the branches of a trie, and rows that move."""
    ids = [5, 6, *critic.tokenizer(HEADER).input_ids]
    positions, is_image = torch.arange(len(ids)).expand(3, -1), torch.zeros(len(ids), dtype=torch.bool)
    prompt = Prompt(
        ids, positions, is_image, [torch.zeros(0, 1, dtype=torch.long)], prefix_tokens=2, prefix_key="prefix"
    )
    words, sample = Measure(Trie({"x": (20, 21, 22), "y": (20, 23), "z": (24, 25)})), Sample()
    asked: list[tuple[int, ...]] = []

    def follows(written: list[int]) -> dict[int, float]:
        asked.append(tuple(written))
        return {20: 0.5, 23: 0.3, 24: 0.1, 100 + len(written): 0.9}

    def program(count: int):
        yield Force((50, 51))
        for _ in range(count):
            yield Draft(draft, words if lookahead else None)
            yield sample
        choice = yield words
        assert choice.word == "y"
        yield Force(choice.ids)
        yield sample

    counts = (1, 4, 2)
    requests = [Request(lambda: prompt, lambda n=count: program(n), len(ids), 50) for count in counts]
    with scripted(critic, follows):
        Engine(critic.model).run(requests, 2, padded_batch_size)
    for request, count in zip(requests, counts, strict=True):
        stem = (50, 51, *(102 + n for n in range(count)))
        assert request.completion.token_ids == [*stem, 20, 23, 104 + count]
        assert {stem, (*stem, 20), (*stem, 20, 21), (*stem, 24), (*stem, 20, 23)} <= set(asked)
    written = [(50, 51, 102, 103, 104, 105)[:n] for n in range(7)]
    drafted = {(*stem, *draft[:n]) for stem in written for n in range(3)}
    branches = [(), (20,), (20, 21), (20, 23), (24,)]
    assert set(asked) <= {(*stem, *branch) for stem in drafted for branch in branches}


TEXT = "# Summary: Good.\n1. Text Faithfulness:\n## Score: 3.5\n"


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        ("", TEXT),
        ("# Summ", "ary: Good.\n1. Text Faithfulness:\n## Score: 3.5\n"),
        ("# Summary: Good.\n1. text faithfulness:\n", "## Score: 3.5\n"),
        ("# Summary: Good.\n## Score:", " 3.5\n"),  # it skips what is not asked for any more
        ("# Summary: Good.\n## Score: 3", ".5\n"),
        ("# Summary: Good.\n# Detailed Judgement\n", "1. Text Faithfulness:\n## Score: 3.5\n"),
        ("# Summary: Good.\n# Detailed Judgement\n1", ". Text Faithfulness:\n## Score: 3.5\n"),
        ("# User Request Analysis\n", TEXT),
        (TEXT + "# More:", ""),
    ],
)
def test_what_was_written_in_its_place_is_taken_up(critic, written: str, rest: str):
    assert Writes(critic.tokenizer, TEXT).rest(written) == rest
