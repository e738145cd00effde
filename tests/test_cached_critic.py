"""A critic with a cache: what it asks the model, and that nothing which matters is taken for the same."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from rr_tests import tiny

from rr_models.checkpoints import fingerprint
from rr_models.critics.cached import CACHED, CachedCritic
from rr_models.critics.disk_cache import DiskCache
from rr_models.critics.judging import compare, critique
from rr_models.critics.local import load
from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.prompting.wording import Wording

SHORT, LONG = {"max_new_tokens": 200}, {"max_new_tokens": 600}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.make(tmp_path_factory.mktemp("LLM") / "tiny")


@pytest.fixture(scope="module")
def critic(folder):
    return load(folder)


@pytest.fixture
def cached(critic, tmp_path, monkeypatch):
    """The critic with an empty cache, and how many images the model has looked at."""
    asked = []
    judge = critic.judge
    monkeypatch.setattr(
        critic, "judge", lambda questions, *rest: asked.extend(questions) or judge(questions, *rest)
    )
    cached = CachedCritic(critic, DiskCache(tmp_path))
    cached.asked = asked
    return cached


def images(count: int) -> list[torch.Tensor]:
    return [torch.full((32, 32, 3), 0.1 * number) for number in range(count)]


def test_the_same_question_is_asked_once(cached):
    first = critique(cached, images(2), "a cat", **SHORT)
    assert len(cached.asked) == 2 and cached.cache_hits == 0
    again = critique(cached, images(2), "a cat", **SHORT)
    assert len(cached.asked) == 2 and cached.cache_hits == 2
    for one, other in zip(first, again, strict=True):
        assert CACHED not in one.source and other.source == one.source | {CACHED: True}
        assert other.to_dict() | {"source": 0} == one.to_dict() | {"source": 0}


@pytest.mark.slow
def test_only_what_is_new_is_asked(cached):
    three = images(3)
    critique(cached, [three[1]], "a cat", **SHORT)
    found = critique(cached, three, "a cat", **SHORT)
    assert [CACHED in one.source for one in found] == [False, True, False] and len(cached.asked) == 3
    alone = critique(cached.critic, three, "a cat", **SHORT)
    assert [one.text for one in found] == [one.text for one in alone]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"request": "a dog"},
        {"max_new_tokens": 201},
        {"detail": "scores"},
        {"score_mode": "expected"},
        {"constrained": False},
        {"constrained": False, "ask_again": False},
        {"temperature": 0.5},
        {"task": "edit", "sources": images(1)},
        {"images": [torch.full((32, 32, 3), 0.5)]},
        {"images": [torch.zeros(32, 64, 3)]},
    ],
    ids=str,
)
def test_whatever_bears_on_the_answer_is_another_question(cached, change):
    base = {"images": images(1), "request": "a cat", **SHORT}
    critique(cached, **base)
    critique(cached, **base | change)
    assert len(cached.asked) == 2


def test_chance_is_cached_by_its_seed_and_the_seed_does_not_matter_without_chance(cached):
    for seed in (1, 2, 1):
        critique(cached, images(1), "a cat", temperature=0.7, seed=seed, **SHORT)
    assert len(cached.asked) == 2
    for seed in (1, 2):
        (found,) = critique(cached, images(1), "a cat", seed=seed, **SHORT)
    assert len(cached.asked) == 3 and found.source["seed"] == 2


@pytest.mark.slow
def test_other_sources_of_an_edit_are_another_question(cached):
    a, b = images(2)
    for sources in ([a], [b], [a, b], [b, a], [a]):
        critique(cached, [a], "a cat", "edit", sources, **SHORT)
    assert len(cached.asked) == 4


def test_weights_are_worked_out_anew(cached):
    critique(cached, images(1), "a cat", **SHORT)
    (found,) = critique(cached, images(1), "a cat", weights={"text_faithfulness": 0.0}, **SHORT)
    assert len(cached.asked) == 1 and found.weights == {"text_faithfulness": 0.0}
    assert (
        found.overall
        == critique(cached.critic, images(1), "a cat", weights={"text_faithfulness": 0.0}, **SHORT)[0].overall
    )
    with pytest.raises(ValueError, match="'mood' is not judged"):
        critique(cached, images(1), "a cat", weights={"mood": 1.0}, **SHORT)


def test_the_best_of_a_batch_asks_only_for_what_is_new(cached, critic):
    best = {"detail": "best", **SHORT}
    first = critique(cached, images(3), "a cat", **best)
    asked = len(cached.asked)
    assert asked == 3 and cached.cache_hits == 0  # the scores; the best one is resumed
    again = critique(cached, images(3), "a cat", **best)
    assert len(cached.asked) == asked and cached.cache_hits == 4  # three scores, and the best in full
    assert [one.text for one in again] == [one.text for one in first]
    two = critique(cached, images(2), "a cat", **best)
    assert [one.text for one in two] == [one.text for one in critique(critic, images(2), "a cat", **best)]


def test_what_is_not_complete_is_asked_again(cached):
    short = {"max_new_tokens": 4, "constrained": False, "ask_again": False}
    critique(cached, images(1), "a cat", **short)
    critique(cached, images(1), "a cat", **short)
    assert len(cached.asked) == 2


@pytest.mark.slow
def test_pairs(cached):
    a, b = images(2)
    first = compare(cached, a, b, "a cat", **LONG)
    again = compare(cached, a, b, "a cat", **LONG)
    assert len(cached.asked) == 2 and again.source[CACHED] and again.aspects == first.aspects
    assert [o.text for o in again.orders] == [o.text for o in first.orders]
    compare(cached, b, a, "a cat", **LONG)
    compare(cached, a, b, "a cat", comparison="single order", **LONG)
    assert len(cached.asked) == 2  # the same two questions
    one = compare(cached, a, b, "a cat", comparison="independent", **LONG)
    assert compare(cached, a, b, "a cat", comparison="independent", **LONG).aspects == one.aspects
    assert len(cached.asked) == 4


def test_bad_options_are_errors_as_ever(cached):
    with pytest.raises(ValueError, match="detail must be one of"):
        critique(cached, images(1), "a cat", detail="novel")
    with pytest.raises(ValueError, match="request is empty"):
        critique(cached, images(1), " ", **SHORT)


def test_a_folder_is_known_by_content_not_by_name(folder, critic, tmp_path):
    copy = tmp_path / "another name"
    shutil.copytree(folder, copy)
    assert (
        fingerprint.folder_fingerprint(copy) == fingerprint.folder_fingerprint(folder) == critic.folder_digest
    )
    for name in ("model.safetensors", "tokenizer.json"):
        raw = (copy / name).read_bytes()
        (copy / name).write_bytes(raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
        assert fingerprint.folder_fingerprint(copy) != critic.folder_digest
        (copy / name).write_bytes(raw)
    assert fingerprint.folder_fingerprint(copy) == critic.folder_digest


def test_large_files_are_known_by_blocks_all_over_them(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "_MAX_COMPLETE", 1000)
    monkeypatch.setattr(fingerprint, "_BLOCK", 16)
    file = tmp_path / "model.safetensors"
    header = b'{"a": 1}'
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(5000))
    before = fingerprint.folder_fingerprint(tmp_path)
    raw = bytearray(file.read_bytes())
    for start in range(0, len(raw), 1000):  # as training would: nearly all numbers are others
        raw[start : start + 200] = b"\1" * len(raw[start : start + 200])
    file.write_bytes(raw)
    assert fingerprint.folder_fingerprint(tmp_path) != before


@pytest.mark.slow
def test_other_code_precision_device_aspects_or_wording_is_another_question(
    critic, folder, tmp_path, monkeypatch
):
    store = DiskCache(tmp_path)
    critique(CachedCritic(critic, store), images(1), "a cat", **SHORT)

    def known(cached: CachedCritic) -> bool:
        critique(cached, images(1), "a cat", **SHORT)
        return cached.cache_hits == 1

    assert known(CachedCritic(critic, store))
    elsewhere = copy.copy(critic)
    elsewhere.device = torch.device("cuda")
    assert not known(CachedCritic(elsewhere, store))
    style = load(folder, wording=Wording("single"))
    assert not known(CachedCritic(style, store))
    dropped = load(folder, wording=Wording(profile=RATIONAL_REWARDS.changed(drop=("text_rendering",))))
    assert not known(CachedCritic(dropped, store))
    assert not known(CachedCritic(load(folder, max_pixels=64 * 64), store))
    assert not known(CachedCritic(load(folder, dtype="bfloat16"), store))
    renamed = load(folder, name="other name")
    assert known(CachedCritic(renamed, store))
    assert (
        critique(CachedCritic(renamed, store), images(1), "a cat", **SHORT)[0].source["critic"]
        == "other name"
    )
    monkeypatch.setattr(fingerprint, "code_fingerprint", lambda: "another version")
    assert not known(CachedCritic(critic, store))


@pytest.mark.slow
def test_a_critic_without_identity_is_never_cached(critic, tmp_path, monkeypatch):
    monkeypatch.setattr(critic, "folder_digest", "")
    cached = CachedCritic(critic, DiskCache(tmp_path))
    for _ in range(2):
        critique(cached, images(1), "a cat", **SHORT)
        compare(cached, *images(2), "a cat", **SHORT)
        assert cached.cache_hits == 0
    assert not list(tmp_path.iterdir())
