"""Transformers' config, tokenizer and attention for a model folder."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import CriticError, ModelFolderError
from . import model_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen3VLConfig

SDPA, FLASH = "sdpa", "flash_attention_2"
ATTENTIONS = (SDPA, FLASH)
"""Attention implementations for the vision tower: torch's own, or the package flash-attn."""
_ATTENTION_SETTINGS = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
_ATTENTION_SETTINGS += ("output_attentions",)  # only the slowest implementation can
"""Settings by which a config.json could choose the attention; the choice is the user's."""


def load_config(folder: Path, attention: str = SDPA) -> Qwen3VLConfig:
    """The model's config. `attention` is for the vision tower; the text half calls torch's SDPA itself (see
    engine/model_runner.py).

    Rotary settings are given under their old names too: transformers 5 saves them as rope_parameters, which
    4.57 ignores silently.
    """
    from transformers import Qwen3VLConfig

    config = model_folder.read_json(folder / "config.json")
    text = config.get("text_config") or {}
    if rope := text.get("rope_parameters"):
        text.setdefault("rope_scaling", rope)
        text.setdefault("rope_theta", rope.get("rope_theta"))
    for part in (config, text, config.get("vision_config") or {}):
        for name in _ATTENTION_SETTINGS:
            part.pop(name, None)
    implementations = {"": SDPA, "text_config": SDPA, "vision_config": attention}
    return Qwen3VLConfig.from_dict(config, attn_implementation=implementations)


def ties_embeddings(config: Qwen3VLConfig) -> bool:
    """Whether input and output embeddings share one weight, so that a folder needs no lm_head."""
    return bool(config.tie_word_embeddings or getattr(config.get_text_config(), "tie_word_embeddings", False))


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The folder's tokenizer: tokenizer.json with the special tokens that the folder names.

    The tokenizer class that a folder names depends on the transformers that saved it, and an older one does
    not know the newer classes; only for a folder without tokenizer.json does transformers choose the class.
    Raises ModelFolderError if the files cannot be read.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    file, special = folder / "tokenizer.json", model_folder.special_tokens(folder)
    try:
        if file.is_file():
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), **special)
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ModelFolderError(
            f"The tokenizer in {folder} cannot be read ({error}). Download its files again."
        ) from error
    tokenizer.chat_template = model_folder.chat_template(folder)
    return tokenizer


def eos_token_ids(folder: Path, tokenizer: PreTrainedTokenizerBase, config: Qwen3VLConfig) -> list[int]:
    """The ids of the tokens that end an answer, named by the tokenizer, generation_config.json or
    config.json. Raises ModelFolderError if none of them names one."""
    file = folder / "generation_config.json"
    named = [tokenizer.eos_token_id, getattr(config.get_text_config(), "eos_token_id", None)]
    named.append(getattr(config, "eos_token_id", None))
    if file.is_file():
        named.append(model_folder.read_json(file).get("eos_token_id"))
    lists = [value if isinstance(value, (list, tuple)) else [value] for value in named]
    if ids := sorted({int(token) for tokens in lists for token in tokens if token is not None}):
        return ids
    raise ModelFolderError(
        f"{folder} does not name the token that ends an answer (eos_token in tokenizer_config.json). Copy "
        "that file from where the model was downloaded."
    )


def check_attention(choice: str, device: torch.device, dtype: torch.dtype) -> str:
    """The choice, one of ATTENTIONS, if it is available on `device` in `dtype`.

    Raises ValueError if device or dtype cannot use it, CriticError if its package is not installed.
    """
    if choice not in ATTENTIONS:
        raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, not {choice!r}.")
    if choice == SDPA:
        return choice
    if device.type != "cuda":  # ROCm GPUs have this name too
        raise ValueError(f"attention {FLASH} runs on CUDA and ROCm GPUs, not on {device}. Use {SDPA}.")
    if dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"attention {FLASH} computes in 16 bit, this precision in 32. Use {SDPA}, or precision bf16."
        )
    try:
        importlib.import_module("flash_attn")
    except (ImportError, OSError) as error:  # one built for another torch is as common as none
        raise CriticError(
            f"attention {FLASH} needs the package flash-attn, which cannot be imported ({error}). Install "
            "the one for this torch with ComfyUI's Python: pip install flash-attn --no-build-isolation. "
            f"Or use {SDPA}."
        ) from error
    return choice
