"""Records: what is saved is read back equal, in every format; bad files are named with what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rr_tests.histories import CRITIQUES, SETTINGS, finished
from rr_tests.made import critique

from rr_models.judgement.verdict import PairScore, Verdict
from rr_models.loop.replay import replay
from rr_models.loop.state import State
from rr_models.loop.stop_reason import Stop, StopReason
from rr_models.records import image_metadata
from rr_models.records import record as records
from rr_models.records.record import KEY, Record

TEXT = st.text(max_size=60) | st.sampled_from(
    ["一只红狐狸 🦊", '=1+1, "quoted"\nline: two', "\ud800 half", "a\0b"]
)
CRITIQUE = st.builds(
    critique,
    st.none() | st.sampled_from([1.0, 2.45, 4.0]),
    st.sampled_from([1.0, 3.0]),
    refined=TEXT,
    request=TEXT.filter(bool),
    summary=TEXT,
    text=TEXT,
    notes=st.lists(TEXT, max_size=2).map(tuple),
    weights=st.sampled_from([{}, {"text_faithfulness": 0.5}]),
    source=st.dictionaries(st.sampled_from(["critic", "prompt_id", "seed"]), TEXT | st.integers(0, 2**64)),
)
PAIR = st.builds(
    lambda a, b, tie, text: Verdict(
        "t2i-pair",
        text or "a request",
        (
            PairScore("text_faithfulness", "Text Faithfulness", "scored", a, b, "A" if a > b else "B", text),
            PairScore("text_rendering", "Text Rendering", "not_applicable"),
        ),
        "complete",
        tie_margin=tie,
    ),
    st.sampled_from([1.0, 3.5]),
    st.sampled_from([2.0, 4.0]),
    st.sampled_from([0.0, 0.5]),
    TEXT,
)
VERDICT = PAIR | PAIR.map(lambda v: replace(v, orders=(v, v.swapped())))
HISTORY = st.builds(finished, st.lists(CRITIQUES, min_size=1, max_size=4), SETTINGS)
RECORD = st.builds(
    Record,
    CRITIQUE | VERDICT | HISTORY,
    prompt=TEXT,
    seed=st.none() | st.integers(0, 2**64 - 1),
    batch_index=st.none() | st.integers(0, 8),
    image_hash=st.sampled_from(["", "ab12"]),
)
PIXELS = Image.new("RGB", (24, 16), "#4a7")


@given(RECORD)
def test_a_record_survives_json(record):
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@given(CRITIQUE | VERDICT | HISTORY)
def test_bare_data_is_a_record_too(content):
    assert Record.from_dict(json.loads(json.dumps(content.to_dict()))).content == content


@settings(max_examples=40)
@given(RECORD, st.sampled_from(sorted(image_metadata.FORMATS.values())))
def test_a_record_survives_every_image_format(tmp_path_factory, record, suffix):
    file = tmp_path_factory.mktemp("p") / f"image{suffix}"
    records.save_image(PIXELS, file, record, {"prompt": {"1": "中文"}, "workflow": {"nodes": []}})
    assert records.read(file) == [record]
    with Image.open(file) as saved:
        texts = image_metadata.load(saved)
        assert saved.size == PIXELS.size
    assert json.loads(texts["prompt"]) == {"1": "中文"} and json.loads(texts["workflow"]) == {"nodes": []}


@given(st.lists(CRITIQUES, min_size=1, max_size=4), SETTINGS)
def test_a_history_read_back_equals_its_replay(rounds, chosen):
    data = json.loads(json.dumps(finished(rounds, chosen).to_dict()))
    assert State.from_dict(data) == replay(data)


def test_a_history_of_other_rules_is_read_but_does_not_replay():
    state = finished([[critique(2.0, 2.0)], [critique(4.0, 4.0)]])
    other = Stop(StopReason.ROUNDS_USED, {"rounds": 2})
    data = state.to_dict() | {"stop": other.to_dict()}
    with pytest.raises(ValueError, match="does not replay"):
        replay(data)
    assert Record.from_dict(data).content.stop == other
    unknown = state.to_dict() | {"stop": other.to_dict() | {"code": "bored"}}
    with pytest.raises(ValueError, match="stop.code must be one of"):
        replay(unknown)


def test_the_chunks_of_core_stay_as_core_writes_them(tmp_path):
    workflow = {"prompt": {"3": {"class_type": "KSampler", "é": "中"}}, "workflow": {"a": 1}, "extra": None}
    records.save_image(PIXELS, tmp_path / "a.png", Record(critique(3.0, 3.0)), workflow)
    with Image.open(tmp_path / "a.png") as saved:
        saved.load()
        assert saved.text["prompt"] == json.dumps(workflow["prompt"])
        assert set(saved.text) == {KEY, "parameters", "prompt", "workflow"}


def test_parameters_are_what_galleries_read():
    record = Record(critique(3.25, 3.0, request="a fox"), prompt="a red fox, sitting\n", seed=42)
    text = records.parameters(
        record, (512, 768), {"Negative prompt": "blurry", "Steps": 20, "Sampler": "euler: fast"}
    )
    assert text.splitlines() == [
        "a red fox, sitting",
        "Negative prompt: blurry",
        'Steps: 20, Sampler: "euler: fast", Seed: 42, Size: 512x768, RationalRewards: 3.125, '
        "Text Faithfulness: 3.25, Physical and Visual Quality: 3.0",
    ]
    assert "RationalRewards: incomplete" in records.parameters(Record(critique(3.0, None)), (8, 8), {})
    assert records.parameters(Record(critique(3.0, 3.0, request="a fox")), (8, 8), {}).startswith("a fox\n")


def test_a_jpeg_leaves_out_what_it_has_no_room_for_and_says_so(tmp_path):
    big = {"workflow": "x" * 70_000, "prompt": {"1": 2}}
    left = records.save_image(PIXELS, tmp_path / "a.jpg", Record(critique(3.0, 3.0)), big)
    assert left == ("workflow",)
    assert records.read(tmp_path / "a.jpg")[0].content == critique(3.0, 3.0)
    assert records.save_image(PIXELS, tmp_path / "a.webp", Record(critique(3.0, 3.0)), big) == ()


def test_a_jpeg_that_cannot_hold_the_record_is_not_written(tmp_path):
    record = Record(critique(3.0, 3.0, text="long " * 20_000))
    with pytest.raises(ValueError, match="64 KB.*png or webp"):
        records.save_image(PIXELS, tmp_path / "a.jpg", record)
    assert not list(tmp_path.iterdir())


def test_webp_at_100_loses_no_pixel_and_png_keeps_alpha(tmp_path):
    image = Image.radial_gradient("L").convert("RGBA")
    image.putalpha(Image.linear_gradient("L"))
    for name in ("a.webp", "a.png"):
        records.save_image(image, tmp_path / name, Record(critique(3.0, 3.0)), quality=100)
        with Image.open(tmp_path / name) as saved:
            assert saved.convert("RGBA").tobytes() == image.tobytes()


def test_a_record_knows_that_its_image_was_changed_since_it_was_judged():
    judged = critique(3.0, 3.0, source={"images": ["aa"]})
    assert Record(judged, image_hash="bb").image_changed
    assert not Record(judged, image_hash="aa").image_changed
    assert not Record(judged).image_changed and not Record(critique(3.0, 3.0), image_hash="bb").image_changed


def test_lists_and_what_the_command_line_prints_are_read(tmp_path):
    two = [critique(3.0, 3.0), critique(2.0, None)]
    file = tmp_path / "a.json"
    file.write_text(json.dumps([item.to_dict() for item in two]), "utf-8")
    assert [record.content for record in records.read(file)] == two
    file.write_text(
        json.dumps({"images": [{"image": "x.png", **item.to_dict()} for item in two]}), "utf-8-sig"
    )
    assert [record.content for record in records.read(file)] == two


def test_a_record_of_a_later_version_is_read_if_it_has_nothing_new():
    data = Record(critique(3.0, 3.0)).to_dict() | {"schema": 2}
    assert Record.from_dict(data).content == critique(3.0, 3.0)
    with pytest.raises(ValueError, match="record has no field 'mood'.* schema 2; update"):
        Record.from_dict(data | {"mood": "new"})
    with pytest.raises(ValueError, match="kind must be one of .* schema 2; update"):
        Record.from_dict(data | {"kind": "song"})
    del data["critique"]["aspects"]
    with pytest.raises(ValueError, match="critique.aspects is missing. It has schema 2; update"):
        Record.from_dict(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["rounds", 0, "chosen"], 5, r"history.rounds\[0\].chosen is 5, but it has 1 candidate"),
        (["rounds", 0, "seconds"], "2", r"history.rounds\[0\].seconds must be a finite number, not '2'"),
        (["rounds", 0, "mood"], 1, r"history.rounds\[0\] has no field 'mood'; its fields are: number"),
        (["rounds", 0, "critique", "mood"], 1, r"history.rounds\[0\]: critique has no field 'mood'"),
        (["settings", "rounds"], 0, "history.settings: rounds must be 1 or more, not 0"),
        (["settings", "rounds"], True, "history.settings.rounds must be a whole number, not True"),
        (["settings", "mood"], 1, "history.settings has no field 'mood'"),
        (["settings", "aspect_thresholds"], {"a": "3"}, "aspect_thresholds.a must be a finite number"),
        (["best"], 7, "history: there is no round 7"),
        (["accepted"], [{"round": 1, "candidate": 3}], "history: round 1 has no candidate 3"),
        (["next", "seed"], None, "history.next.seed must be a whole number, not None"),
        (["stop", "code"], "bored", "stop.code must be one of thresholds_reached, .*, not 'bored'"),
        (["mood"], 1, "history has no field 'mood'"),
    ],
)
def test_a_wrong_history_is_an_error_that_names_the_field(path, value, message):
    data = json.loads(json.dumps(finished([[critique(4.0, 4.0)]]).to_dict()))
    part = data
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(ValueError, match=message):
        Record.from_dict(data)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def nested_orders(depth: int) -> str:
    """A verdict whose orders hold verdicts, and so on."""
    verdict = json.dumps(
        {"task": "t2i-pair", "request": "r", "aspects": [], "status": "incomplete", "orders": []}
    )
    text = verdict
    for _ in range(depth):
        text = verdict.replace("[]}", f"[{text}]}}")
    return text


GOOD = json.dumps(Record(critique(3.0, 3.0)).to_dict())


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.png", "not an image", "cannot be read as an image"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[" * 100_000, "is not JSON that can be read: it is nested too deeply"),
        ("a.json", b"\xff\xfe\x00", "is not text in UTF-8"),
        ("a.json", "[]", "the list is empty"),
        ("a.json", "7", "a record is a JSON object"),
        ("a.json", "{}", "neither a critique nor"),
        ("a.json", '{"schema": true}', "record.schema must be a whole number, not True"),
        (
            "a.json",
            '{"schema": 1, "kind": ["critique"]}',
            "record.kind must be one of critique, verdict, history, not",
        ),
        ("a.json", '{"schema": 1, "kind": "critique"}', "record.critique is missing"),
        ("a.json", '{"schema": 1, "kind": "critique", "critique": 7}', "critique must be an object, not 7"),
        ("a.json", '{"rounds": [{"number": 1}]}', "history.request is missing"),
        ("a.json", '{"aspects": [{"key": "a"}], "task": "t2i-pair"}', "verdict.request is missing"),
        ("a.json", GOOD.replace('"score": 3.0', '"score": 30.0', 1), "30.0"),
        (
            "a.json",
            GOOD.replace('"request": "a request"', '"request": null'),
            "critique.request must be a text, not None",
        ),
        (
            "a.json",
            GOOD.replace('"notes": []', '"notes": [7]'),
            r"critique.notes\[0\] must be a text, not 7",
        ),
        (
            "a.json",
            GOOD.replace('"justification": ""', '"justification": []', 1),
            r"critique.aspects\[0\].justification must be a text",
        ),
        (
            "a.json",
            GOOD.replace('"seed": null', '"seed": "7"'),
            "record.seed must be a whole number, not '7'",
        ),
        (
            "a.json",
            GOOD.replace('"seed": null', '"seed": true'),
            "record.seed must be a whole number, not True",
        ),
        (
            "a.json",
            GOOD.replace('"seed": null', '"mood": 1'),
            "record has no field 'mood'; its fields are: schema",
        ),
        ("a.json", GOOD.replace('"summary": ""', '"mood": ""'), "critique has no field 'mood'"),
        (
            "a.json",
            GOOD.replace('"justification": ""', '"mood": ""', 1),
            r"critique.aspects\[0\] has no field 'mood'",
        ),
        (
            "a.json",
            GOOD.replace('"scale": [1.0', '"scale": [NaN'),
            r"critique.scale\[0\] must be a finite number, not nan",
        ),
        ("a.json", GOOD.replace('"weights": {}', '"weights": {"text_faithfulness": Infinity}'), "weights"),
        ("a.json", GOOD.replace('"seed": null', '"seed": 1' + "0" * 5000), "is not JSON"),
        ("a.json", nested_orders(300), "verdict is nested too deeply"),
        ("a.jsonl", GOOD + "\n\n" + GOOD[:40] + "\n", "line 3"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, name, content, complaint):
    file = write(tmp_path, name, content)
    with pytest.raises(ValueError, match=complaint) as error:
        records.read(file)
    assert str(file) in str(error.value)


def test_a_missing_file_and_an_image_without_a_critique_are_errors(tmp_path):
    with pytest.raises(ValueError, match="gone.json cannot be read"):
        records.read(tmp_path / "gone.json")
    PIXELS.save(tmp_path / "plain.png")
    with pytest.raises(ValueError, match="no critique in this image.*Save Image with Critique"):
        records.read(tmp_path / "plain.png")
    exif = Image.Exif()
    exif[0x0110] = "a camera: with a colon"
    PIXELS.save(tmp_path / "photo.jpg", exif=exif)
    with pytest.raises(ValueError, match="no critique in this image"):
        records.read(tmp_path / "photo.jpg")


def test_half_a_surrogate_pair_costs_no_history(tmp_path):
    for prompt in ("first", "\ud800 half"):  # the second replaces the first
        records.save_json({"prompt": prompt}, tmp_path / "history.json")
    assert json.loads((tmp_path / "history.json").read_text("utf-8")) == {"prompt": "\ud800 half"}
    assert [file.name for file in tmp_path.iterdir()] == ["history.json"]
