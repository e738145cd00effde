"""What a model folder and the user's choices mean for transformers: configuration, tokenizer, device and
attention."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

from ..errors import CriticError, ModelFolderError
from . import model_folder

SDPA, FLASH = "sdpa", "flash_attention_2"
ATTENTIONS = (SDPA, FLASH)
"""What the vision tower may compute its attention with: torch's own, or the package flash-attn."""
_NOT_THE_FOLDERS = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
_NOT_THE_FOLDERS += ("output_attentions",)  # which only the slowest gives
"""Settings by which a config.json could choose the attention; that is the user's to choose."""


def load_config(folder: Path, attention: str = SDPA):
    """The model's configuration, with the rotary settings under their old names too. `attention` is the
    vision tower's; the text half asks torch itself (see decode/text.py).

    Transformers 5 saves them as rope_parameters, which 4.57 passes over in silence.
    """
    from transformers import Qwen3VLConfig

    told = model_folder.read_json(folder / "config.json")
    text = told.get("text_config") or {}
    if rope := text.get("rope_parameters"):
        text.setdefault("rope_scaling", rope)
        text.setdefault("rope_theta", rope.get("rope_theta"))
    for part in (told, text, told.get("vision_config") or {}):
        for name in _NOT_THE_FOLDERS:
            part.pop(name, None)
    chosen = {"": SDPA, "text_config": SDPA, "vision_config": attention}
    return Qwen3VLConfig.from_dict(told, attn_implementation=chosen)


def ties_embeddings(config) -> bool:
    """Whether the model writes with its reading vocabulary, so that a folder needs no lm_head."""
    return bool(config.tie_word_embeddings or getattr(config.get_text_config(), "tie_word_embeddings", False))


def load_tokenizer(folder: Path):
    """The folder's tokenizer: tokenizer.json with the special tokens that the folder names.

    The class that a folder names for it depends on the transformers that saved it, and an older one does not
    know the newer classes; only a folder without tokenizer.json leaves that choice to transformers.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    file, special = folder / "tokenizer.json", model_folder.special_tokens(folder)
    try:
        if file.is_file():
            found = PreTrainedTokenizerFast(tokenizer_file=str(file), **special)
        else:
            found = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ModelFolderError(
            f"The tokenizer in {folder} cannot be read ({error}). Download its files again."
        ) from error
    found.chat_template = model_folder.chat_template(folder)
    return found


def eos_token_ids(folder: Path, tokenizer, config) -> list[int]:
    """The tokens that end an answer, as the tokenizer, generation_config.json and config.json name them."""
    file = folder / "generation_config.json"
    told = [tokenizer.eos_token_id, getattr(config.get_text_config(), "eos_token_id", None)]
    told.append(getattr(config, "eos_token_id", None))
    if file.is_file():
        told.append(model_folder.read_json(file).get("eos_token_id"))
    flat = [one for each in told for one in (each if isinstance(each, (list, tuple)) else [each])]
    if found := sorted({int(one) for one in flat if one is not None}):
        return found
    raise ModelFolderError(
        f"{folder} says nowhere which token ends an answer (eos_token in tokenizer_config.json). "
        "Copy that file from where the model was downloaded."
    )


def check_attention(choice: str, device: torch.device, dtype: torch.dtype) -> str:
    """The choice, one of ATTENTIONS, after making sure that it can be had on `device` in `dtype`."""
    if choice not in ATTENTIONS:
        raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, not {choice!r}.")
    if choice == SDPA:
        return choice
    if device.type != "cuda":  # ROCm's cards have this name too
        raise ValueError(f"attention: {FLASH} runs on CUDA and ROCm cards, not on {device}. Take {SDPA}.")
    if dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"attention: {FLASH} computes in 16 bit, this precision in 32. Take {SDPA}, or precision bf16."
        )
    try:
        importlib.import_module("flash_attn")
    except (ImportError, OSError) as error:  # one built for another torch is as common as none
        raise CriticError(
            f"attention: {FLASH} takes the package flash-attn, which cannot be imported ({error}). Install "
            "the one for this torch with ComfyUI's Python: pip install flash-attn --no-build-isolation. "
            f"Or take {SDPA}."
        ) from error
    return choice
