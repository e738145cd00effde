"""Records of judgements: one JSON object each, saved in an image, a file or a log, and read back.

docs/records.md describes the format. Knows nothing of ComfyUI.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import first_line
from ..files import parse_json, read_json, replacing
from ..judgement.critique import Critique
from ..judgement.from_data import Text, Whole, from_data
from ..judgement.task import Task
from ..judgement.verdict import Verdict
from ..loop.state import State
from . import image_metadata

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
"""The version of the format; it rises with every change, since fields that a version does not know are
errors."""
KEY = "rational_rewards"
"""The name of the text that holds a record in an image."""

_KINDS = {"critique": Critique, "verdict": Verdict, "history": State}
_IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
SUFFIXES = (*_IMAGE_SUFFIXES, ".json", ".jsonl")


@dataclass(frozen=True)
class Record:
    """A critique, a verdict or the state of a refine loop (`content`), with what is needed to find its image
    or make it again.

    `prompt` and `seed` made the image, which was number `batch_index` (from 0) of its batch. `image_hash` is
    `images.image_hash` of its pixels when it was saved. `saved` is the time in UTC, ISO 8601.
    """

    content: Critique | Verdict | State
    prompt: str = ""
    seed: int | None = None
    batch_index: int | None = None
    image_hash: str = ""
    saved: str = ""

    @property
    def kind(self) -> str:
        return next(name for name, cls in _KINDS.items() if isinstance(self.content, cls))

    @property
    def critique(self) -> Critique | None:
        """The critique, or that of a loop's best round; None for a verdict or a loop without rounds."""
        if isinstance(self.content, State):
            return self.content.best.critique if self.content.best else None
        return self.content if isinstance(self.content, Critique) else None

    @property
    def image_changed(self) -> bool:
        """Whether the saved image is known to differ from the judged one."""
        judged = self.content.source.get("images", ()) if isinstance(self.content, Critique) else ()
        return bool(judged and self.image_hash) and self.image_hash not in judged

    def now(self) -> Record:
        """The same record with the current time as `saved`."""
        return replace(self, saved=datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "prompt": self.prompt,
            "seed": self.seed,
            "batch_index": self.batch_index,
            "image_hash": self.image_hash,
            "saved": self.saved,
            self.kind: self.content.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: object) -> Record:
        """Inverse of `to_dict`; also takes a bare critique, verdict or history. ValueError names the field
        that is unknown, missing or wrong."""
        if not isinstance(data, Mapping):
            raise ValueError("it holds no record: a record is a JSON object.")
        data = {name: value for name, value in data.items() if name not in _LABELS}
        if "schema" not in data:
            return cls(_bare(data))
        try:
            form = from_data(_RecordForm, data, "record")
            if form.schema < 1:
                raise ValueError(f"record.schema must be 1 or more, not {form.schema}.")
            if form.kind not in data:
                raise ValueError(f"record.{form.kind} is missing.")
            content = _KINDS[form.kind].from_dict(data[form.kind])
        except ValueError as error:
            later = type(data["schema"]) is int and data["schema"] > SCHEMA
            advice = f" It has schema {data['schema']}; update this pack." if later else ""
            raise ValueError(f"{error}{advice}") from error
        return cls(content, form.prompt, form.seed, form.batch_index, form.image_hash, form.saved)

    def row(self, file: str = "") -> dict[str, object]:
        """The record as one row of a CSV table, without the numbers that only a verdict or a loop has."""
        content = self.critique or self.content
        scores = {a.key: a.score for a in content.aspects} if isinstance(content, Critique) else {}
        source = getattr(content, "source", {})
        return {
            "saved": self.saved,
            "file": file,
            "task": getattr(content, "task", ""),
            "request": content.request,
            "prompt": self.prompt,
            "seed": self.seed,
            "batch_index": self.batch_index,
            "status": getattr(content, "status", ""),
            "overall": getattr(content, "overall", None),
            "reward": getattr(content, "reward", None),
            **{key: scores.get(key) for key in _COLUMNS},
            # aspects of the user's own must not change the columns of an existing log
            "other_scores": "; ".join(f"{key}={s}" for key, s in scores.items() if key not in _COLUMNS),
            "summary": getattr(content, "summary", ""),
            "refined_request": getattr(content, "refined_request", ""),
            "critic": source.get("critic"),
            "prompt_id": source.get("prompt_id"),
            "image_hash": self.image_hash,
        }

    def line(self, file: str = "") -> dict[str, object]:
        """The record as one line of a JSONL log: first what people search for, then the record itself."""
        names = ("saved", "file", "request", "prompt", "seed", "status", "overall", "critic", "prompt_id")
        row = self.row(file)
        scores = {a.key: a.score for a in self.critique.aspects} if self.critique else {}
        top = {name: row[name] for name in (*names, "image_hash")}
        return {**top, "scores": scores, KEY: self.to_dict()}


_COLUMNS = ("text_faithfulness", "image_faithfulness", "physical_quality", "text_rendering")


