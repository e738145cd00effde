"""Model folders on disk: find them, check that one is complete, read its settings. Of weights, only headers
are read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import files
from ..errors import ModelFolderError

log = logging.getLogger(__name__)

MODEL_TYPE = "qwen3_vl"
SHAPES_CRITIC = Path(__file__).parents[1] / "shapes" / "critic"
"""The folder of the built-in critic."""

_INDEX, _SINGLE_FILE = "model.safetensors.index.json", "model.safetensors"
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
_MAX_HEADER = 100_000_000  # bytes; the limit of the format itself


def find(folders: Iterable[Path]) -> dict[str, Path]:
    """Qwen3-VL folders one or two levels below `folders`: name -> path, sorted by name.

    The name is the path below the searched folder, with forward slashes; of equal names the first one wins.
    """
    models: dict[str, Path] = {}
    for root in map(Path, folders):
        for config in (*root.glob("*/config.json"), *root.glob("*/*/config.json")):
            if is_critic(config.parent):
                models.setdefault(config.parent.relative_to(root).as_posix(), config.parent)
    return dict(sorted(models.items(), key=lambda item: item[0].casefold()))


def is_critic(folder: Path) -> bool:
    """Whether the folder's config.json names a Qwen3-VL."""
    try:
        return read_json(folder / "config.json").get("model_type") == MODEL_TYPE
    except ModelFolderError as error:
        if (folder / "config.json").exists():
            log.info("skipped: %s", error)
        return False


def check(folder: Path) -> None:
    """Raise ModelFolderError unless `folder` holds a complete Qwen3-VL: config, weights, tokenizer and image
    settings."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFolderError(f"There is no model folder {folder}. Name the folder that holds config.json.")
    if not (folder / "config.json").is_file():
        raise ModelFolderError(
            f"{folder} lacks config.json, which every model folder has. Name the folder that holds it, or "
            "download the model again."
        )
    _check_config(folder)
    weights = shards(folder)
    if missing := missing_files(folder, weights):
        raise ModelFolderError(
            f"{folder} is incomplete: it lacks {', '.join(missing)}. Copy the missing files from where the "
            "model was downloaded."
        )
    for file, tensors in weights.items():
        _check_shard(folder / file, tensors)
    preprocessing(folder)
    chat_template(folder)


def missing_files(folder: Path, weights: Iterable[str]) -> list[str]:
    """The files that a folder lacks, if its weights should be the files `weights`."""
    missing = [file for file in weights if not (folder / file).is_file()]
    if not (folder / "tokenizer.json").is_file():
        parts = [file for file in ("vocab.json", "merges.txt") if not (folder / file).is_file()]
        missing += ["tokenizer.json"] if len(parts) == 2 else parts
    if not any((folder / file).is_file() for file in ("preprocessor_config.json", "processor_config.json")):
        missing.append("preprocessor_config.json")
    templates = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
    if not any((folder / file).is_file() for file in templates):
        missing.append("chat_template.json")
    return missing


def preprocessing(folder: Path) -> dict:
    """The folder's image settings, from preprocessor_config.json or (newer) processor_config.json."""
    for file, pick in (
        ("preprocessor_config.json", lambda data: data),
        ("processor_config.json", lambda data: data.get("image_processor")),
    ):
        if (folder / file).is_file() and (settings := pick(read_json(folder / file))):
            return settings
    raise ModelFolderError(
        f"{folder} lacks preprocessor_config.json, which says how images are prepared for this model. "
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
    """The method by which a folder's weights were quantized before they were saved, such as "fp8"; None if
    they were not."""
    settings = read_json(folder / "config.json").get("quantization_config")
    if not isinstance(settings, dict):
        return None
    return str(settings.get("quant_method") or "an unnamed method")


def trained_wordings(folder: Path) -> dict[str, str] | None:
    """task -> the prompt that a critic trained by this project knows (its training.json); None for other
    models, which accept any prompt."""
    file = folder / "training.json"
    return read_json(file).get("wording") if file.is_file() else None


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens that the folder names, such as {"eos_token": "<|im_end|>"}."""
    tokens: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        settings = read_json(folder / file) if (folder / file).is_file() else {}
        for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
            token = settings.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and token:
                tokens[name] = token
    return tokens


def read_json(file: Path) -> dict:
    """The JSON object in a file; ModelFolderError names a file that holds none."""
    try:
        data = files.read_json(file)
    except ValueError as error:
        raise ModelFolderError(f"{error} Download it again.") from error
    if not isinstance(data, dict):
        raise ModelFolderError(f"{file} must hold a JSON object. Download it again.")
    return data


def _check_config(folder: Path) -> None:
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type != MODEL_TYPE:
        raise ModelFolderError(
            f"{folder} holds a model of type {model_type!r}; a critic must be {MODEL_TYPE!r} (Qwen3-VL), "
            "for example RationalRewards-8B-T2I."
        )


def shards(folder: Path) -> dict[str, set[str]]:
    """file -> tensors: the weight files that the folder must have. Without an index no tensor is named."""
    if (folder / _INDEX).is_file():
        weights: dict[str, set[str]] = {}
        for tensor, file in (read_json(folder / _INDEX).get("weight_map") or {}).items():
            weights.setdefault(file, set()).add(tensor)
        if not weights:
            raise ModelFolderError(f"{folder / _INDEX} names no weights. Download it again.")
        return weights
    if (folder / _SINGLE_FILE).is_file():
        return {_SINGLE_FILE: set()}
    pickled = sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLE_SUFFIXES)
    if pickled:
        raise ModelFolderError(
            f"{folder} holds its weights as {pickled[0]}, a format that can run code when it is loaded. "
            "Only safetensors are accepted; download or convert the model as safetensors."
        )
    parts = any(folder.glob("*-of-*.safetensors"))
    problem = f"lacks {_INDEX}" if parts else f"has no weights: neither {_SINGLE_FILE} nor {_INDEX}"
    raise ModelFolderError(f"{folder} {problem}. Download the model again.")


def tensors(folder: Path) -> Iterator[tuple[str, str, dict]]:
    """(file, name, header entry with "dtype" and "shape") of every tensor in a checked folder."""
    for file in shards(folder):
        _, _, entries = _header(folder / file)
        for name, entry in entries.items():
            yield file, name, entry


def _check_shard(file: Path, indexed: set[str]) -> None:
    """Raise ModelFolderError unless the file's size and tensors are those of its header and of the index."""
    size, start, entries = _header(file)
    expected = start + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if size != expected:
        raise ModelFolderError(
            f"{file} has {size} bytes instead of {expected}: it is cut short or damaged. Download it again."
        )
    if missing := sorted(indexed - entries.keys()):
        raise ModelFolderError(
            f"{file} lacks {missing[0]} ({len(missing)} in all), which the index lists. Download both again."
        )


def _header(file: Path) -> tuple[int, int, dict[str, dict]]:
    """(size of the file in bytes, offset of its data, tensor -> entry)."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            # a pointer file of git-lfs, a web page or half a header all fail here
            raw = stream.read(length) if size >= 8 and length <= min(_MAX_HEADER, size) else b""
    except OSError as error:
        raise ModelFolderError(
            f"{file} cannot be read ({error.strerror or error}). Give this user permission to read it."
        ) from error
    try:
        entries = {name: entry for name, entry in json.loads(raw).items() if name != "__metadata__"}
        for entry in entries.values():
            entry["data_offsets"][1] + len(entry["shape"])
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise ModelFolderError(
            f"{file} ({size} bytes) is not a safetensors file: its header cannot be read. Download it again."
        ) from error
    return size, 8 + length, entries
