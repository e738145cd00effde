"""Model folders on disk: which there are, and whether one is whole. Reads headers only, never the weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from .errors import ModelFolderError

log = logging.getLogger(__name__)

MODEL_TYPE = "qwen3_vl"
SHAPES_CRITIC = Path(__file__).parent / "shapes" / "critic"
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
            if _model_type(config) == MODEL_TYPE:
                found.setdefault(config.parent.relative_to(root).as_posix(), config.parent)
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def check(folder: Path) -> None:
    """Raise ModelFolderError unless `folder` holds a whole Qwen3-VL: config, weights, tokenizer, settings."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFolderError(f"There is no model folder {folder}. Give the folder that holds config.json.")
    _check_config(folder)
    for file, tensors in _shards(folder).items():
        _check_shard(folder / file, tensors)
    if not (folder / "tokenizer.json").is_file():
        _require(folder, "vocab.json", "a tokenizer needs tokenizer.json, or vocab.json with merges.txt")
        _require(folder, "merges.txt", "a tokenizer needs tokenizer.json, or vocab.json with merges.txt")
    preprocessing(folder)
    chat_template(folder)


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


def learned(folder: Path) -> dict[str, str] | None:
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


def _model_type(config: Path) -> str | None:
    try:
        return read_json(config).get("model_type")
    except ModelFolderError as error:
        log.info("passed over: %s", error)
        return None


def _check_config(folder: Path) -> None:
    _require(folder, "config.json", "every Qwen3-VL folder has one")
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind != MODEL_TYPE:
        raise ModelFolderError(
            f"{folder} holds a model of type {kind!r}; a critic must be {MODEL_TYPE!r} (Qwen3-VL), "
            "for example RationalRewards-8B-T2I."
        )
    if config.get("quantization_config"):
        raise ModelFolderError(
            f"{folder} holds quantised weights (quantization_config in config.json). This version loads "
            "weights of 16 or 32 bits only: download the model unquantised."
        )


def _shards(folder: Path) -> dict[str, set[str]]:
    """Weight files the folder must have, and the tensors each must hold (none named without an index)."""
    if (folder / _INDEX).is_file():
        shards: dict[str, set[str]] = {}
        for tensor, file in (read_json(folder / _INDEX).get("weight_map") or {}).items():
            shards.setdefault(file, set()).add(tensor)
        if not shards:
            raise ModelFolderError(f"{folder / _INDEX} names no weights. Download it again.")
        return shards
    if (folder / _WHOLE).is_file():
        return {_WHOLE: set()}
    pickled = sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLED)
    if pickled:
        raise ModelFolderError(
            f"{folder} holds its weights as {pickled[0]}, a format that can run code when it is read. "
            "Only safetensors are loaded; download or convert the model as safetensors."
        )
    raise ModelFolderError(
        f"{folder} has no weights: neither {_WHOLE} nor {_INDEX}. Download the model again."
    )


def _check_shard(file: Path, tensors: set[str]) -> None:
    """A safetensors file says in its header how long it is and what it holds; compare."""
    if not file.is_file():
        raise ModelFolderError(
            f"{file} is missing, though the index of the weights names it. Download it again."
        )
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        # a pointer file of git-lfs, a web page or half a header all fail here
        raw = stream.read(length) if size >= 8 and length <= min(_HEADER_LIMIT, size) else b""
    try:
        header = json.loads(raw)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in entries.values()]
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise ModelFolderError(
            f"{file} ({size} bytes) is no safetensors file: its header cannot be read. Download it again."
        ) from error
    whole = 8 + length + max(ends, default=0)
    if size != whole:
        raise ModelFolderError(
            f"{file} has {size} bytes instead of {whole}: it is cut short or damaged. Download it again."
        )
    if lost := sorted(tensors - entries.keys()):
        raise ModelFolderError(
            f"{file} lacks {lost[0]} ({len(lost)} in all), which the index promises. Download both."
        )


def _require(folder: Path, file: str, why: str) -> None:
    if not (folder / file).is_file():
        raise ModelFolderError(f"{folder} lacks {file}: {why}. Download the model again.")
