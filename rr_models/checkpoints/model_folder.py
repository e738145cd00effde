"""Model folders on disk: which there are, and whether one is whole. Reads headers only, never the weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ModelFolderError

log = logging.getLogger(__name__)

MODEL_TYPE = "qwen3_vl"
SHAPES_CRITIC = Path(__file__).parents[1] / "shapes" / "critic"
"""The folder of the built-in critic."""

_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_HEADER_LIMIT = 100_000_000  # bytes; the format itself allows no longer header


def find(folders: Iterable[Path]) -> dict[str, Path]:
    """Qwen3-VL folders that lie one or two levels below `folders`: name -> path, sorted by name.

    The name is the path below the folder searched, with forward slashes; of equal names the first one wins.
    """
    found: dict[str, Path] = {}
    for root in map(Path, folders):
        for config in (*root.glob("*/config.json"), *root.glob("*/*/config.json")):
            if is_critic(config.parent):
                found.setdefault(config.parent.relative_to(root).as_posix(), config.parent)
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def is_critic(folder: Path) -> bool:
    """Whether the folder's config.json says that it holds a Qwen3-VL."""
    try:
        return read_json(folder / "config.json").get("model_type") == MODEL_TYPE
    except ModelFolderError as error:
        if (folder / "config.json").exists():
            log.info("passed over: %s", error)
        return False


def check(folder: Path) -> None:
    """Raise ModelFolderError unless `folder` holds a whole Qwen3-VL: config, weights, tokenizer, settings."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFolderError(f"There is no model folder {folder}. Give the folder that holds config.json.")
    if not (folder / "config.json").is_file():
        raise ModelFolderError(
            f"{folder} lacks config.json, which every model folder has. Give the folder that holds it, or "
            "download the model again."
        )
    _check_config(folder)
    files = shards(folder)
    if lost := missing(folder, files):
        raise ModelFolderError(
            f"{folder} is incomplete: it lacks {', '.join(lost)}. Copy what is missing from where the model "
            "was downloaded."
        )
    for file, tensors in files.items():
        _check_shard(folder / file, tensors)
    preprocessing(folder)
    chat_template(folder)


def missing(folder: Path, files: Iterable[str]) -> list[str]:
    """The files that a folder still needs to be whole, its weights being `files`."""
    lost = [file for file in files if not (folder / file).is_file()]
    if not (folder / "tokenizer.json").is_file():
        parts = [file for file in ("vocab.json", "merges.txt") if not (folder / file).is_file()]
        lost += ["tokenizer.json"] if len(parts) == 2 else parts
    if not any((folder / file).is_file() for file in ("preprocessor_config.json", "processor_config.json")):
        lost.append("preprocessor_config.json")
    templates = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    if not any((folder / file).is_file() for file in templates):
        lost.append("chat_template.json")
    return lost


def preprocessing(folder: Path) -> dict:
    """The folder's picture settings, from preprocessor_config.json or (newer) processor_config.json."""
    for file, pick in (
        ("preprocessor_config.json", lambda data: data),
        ("processor_config.json", lambda data: data.get("image_processor")),
    ):
        if (folder / file).is_file() and (found := pick(read_json(folder / file))):
            return found
    raise ModelFolderError(
        f"{folder} lacks preprocessor_config.json, which says how pictures are cut for this model. "
        "Copy that file from where the model was downloaded."
    )


def chat_template(folder: Path) -> str:
    """The folder's chat template as text."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for file in ("tokenizer_config.json", "chat_template.json"):
        if (folder / file).is_file():
            template = read_json(folder / file).get("chat_template")
            if isinstance(template, str) and template:
                return template
    raise ModelFolderError(
        f"{folder} has no chat template (chat_template.jinja, chat_template.json or an entry in "
        "tokenizer_config.json). Copy that file from where the model was downloaded."
    )


def quantization_method(folder: Path) -> str | None:
    """The method by which a folder's weights were quantised before they were saved, such as "fp8"."""
    told = read_json(folder / "config.json").get("quantization_config")
    if not isinstance(told, dict):
        return None
    return str(told.get("quant_method") or "an unnamed method")


