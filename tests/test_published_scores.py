"""Scores by the published rules, compared with values computed by hand."""

from __future__ import annotations

import dataclasses

import pytest
from rr_tests.made import critique

from rr_models.judgement.critique import MISSING, SCORED
from rr_models.judgement.published_scores import PUBLISHED, published_score, published_winner
from rr_models.judgement.verdict import PairScore, Verdict


def test_an_edit_by_every_rule():
    found = critique(4.0, 1.0, 3.0, task="edit")
    numbers = {rule: published_score(found, rule) for rule in PUBLISHED}
    assert numbers == {
        "card-t2i": pytest.approx((3.5 - 1) / 3),  # Image Faithfulness is not among its aspects
        "card-edit": pytest.approx((8 / 3 - 1) / 3),
        "rl": pytest.approx((3.5 - 1) / 3),
        "paper": pytest.approx(8 / 3),
    }
    assert found.overall == numbers["paper"]


def test_a_cut_answer_is_rewarded_there_and_not_here():
    cut = critique(3.9, None)
    assert published_score(cut, "card-t2i") == pytest.approx(0.9667, abs=1e-4)
    assert cut.overall is None


def test_a_number_beyond_the_scale():
    found = critique(4.0, 3.0)
    first = dataclasses.replace(found.aspects[0], written=4.5)
    found = dataclasses.replace(found, aspects=(first, *found.aspects[1:]))
    assert published_score(found, "card-t2i") == pytest.approx((3.5 - 1) / 3)
    assert published_score(found, "rl") == pytest.approx((3.75 - 1) / 3)


def test_nothing_read():
    assert published_score(critique(None, None), "rl") == 0.0
    assert published_score(critique(None, None), "paper") is None


def test_the_published_comparison_fills_gaps_with_the_middle():
    scored = PairScore("text_faithfulness", "Text Faithfulness", SCORED, 2.0, 2.0, "tie")
    gap = PairScore("physical_quality", "Physical and Visual Quality", MISSING)
    assert published_winner(Verdict("t2i-pair", "", (scored, gap), "incomplete")) == "tie"
    better = dataclasses.replace(scored, score_b=2.1, winner="B")
    assert published_winner(Verdict("t2i-pair", "", (better, gap), "incomplete")) == "B"


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="card-t2i.*'mine'"):
        published_score(critique(1.0), "mine")
