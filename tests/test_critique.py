"""The data: what has an overall score, and what survives being written down."""

from __future__ import annotations

import json

import pytest
from rr_tests.made import critique

from rr_models.judgement.critique import MISSING, AspectScore, Critique


def test_overall_is_the_mean_of_what_applies():
    assert critique(2.0, 3.0).overall == 2.5  # Text Rendering is N/A
    assert critique(2.0, 3.0, 4.0).overall == 3.0


def test_reward_runs_from_0_to_1():
    assert critique(1.0, 1.0).reward == 0.0
    assert critique(4.0, 4.0).reward == 1.0


def test_a_missing_aspect_never_counts_as_a_number():
    cut = critique(3.9, None)
    assert cut.overall is None and cut.reward is None
    assert not cut.reaches(1.0)


def test_the_bar_holds_for_every_aspect():
    assert critique(3.0, 3.0).reaches(3.0)
    assert not critique(4.0, 2.9).reaches(3.0)


def test_dict_is_an_exact_inverse_through_json():
    whole = critique(2.25, 3.0, 4.0, notes=("mended",), source={"critic": "c", "seed": 3})
    assert Critique.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole


def test_overall_in_a_file_is_never_believed():
    data = critique(1.0, 1.0).to_dict() | {"overall": 4.0, "reward": 1.0}
    assert Critique.from_dict(data).overall == 1.0


def test_what_a_later_version_adds_is_left_out():
    whole = critique(2.0, 3.0)
    data = whole.to_dict() | {"mood": "new"}
    data["aspects"] = [a | {"mood": "new"} for a in data["aspects"]]
    assert Critique.from_dict(data) == whole


def test_status_and_score_must_go_together():
    with pytest.raises(ValueError, match="Colour.*missing.*2.0"):
        AspectScore("colour", "Colour", MISSING, 2.0)


def test_a_score_lies_on_the_scale():
    with pytest.raises(ValueError, match="Text Faithfulness.*1.*4.*4.1"):
        critique(4.1, 2.0)
    assert critique(4.1, 2.0, scale=(0.0, 10.0)).reward == pytest.approx(0.305)
    with pytest.raises(ValueError, match="Text Faithfulness"):
        critique(0.5, 2.0)


def test_an_unknown_aspect_names_those_there_are():
    with pytest.raises(KeyError, match="text_rendering"):
        critique(1.0, 1.0).aspect("image_faithfulness")


def test_one_line_says_all_scores():
    assert critique(2.0, 3.0).scores_line() == (
        "Text Faithfulness 2.0, Physical and Visual Quality 3.0, Text Rendering N/A; overall 2.50"
    )
    assert repr(critique(2.0, None)).endswith(
        "Physical and Visual Quality missing, Text Rendering N/A; incomplete)"
    )
