"""What is kept of a judgement, to be read again later: one JSON object, in a picture, a file or a log.

The form is told in docs/records.md. Knows nothing of ComfyUI.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..judgement.critique import Critique
from ..judgement.task import Task
from ..judgement.verdict import Verdict
from ..loop.state import State
from . import image_metadata

if TYPE_CHECKING:
    from PIL import Image

SCHEMA = 1
"""Rises when a reader of the version before could misread a record; new fields alone do not raise it."""
KEY = "rational_rewards"
"""The name of the text that holds a record in a picture."""

_KINDS = {"critique": Critique, "verdict": Verdict, "history": State}
_PICTURES = (".png", ".webp", ".jpg", ".jpeg")
SUFFIXES = (*_PICTURES, ".json", ".jsonl")


@dataclass(frozen=True)
class Record:
    """A critique, a verdict or the state of a refine loop, with what is needed to find or make the picture
    again.

    `prompt` and `seed` made the picture, which was number `batch_index` (from 0) of its batch;
    `image_hash` is `images.image_hash` of its pixels when it was saved. `saved` is the time in UTC, ISO 8601.
    """

    found: Critique | Verdict | State
    prompt: str = ""
    seed: int | None = None
    batch_index: int | None = None
    image_hash: str = ""
    saved: str = ""

    @property
    def kind(self) -> str:
        return next(name for name, kind in _KINDS.items() if isinstance(self.found, kind))

    @property
    def critique(self) -> Critique | None:
        """The critique, or that of the best round of a loop; None of a verdict or a loop without rounds."""
        if isinstance(self.found, State):
            return self.found.best.critique if self.found.best else None
        return self.found if isinstance(self.found, Critique) else None

    @property
    def changed(self) -> bool:
        """Whether the picture that was saved is known to be another than the one that was judged."""
        judged = self.critique.source.get("images", ()) if isinstance(self.found, Critique) else ()
        return bool(judged and self.image_hash) and self.image_hash not in judged

    def now(self) -> Record:
        """The same, saved at this second."""
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
            self.kind: self.found.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping) -> Record:
        """Inverse of `to_dict`. Takes a bare critique, verdict or history too. ValueError if it is none of
        these."""
        if not isinstance(data, Mapping):
            raise ValueError("it holds no record: a record is a JSON object.")
        if "schema" not in data:
            return cls(_bare(data))
        if type(data["schema"]) is not int or data["schema"] < 1:
            raise ValueError(f"its schema is {data['schema']!r}, which is none: they are counted from 1.")
        later = f" It has schema {data['schema']}; update this pack." if data["schema"] > SCHEMA else ""
        kind = data.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ValueError(f"its kind is {kind!r}, not one of {', '.join(_KINDS)}.{later}")
        names = ("prompt", "seed", "batch_index", "image_hash", "saved")
        try:
            record = cls(_found(kind, data[kind]), **{name: data[name] for name in names if name in data})
        except ValueError as error:
            raise ValueError(f"{error}{later}") from error
        except KeyError as error:
            raise ValueError(f"its {error} is missing.{later}") from error
        if not all(isinstance(number, int | None) for number in (record.seed, record.batch_index)):
            raise ValueError("its seed and batch_index must be whole numbers or null.")
        if not all(isinstance(text, str) for text in (record.prompt, record.image_hash, record.saved)):
            raise ValueError("its prompt, image_hash and saved must be text.")
        return record

    def row(self, file: str = "") -> dict[str, object]:
        """The record as one row of a table, for CSV. A verdict's or a loop's own numbers are not in it."""
        found = self.critique or self.found
        scores = {a.key: a.score for a in found.aspects} if isinstance(found, Critique) else {}
        source = getattr(found, "source", {})
        return {
            "saved": self.saved,
            "file": file,
            "task": getattr(found, "task", ""),
            "request": found.request,
            "prompt": self.prompt,
            "seed": self.seed,
            "batch_index": self.batch_index,
            "status": getattr(found, "status", ""),
            "overall": getattr(found, "overall", None),
            "reward": getattr(found, "reward", None),
            **{key: scores.get(key) for key in _COLUMNS},
            # aspects of the user's own must not change the columns of a log that goes on
            "other_scores": "; ".join(f"{key}={s}" for key, s in scores.items() if key not in _COLUMNS),
            "summary": getattr(found, "summary", ""),
            "refined_request": getattr(found, "refined_request", ""),
            "critic": source.get("critic"),
            "wording": source.get("wording"),
            "image_hash": self.image_hash,
        }

    def line(self, file: str = "") -> dict[str, object]:
        """The record as one line of a JSONL log: what one would look for on top, the record below."""
        names = ("saved", "file", "request", "prompt", "seed", "status", "overall", "critic", "wording")
        row = self.row(file)
        scores = {a.key: a.score for a in self.critique.aspects} if self.critique else {}
        top = {name: row[name] for name in (*names, "image_hash")}
        return {**top, "scores": scores, KEY: self.to_dict()}


_COLUMNS = ("text_faithfulness", "image_faithfulness", "physical_quality", "text_rendering")


def save_picture(
    picture: Image.Image,
    file: Path,
    record: Record,
    workflow: Mapping[str, object] | None = None,
    details: Mapping[str, object] | None = None,
    quality: int = 90,
) -> tuple[str, ...]:
    """Write a picture (.png, .webp, .jpg) with its record, the `parameters` text and ComfyUI's own texts.

    `workflow` holds ComfyUI's data by name ("prompt", "workflow"), `details` what else is known of how the
    picture was made (see `parameters`). Returns the names of what a JPEG had no room for; ValueError if the
    record itself does not fit, and nothing is written.
    """
    texts = {
        KEY: json.dumps(record.to_dict()),
        image_metadata.PARAMETERS: parameters(record, picture.size, details or {}),
        **image_metadata.as_texts(workflow or {}),
    }
    return image_metadata.save(picture, file, texts, quality, needed=(KEY,))


def save_json(data: dict, file: Path) -> None:
    """Write plain data; an old file is replaced as a whole, so that whoever reads it never meets a half."""
    part = file.with_name(f"{file.name}.part")
    text = json.dumps(data, ensure_ascii=False, indent=1)
    # half a surrogate pair has no UTF-8, but JSON has a way to write it
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(file)


def parameters(record: Record, size: tuple[int, int], details: Mapping[str, object]) -> str:
    """The text that galleries and other programs read: prompt, then "Name: value" with commas between.

    `details` by the names that galleries use: "Negative prompt", "Steps", "Sampler", "CFG scale", "Model" ...
    """
    details = dict(details)
    prompt = record.prompt or record.found.request
    negative = details.pop("Negative prompt", "")
    facts = {**details, "Seed": record.seed, "Size": f"{size[0]}x{size[1]}"}
    if critique := record.critique:
        scores = {a.name: a.score for a in critique.aspects}
        overall = critique.status if critique.overall is None else round(critique.overall, 4)
        facts |= {"RationalRewards": overall, **scores}
    line = ", ".join(f"{name}: {_quoted(value)}" for name, value in facts.items() if value is not None)
    text = "\n".join(filter(None, [prompt.strip(), negative and f"Negative prompt: {negative}", line]))
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def read(file: Path) -> list[Record]:
    """All records in a picture, a .json or a .jsonl; ValueError that names the file if there is none.

    A JSON may be a record, a bare critique, verdict or history, a list of these, or what the command line's
    --json prints. A line of a log that cannot be read is an error too: better none than a wrong count.
    """
    try:
        if file.suffix.lower() in _PICTURES:
            return [_of_picture(file)]
        text = file.read_text("utf-8-sig")
        if file.suffix.lower() == ".jsonl":
            # not splitlines, which also splits at signs that stand inside a text
            lines = enumerate(text.split("\n"), 1)
            return [_of_line(number, line) for number, line in lines if line.strip()]
        return _of_json(json.loads(text))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is neither a picture nor text in UTF-8.") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON: {error}.") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _of_picture(file: Path) -> Record:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            texts = image_metadata.load(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"it cannot be read as a picture ({error}).") from error
    if KEY not in texts:
        also = f" It does hold {', '.join(sorted(texts))}." if texts else ""
        raise ValueError(
            "there is no critique in this picture. Save it with Save Image with Critique; other programs, "
            f"chats and websites take such texts out.{also}"
        )
    try:
        return Record.from_dict(json.loads(texts[KEY]))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"its critique is damaged ({error}).") from error


def _of_line(number: int, line: str) -> Record:
    try:
        data = json.loads(line)
        return Record.from_dict(data.get(KEY, data) if isinstance(data, dict) else data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number}: {error}") from error


def _of_json(data: object) -> list[Record]:
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        data = data["images"]
    found = [Record.from_dict(one) for one in (data if isinstance(data, list) else [data])]
    if not found:
        raise ValueError("it holds no record: the list is empty.")
    return found


def _bare(data: Mapping) -> Critique | Verdict | State:
    if "rounds" in data:
        return _found("history", data)
    if "aspects" in data:
        data = {key: value for key, value in data.items() if key not in _IMAGE_NAMES}
        return _found("verdict" if Task.parse(data.get("task", "")).is_pair else "critique", data)
    raise ValueError("it holds neither a critique nor a verdict nor the history of a refine loop.")


def _found(kind: str, data: object) -> Critique | Verdict | State:
    try:
        found = _KINDS[kind].from_dict(data)
        _check_forms(found)
        if isinstance(found, State) and not all(0 <= p.chosen < len(p.critiques) for p in found.history):
            raise ValueError("one of its rounds has chosen a candidate that is not there.")
        return found
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"its {kind} is damaged ({type(error).__name__}: {error}).") from error


# the command line prints them beside a critique ("image") or a verdict ("a", "b")
_IMAGE_NAMES = ("image", "a", "b")

_FORMS = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int),
    "float": lambda value: isinstance(value, int | float) and math.isfinite(value),
    "dict": lambda value: isinstance(value, dict),
    "tuple[str, ...]": lambda value: all(isinstance(text, str) for text in value),
    "tuple[float, float]": lambda value: (
        len(value) == 2 and all(map(math.isfinite, value)) and value[0] < value[1]
    ),
}
"""What a field may hold, by how its class declares it."""


def _check_forms(found: object) -> None:
    """ValueError where a field holds something of another kind, in `found` and all that it is made of."""
    for one in fields(found):
        value = getattr(found, one.name)
        right = _FORMS.get(str(one.type), lambda value: True)
        if not right(value):
            raise ValueError(f"its {one.name} must be {one.type}, not {value!r}.")
        for part in value if isinstance(value, tuple) else (value,):
            if is_dataclass(part):
                _check_forms(part)


def _quoted(value: object) -> str:
    text = " ".join(str(value).split())
    # galleries split at commas and colons, save in quotes
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ',:"') else text
