"""A free answer that lacks a score is asked for once more, constrained; none more often than that."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rr_tests.answers import answer
from rr_tests.scripted import Cooperates, scripted

from rr_models import LoopSettings, refine
from rr_models.critics.cached import CachedCritic
from rr_models.critics.disk_cache import DiskCache
from rr_models.critics.judging import critique
from rr_models.judgement.critique import COMPLETE, INCOMPLETE, REFUSED, TRUNCATED, report

SHORT = {"constrained": False}
WHOLE = answer("3.5", "N/A")


@pytest.fixture(scope="module")
def critic(small_vocabulary_critic):
    """By itself it ends its answers before the first score; asked for the rest, it gives it."""
    begun = WHOLE[: WHOLE.index("## Score")]
    with scripted(small_vocabulary_critic, Cooperates(small_vocabulary_critic.tokenizer, begun, WHOLE)):
        yield small_vocabulary_critic


def some_images(count: int) -> list[torch.Tensor]:
    return [torch.full((32, 32, 3), 0.1 * number) for number in range(count)]


@pytest.mark.slow
def test_the_second_answer_is_whole_and_says_that_it_is_the_second(critic, caplog):
    (found,) = critique(critic, some_images(1), "a cat", **SHORT)
    assert found.status == COMPLETE and found.source["attempts"] == 2 and found.source["constrained"]
    assert "asked twice: the first answer, not constrained, was" in report(found)
    assert "(no Text Faithfulness" in found.notes[-1] and "1 of 1 answers lack a score" in caplog.text
    alone = critique(critic, some_images(1), "a cat", **SHORT | {"constrained": True})
    assert found.text == alone[0].text and "attempts" not in alone[0].source


@pytest.mark.parametrize("seed", [None, 3])
def test_the_same_words_are_not_decoded_twice(small_vocabulary_critic, seed):
    """The second answer begins as the first: what is known of it is fed many tokens at a time."""
    critic, options = small_vocabulary_critic, {}
    if seed is not None:
        options = {"temperature": 1.0, "seed": seed}
    whole = answer("3.5", "N/A").replace("The fox is there.", "The fox is there. " * 3 + "It sits. " * 6)
    begun = whole[: whole.index("3. Text Rendering")].replace("# Detailed Judgement\n", "")
    with scripted(critic, Cooperates(critic.tokenizer, begun, whole)) as script:
        critique(critic, some_images(1), "a cat", ask_again=False, **SHORT, **options)
        free, script.forwards = script.forwards, 0
        (alone,) = critique(critic, some_images(1), "a cat", **options)
        constrained, script.forwards = script.forwards, 0
        (found,) = critique(critic, some_images(1), "a cat", **SHORT, **options)
    assert (found.text, found.aspects) == (alone.text, alone.aspects) and found.status == COMPLETE
    assert script.forwards - free < constrained / 2


def test_it_can_be_switched_off_and_judge_has_it_off(critic):
    (found,) = critique(critic, some_images(1), "a cat", ask_again=False, **SHORT)
    assert found.status in (INCOMPLETE, TRUNCATED) and "attempts" not in found.source


@pytest.mark.slow
def test_scores_of_all_and_one_in_full(critic):
    found = critique(critic, some_images(2), "a cat", detail="best", **SHORT)
    assert [one.status for one in found] == [COMPLETE] * 2 and all(
        one.source["attempts"] == 2 for one in found
    )


@pytest.mark.slow
def test_it_is_cached_apart(critic, tmp_path):
    cached = CachedCritic(critic, DiskCache(tmp_path))
    critique(cached, some_images(1), "a cat", **SHORT)
    (again,) = critique(cached, some_images(1), "a cat", **SHORT)
    assert cached.cache_hits == 2 and again.source["attempts"] == 2
    (once,) = critique(cached, some_images(1), "a cat", ask_again=False, **SHORT)
    assert cached.cache_hits == 2 and once.overall is None


@pytest.mark.slow
def test_a_loop_goes_on_where_it_would_have_ended(critic):
    def grey(prompt: str, seed: int) -> torch.Tensor:
        return torch.full((32, 32, 3), (seed % 7) / 7)

    two = LoopSettings(rounds=2, threshold=4.0, seed_policy="new", patience=0)
    state = refine(grey, critic, "a cat", settings=two, **SHORT)
    assert len(state.history) == 2 and state.best.critique.source["attempts"] == 2
    ended = refine(grey, critic, "a cat", settings=two, ask_again=False, **SHORT)
    assert len(ended.history) == 1 and "The critique of round 1 is" in ended.stop_text


STATUSES = st.lists(st.sampled_from([COMPLETE, INCOMPLETE, TRUNCATED, REFUSED]), min_size=1, max_size=5)


@given(STATUSES, STATUSES, st.booleans(), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_question_is_asked_more_than_twice(critic, first, second, constrained, ask_again):
    """What the critic answers is given here; what is asked, in which form and how often is not."""
    asked = []

    def judge(questions, options, on_progress=None):
        asked.append(([id(question.images[0].pixels) for question in questions], options.constrained))
        answers = first if len(asked) == 1 else second
        return [_answer(answers[index % len(answers)]) for index in range(len(questions))]

    images = some_images(len(first))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(critic, "judge", judge)
        found = critique(critic, images, "a cat", constrained=constrained, ask_again=ask_again)
    lacking = [at for at, status in enumerate(first) if status in (INCOMPLETE, TRUNCATED)]
    again = lacking if ask_again and not constrained else []
    assert asked[0] == ([id(image) for image in images], constrained)
    assert asked[1:] == ([([id(images[at]) for at in again], True)] if again else [])
    for at, one in enumerate(found):
        assert ("attempts" in one.source) == (at in again)
        expected = second[again.index(at) % len(second)] if at in again else first[at]
        assert one.status == expected


def _answer(status: str):
    from rr_tests.made import critique

    return critique(2.0) if status == COMPLETE else critique(None, status=status)