def trained_wordings(folder: Path) -> dict[str, str] | None:
    """The wording of each task that a critic trained by this project knows (its training.json); None of
    others, which may be asked anything."""
    file = folder / "training.json"
    return read_json(file).get("wording") if file.is_file() else None


def special_tokens(folder: Path) -> dict[str, str]:
    """The tokens the folder names for ends, padding and the like, such as {"eos_token": "<|im_end|>"}."""
    named: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        told = read_json(folder / file) if (folder / file).is_file() else {}
        for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
            token = told.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and token:
                named[name] = token
    return named


def read_json(file: Path) -> dict:
    """A JSON object from a file; ModelFolderError names the file if it is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{file} cannot be read as JSON ({error}). Download it again.") from error
    if not isinstance(data, dict):
        raise ModelFolderError(f"{file} must hold a JSON object. Download it again.")
    return data


def _check_config(folder: Path) -> None:
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind != MODEL_TYPE:
        raise ModelFolderError(
            f"{folder} holds a model of type {kind!r}; a critic must be {MODEL_TYPE!r} (Qwen3-VL), "
            "for example RationalRewards-8B-T2I."
        )


def shards(folder: Path) -> dict[str, set[str]]:
    """Weight files the folder must have, and the tensors each must hold (none named without an index)."""
    if (folder / _INDEX).is_file():
        files: dict[str, set[str]] = {}
        for tensor, file in (read_json(folder / _INDEX).get("weight_map") or {}).items():
            files.setdefault(file, set()).add(tensor)
        if not files:
            raise ModelFolderError(f"{folder / _INDEX} names no weights. Download it again.")
        return files
    if (folder / _WHOLE).is_file():
        return {_WHOLE: set()}
    pickled = sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLED)
    if pickled:
        raise ModelFolderError(
            f"{folder} holds its weights as {pickled[0]}, a format that can run code when it is read. "
            "Only safetensors are loaded; download or convert the model as safetensors."
        )
    parts = any(folder.glob("*-of-*.safetensors"))
    lacks = f"has no weights: neither {_WHOLE} nor {_INDEX}" if not parts else f"lacks {_INDEX}"
    raise ModelFolderError(f"{folder} {lacks}. Download the model again.")


def tensors(folder: Path) -> Iterator[tuple[str, str, dict]]:
    """(file, name, entry of the header with "dtype" and "shape") of every tensor in a checked folder."""
    for file in shards(folder):
        _, _, entries = _header(folder / file)
        for name, entry in entries.items():
            yield file, name, entry


def _check_shard(file: Path, named: set[str]) -> None:
    """A safetensors file says in its header how long it is and what it holds; compare."""
    size, start, entries = _header(file)
    whole = start + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if size != whole:
        raise ModelFolderError(
            f"{file} has {size} bytes instead of {whole}: it is cut short or damaged. Download it again."
        )
    if lost := sorted(named - entries.keys()):
        raise ModelFolderError(
            f"{file} lacks {lost[0]} ({len(lost)} in all), which the index promises. Download both."
        )


def _header(file: Path) -> tuple[int, int, dict[str, dict]]:
    """(bytes of the file, where its data begins, tensor -> entry)."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            # a pointer file of git-lfs, a web page or half a header all fail here
            raw = stream.read(length) if size >= 8 and length <= min(_HEADER_LIMIT, size) else b""
    except OSError as error:
        raise ModelFolderError(
            f"{file} cannot be read ({error.strerror or error}). Give this user the right to read it."
        ) from error
    try:
        entries = {name: entry for name, entry in json.loads(raw).items() if name != "__metadata__"}
        for entry in entries.values():
            entry["data_offsets"][1] + len(entry["shape"])
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise ModelFolderError(
            f"{file} ({size} bytes) is no safetensors file: its header cannot be read. Download it again."
        ) from error
    return size, 8 + length, entries
