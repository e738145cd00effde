"""The data: what has an overall score, and what survives being written down."""

from __future__ import annotations

import json
import math

import pytest
from rr_tests.made import critique

from rr_models.judgement.critique import MISSING, AspectScore, Critique, report


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


def test_the_threshold_holds_for_every_aspect():
    assert critique(3.0, 3.0).reaches(3.0)
    assert not critique(4.0, 2.9).reaches(3.0)


def test_dict_is_an_exact_inverse_through_json():
    whole = critique(2.25, 3.0, 4.0, notes=("mended",), source={"critic": "c", "seed": 3})
    assert Critique.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole


def test_overall_in_a_file_is_never_believed():
    data = critique(1.0, 1.0).to_dict() | {"overall": 4.0, "reward": 1.0}
    assert Critique.from_dict(data).overall == 1.0


GOOD = critique(2.0, 3.0).to_dict()
FIRST, *OTHERS = GOOD["aspects"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD | {"mood": "new"}, "critique has no field 'mood'"),
        (GOOD | {"aspects": [FIRST | {"mood": 1}, *OTHERS]}, r"critique.aspects\[0\] has no field 'mood'"),
        ({name: GOOD[name] for name in GOOD if name != "aspects"}, "critique.aspects is missing"),
        (GOOD | {"request": None}, "critique.request must be a text, not None"),
        (
            GOOD | {"aspects": [FIRST | {"score": "2.0"}, *OTHERS]},
            r"critique.aspects\[0\].score must be a finite number, not '2.0'",
        ),
        (
            GOOD | {"aspects": [FIRST | {"score": None}, *OTHERS]},
            r"aspects\[0\]: Text Faithfulness: status 'scored' does not",
        ),
        (GOOD | {"notes": "one"}, "critique.notes must be a list, not 'one'"),
        (
            GOOD | {"task": "video"},
            "critique.task must be one of t2i, edit, t2i-pair, edit-pair, not 'video'",
        ),
        (GOOD | {"task": ["t2i"]}, "critique.task must be one of"),
        (GOOD | {"aspects": {"a": 1}}, "critique.aspects must be a list"),
        (GOOD | {"source": []}, r"critique.source must be an object, not \[\]"),
        (GOOD | {"aspects": [FIRST | {"score": True}, *OTHERS]}, "finite number, not True"),
        (GOOD | {"aspects": [FIRST | {"score": math.nan}, *OTHERS]}, "finite number, not nan"),
        (GOOD | {"weights": {"mood": 1.0}}, "critique: weights: 'mood' is not judged here"),
        (
            GOOD | {"weights": {"text_faithfulness": math.inf}},
            "critique.weights.text_faithfulness must be a finite number, not inf",
        ),
        (GOOD | {"scale": [4.0, 1.0]}, "scale must rise"),
        (GOOD | {"scale": [1.0]}, "critique.scale\\[1\\] is missing"),
        ([], r"critique must be an object, not \[\]"),
        (None, "critique must be an object, not None"),
    ],
)
def test_wrong_data_is_refused_by_the_name_of_its_field(data, message: str):
    with pytest.raises(ValueError, match=message):
        Critique.from_dict(data)


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


SCORES_ONLY = """\
# Detailed Judgement
1. Text Faithfulness:
## Score: 3.5
2. Physical and Visual Quality:
## Score: 2.0
3. Text Rendering:
## Score: N/A"""


@pytest.mark.parametrize(
    ("texts", "text"),
    [
        ({}, SCORES_ONLY),
        ({"summary": "Dim."}, f"{SCORES_ONLY}\n# Summary: Dim."),
        ({"analysis": "A fox."}, f"# User Request Analysis\nA fox.\n{SCORES_ONLY}"),
        (
            {"refined": "A fox."},
            f"{SCORES_ONLY}\n# User Request Refinement:\n## Refined Request: A fox.",
        ),
    ],
)
def test_a_report_has_no_heading_with_nothing_under_it(texts: dict, text: str):
    found = critique(3.5, 2.0, **{"refined": ""} | texts)
    assert found.to_text(empty_headings=False) == text
    assert report(found).endswith(f"\n\n{text}")


def test_an_aspect_without_score_and_reason_has_no_heading_either():
    assert critique(3.5, None, 2.0, refined="").to_text(empty_headings=False) == (
        "# Detailed Judgement\n1. Text Faithfulness:\n## Score: 3.5\n3. Text Rendering:\n## Score: 2.0"
    )
    assert critique(None, None, None, refined="").to_text(empty_headings=False) == ""
