"""The command line as a user types it: what it prints, and the exit status."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rr_tests import tiny
from rr_tests.answers import answer

from rr_models.checkpoints import hf_config
from rr_models.cli.common import ATTENTIONS
from rr_models.cli.main import main
from rr_models.prompting import rubric
from rr_models.shapes.generator import generate

ROOT = Path(__file__).resolve().parents[1]
REQUEST = "a large red circle on the left and a small blue star on the right"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("bilder mit Ümläuten")
    files = []
    for name, prompt in (("right", REQUEST), ("wrong", "a small green square in the middle")):
        files.append(str(folder / f"{name}.png"))
        generate(prompt, seed=1).save(files[-1])
    return files


@pytest.fixture(scope="module")
def tiny_critic(tmp_path_factory) -> str:
    return str(tiny.make(tmp_path_factory.mktemp("LLM") / "tiny"))


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_critique_of_two_images(capsys, images):
    status, out, err = run(capsys, "critique", *images, "--request", REQUEST, "--json")
    assert status == 0
    told = json.loads(out)
    assert [one["image"] for one in told["images"]] == images and told["ranking"] == images
    right, wrong = told["images"]
    assert right["status"] == wrong["status"] == "complete"
    assert 1 <= wrong["overall"] < right["overall"] <= 4
    assert right["source"]["critic"] == "Shapes critic" and "coloured shapes only" in err


def test_flash_attention_that_cannot_be_had_is_bad_input(capsys, images):
    asked = ("critique", *images, "--request", REQUEST, "--device", "cpu")
    status, out, err = run(capsys, *asked, "--attention", "flash_attention_2")
    assert (status, out) == (2, "") and "attention flash_attention_2 runs on CUDA and ROCm GPUs" in err
    with pytest.raises(SystemExit):
        run(capsys, *asked, "--attention", "eager")
    assert ATTENTIONS == hf_config.ATTENTIONS


def test_critique_for_people_has_the_best_first(capsys, images):
    status, out, _ = run(
        capsys, "critique", *reversed(images), "--request", REQUEST, "--weight", "text_rendering=0.5"
    )
    assert status == 0
    assert out.index(images[0]) < out.index(images[1])
    assert "Text Faithfulness" in out and "## Justification:" in out


def test_compare(capsys, images):
    status, out, _ = run(capsys, "compare", *reversed(images), "--request", REQUEST, "--json")
    told = json.loads(out)
    assert status == 0 and told["winner"] == "B" and told["b"] == images[0]
    assert told["aspects"][0]["score_a"] < told["aspects"][0]["score_b"]


def test_a_critic_that_is_cut_off_has_not_judged(capsys, images, tiny_critic):
    asked = ["--request", REQUEST, "--critic", tiny_critic, "--max-new-tokens", "8", "--json"]
    status, out, _ = run(capsys, "critique", images[0], *asked)
    assert status == 1 and json.loads(out)["images"][0]["overall"] is None
    status, out, _ = run(capsys, "compare", *images, *asked)
    assert status == 1 and json.loads(out)["winner"] is None


def test_a_critic_may_be_named(capsys, images, tiny_critic):
    models = ["--models", str(Path(tiny_critic).parent)]
    asked = [images[0], "--request", REQUEST, "--max-new-tokens", "2", *models]
    status, out, _ = run(capsys, "critique", *asked, "--critic", "tiny", "--json")
    assert status == 1 and json.loads(out)["images"][0]["source"]["critic"] == "tiny"
    status, _, err = run(capsys, "critique", *asked, "--critic", "other")
    assert status == 2 and "'other'" in err and "available: tiny" in err


def test_what_the_built_in_critic_was_not_taught_is_refused_at_once(capsys, images):
    for options in (["--style", "single"], ["--comparison", "both-orders"]):
        command = ["compare", *images] if "--comparison" in options else ["critique", images[0]]
        status, _, err = run(capsys, *command, "--request", REQUEST, *options)
        assert status == 2 and "nor use another style or other aspects" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["critique", "{}/none.png", "--request", "x"], "none.png cannot be read as an image"),
        (["critique", __file__, "--request", "x"], "test_cli.py cannot be read as an image"),
        (["critique", "{image}", "--request", " "], "request is empty"),
        (
            ["critique", "{image}", "--request", "x", "--weight", "mood"],
            "'mood' is not an aspect and a number",
        ),
        (["critique", "{image}", "--request", "x", "--weight", "mood=1"], "'mood' is not judged here"),
        (["critique", "{image}", "--request", "x", "--device", "abacus"], "'abacus' is not available"),
        (["critique", "{image}", "--request", "x", "--aspects", "{}/no.json"], "no.json cannot be read"),
        (["critique", "{image}", "--request", "x", "--template", "{}/no.json"], "no.json"),
        (
            ["compare", "{image}", "{image}", "--request", "x", "--tie-margin", "-1"],
            "tie_margin must be 0 or more",
        ),
        (["parse", "{}/none.txt"], "none.txt cannot be read"),
        (["parse", "{image}"], "is not UTF-8 text"),
        (["messages", "--request", " "], "request is empty"),
        (["messages", "--request", "x", "--model-dir", "{}/none"], "there is no folder"),
        (["messages", "--request", "x", "--task", "edit", "--sources", "0"], "sources must be 1 or more"),
    ],
)
def test_bad_input_is_named(capsys, tmp_path, images, arguments, said):
    filled = [a.replace("{image}", images[0]).replace("{}", str(tmp_path)) for a in arguments]
    status, out, err = run(capsys, *filled)
    assert status == 2 and said in err and out == "" and "Traceback" not in err


def test_parse_prints_what_it_read(capsys, tmp_path):
    file = tmp_path / "answer.txt"
    file.write_text(answer("3.5", "N/A", "A red fox."), encoding="utf-8")
    status, out, _ = run(capsys, "parse", str(file), "--json")
    told = json.loads(out)
    assert status == 0
    assert set(told) == {
        *("status", "overall", "reward", "aspects", "summary"),
        *("refinement_comments", "refined_request", "notes"),
    }
    assert told["aspects"]["text_faithfulness"] == {
        "status": "scored",
        "score": 3.5,
        "justification": "The fox is there.",
    }
    assert told["overall"] == 3.25 and told["refined_request"] == "A red fox."
    status, out, _ = run(capsys, "parse", str(file))
    assert status == 0 and out.startswith("Text Faithfulness 3.5, ")


def test_parse_from_standard_input_of_a_pair(capsys, monkeypatch):
    text = "\n".join(
        f"{n}. {name}:\n## Justification: seen.\n## Score A: 3.0\n## Score B: {b}\n## Winner: Image {w}"
        for n, name, b, w in (
            (1, "Text Faithfulness", "2.0", "A"),
            (2, "Physical and Visual Quality", "3.5", "B"),
            (3, "Text Rendering", "2.5", "A"),
        )
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"\ufeff{text}".encode())))
    status, out, _ = run(capsys, "parse", "-", "--task", "t2i-pair", "--json")
    told = json.loads(out)
    assert status == 0 and told["winner"] == "A"
    assert told["aspects"]["physical_quality"] | {"justification": ""} == {
        **{"status": "scored", "score_a": 3.0, "score_b": 3.5},
        **{"winner": "B", "justification": ""},
    }


def test_parse_of_what_is_cut_off(capsys, tmp_path):
    file = tmp_path / "answer.txt"
    file.write_bytes(answer().encode()[:120] + b"\xff")
    status, out, _ = run(capsys, "parse", str(file), "--truncated", "--json")
    assert status == 1 and json.loads(out)["status"] == "truncated"


def test_messages(capsys):
    status, out, _ = run(
        capsys, "messages", "--task", "edit-pair", "--request", "<image> {x}", "--sources", "2"
    )
    assert status == 0
    assert json.loads(out) == rubric.messages("edit-pair", "<image> {x}", sources=2)
    status, out, _ = run(capsys, "messages", "--request", "x", "--style", "test-time")
    assert json.loads(out) == rubric.messages("t2i", "x", style="test-time")


def test_as_a_program_of_its_own():
    """The module runs from anywhere without torch, and speaks UTF-8 whatever the console's encoding is."""
    code = "import sys; sys.modules['torch'] = None; from rr_models.__main__ import main; sys.exit(main())"
    for start in (["-m", "rr_models"], ["-c", code]):
        done = subprocess.run(
            [sys.executable, *start, "messages", "--request", "一只狐狸"],
            cwd=ROOT,
            capture_output=True,
            env={"PYTHONIOENCODING": "ascii", "SYSTEMROOT": "C:\\Windows"},
        )
        assert done.returncode == 0, done.stderr.decode()
        assert "一只狐狸" in json.loads(done.stdout.decode("utf-8"))[1]["content"][0]["text"]
    done = subprocess.run([sys.executable, "-m", "rr_models", "judge"], cwd=ROOT, capture_output=True)
    assert done.returncode == 2 and b"invalid choice" in done.stderr