def save_image(
    image: Image.Image,
    file: Path,
    record: Record,
    workflow: Mapping[str, object] | None = None,
    details: Mapping[str, object] | None = None,
    quality: int = 90,
) -> tuple[str, ...]:
    """Write an image (.png, .webp, .jpg) with its record, the `parameters` text and ComfyUI's own texts.

    `workflow`: ComfyUI's data by name ("prompt", "workflow"). `details`: how else the image was made, see
    `parameters`. Returns the names of the texts that a JPEG had no room for. ValueError if the record itself
    does not fit; then nothing is written.
    """
    texts = {
        KEY: json.dumps(record.to_dict()),
        image_metadata.PARAMETERS: parameters(record, image.size, details or {}),
        **image_metadata.as_texts(workflow or {}),
    }
    return image_metadata.save(image, file, texts, quality, needed=(KEY,))


def save_json(data: dict, file: Path) -> None:
    """Write plain data. An old file is replaced as a whole, so that readers never see half a file."""
    text = json.dumps(data, ensure_ascii=False, indent=1)
    with replacing(file) as part:
        # half a surrogate pair has no UTF-8, but JSON has a way to write it
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def parameters(record: Record, size: tuple[int, int], details: Mapping[str, object]) -> str:
    """The text that galleries and other programs read: the prompt, then "Name: value" pairs.

    `details` by the names that galleries use: "Negative prompt", "Steps", "Sampler", "CFG scale", "Model" ...
    """
    details = dict(details)
    prompt = record.prompt or record.content.request
    negative = str(details.pop("Negative prompt", ""))
    facts = {**details, "Seed": record.seed, "Size": f"{size[0]}x{size[1]}"}
    if critique := record.critique:
        scores = {a.name: a.score for a in critique.aspects}
        overall = critique.status if critique.overall is None else round(critique.overall, 4)
        facts |= {"RationalRewards": overall, **scores}
    line = ", ".join(f"{name}: {_quoted(value)}" for name, value in facts.items() if value is not None)
    text = "\n".join(filter(None, [prompt.strip(), negative and f"Negative prompt: {negative}", line]))
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def read(file: Path) -> list[Record]:
    """All records in an image, a .json or a .jsonl; ValueError that names the file if there is none.

    A JSON may be a record, a bare critique, verdict or history, a list of these, or the output of the command
    line's --json. A line of a log that cannot be read is an error too: better no result than a wrong count.
    """
    suffix = file.suffix.lower()
    data = None if suffix in (*_IMAGE_SUFFIXES, ".jsonl") else read_json(file)
    try:
        if suffix in _IMAGE_SUFFIXES:
            return _of_image(file)
        return _of_log(file) if suffix == ".jsonl" else _of_json(data)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not text in UTF-8.") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _of_image(file: Path) -> list[Record]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            texts = image_metadata.load(image)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"it cannot be read as an image ({first_line(error)}).") from error
    if KEY not in texts:
        also = f" It does hold {', '.join(sorted(texts))}." if texts else ""
        raise ValueError(
            "there is no critique in this image. Save it with Save Image with Critique; other programs, "
            f"chats and websites remove such texts.{also}"
        )
    return [_of_text(texts[KEY], "its critique")]


def _of_log(file: Path) -> list[Record]:
    # not splitlines, which also splits at characters that may stand inside a text
    lines = enumerate(file.read_text("utf-8-sig").split("\n"), 1)
    return [_of_text(line, f"line {number}") for number, line in lines if line.strip()]


def _of_text(text: str, name: str) -> Record:
    try:
        data = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
    try:
        return Record.from_dict(data.get(KEY, data) if isinstance(data, dict) else data)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _of_json(data: object) -> list[Record]:
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        data = data["images"]
    records = [Record.from_dict(item) for item in (data if isinstance(data, list) else [data])]
    if not records:
        raise ValueError("it holds no record: the list is empty.")
    return records


_LABELS = ("file", "image", "a", "b")
"""What the command line's --json adds to a record or a bare judgement: the files that it is of."""


@dataclass(frozen=True)
class _RecordForm:
    """A record in JSON. Its content is read by the class of its kind."""

    schema: Whole
    kind: Literal["critique", "verdict", "history"]
    prompt: Text = ""
    seed: Whole | None = None
    batch_index: Whole | None = None
    image_hash: Text = ""
    saved: Text = ""
    critique: Any = None
    verdict: Any = None
    history: Any = None


def _bare(data: Mapping) -> Critique | Verdict | State:
    if "rounds" in data:
        return State.from_dict(data)
    if "aspects" in data:
        return (Verdict if Task.parse(data.get("task", "")).is_pair else Critique).from_dict(data)
    raise ValueError("it holds neither a critique nor a verdict nor the history of a refine loop.")


def _quoted(value: object) -> str:
    text = " ".join(str(value).split())
    # galleries split at commas and colons outside quotes
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ',:"') else text
