"""A model folder with Qwen's real vocabulary, whose tokens cross word and line ends as no small one's do.

The vocabulary comes from the ComfyUI core. The config has an 8B's settings with small widths; the weights are
random and the chat template is this project's own.
"""

from __future__ import annotations

import json
from pathlib import Path

from rr_tests.tiny import CHAT_TEMPLATE, PREPROCESSING

from rr_models.checkpoints.hf_config import load_tokenizer
from rr_models.critics.local import LocalCritic
from rr_models.critics.token_sets import TokenSets
from rr_models.prompting.wording import Wording

TOKENS = 151_643
"""Tokens of the vocabulary: 256 bytes, then one for each merge, in the order of the merges."""
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"]
ADDED += ["<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>"]
ADDED += ["<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>"]
ADDED += [
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
]
ADDED += ["<tool_response>", "</tool_response>", "<think>", "</think>"]
"""The tokens after those, at 151,643 to 151,668."""
FEW = 8_192
"""Tokens of a vocabulary for tests with many answers: those of common words, marks and line ends are whole,
and the logits are small."""
ENDS = ("<|im_end|>", "<|endoftext|>")
"""The tokens that end an answer."""
SPECIAL = 14
"""So many of the added tokens are special ones."""
SPARE = 267
"""Rows of the embedding that no token has: it is padded to 151,936."""


def make(folder: Path, core: Path, tokens: int = TOKENS) -> Path:
    """Write a whole model folder with the vocabulary of the ComfyUI core at `core`.

    Fewer `tokens` keep the first merges only: the same tokenizer with longer answers and shorter logits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(folder, core / "comfy" / "text_encoders" / "qwen25_tokenizer", tokens)
    _write(folder / "preprocessor_config.json", PREPROCESSING)
    ends = [tokens + ADDED.index(name) for name in ENDS]
    _write(folder / "generation_config.json", {"do_sample": True, "eos_token_id": ends, "temperature": 0.7})
    _write_model(folder, tokens)
    return folder


def in_style(critic: LocalCritic, style: str) -> LocalCritic:
    """The same critic, asked in another style."""
    parts = (critic.weights, critic.device, critic.precision, critic.tokenizer, critic.preprocessing)
    return LocalCritic(critic.name, critic.model, *parts, Wording(style))


def token_sets(folder: Path, core: Path) -> TokenSets:
    """The whole vocabulary without a model: `folder` gets the tokenizer's files only."""
    folder.mkdir(parents=True)
    _write_tokenizer(folder, core / "comfy" / "text_encoders" / "qwen25_tokenizer", TOKENS)
    return TokenSets(load_tokenizer(folder), [TOKENS + ADDED.index(name) for name in ENDS])


def _write_tokenizer(folder: Path, source: Path, tokens: int) -> None:
    ids: dict[str, int] = json.loads((source / "vocab.json").read_text("utf-8"))
    merges = (source / "merges.txt").read_text("utf-8").splitlines()
    merges = [line for line in merges if not line.startswith("#version")][: tokens - 256]
    assert [ids[merge.replace(" ", "")] for merge in merges[-100:]] == list(range(tokens - 100, tokens))
    _write(folder / "vocab.json", {token: number for token, number in ids.items() if number < tokens})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
    flags = dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word"), False)
    added = {
        str(tokens + number): {"content": name, "special": number < SPECIAL, **flags}
        for number, name in enumerate(ADDED)
    }
    settings = {
        "added_tokens_decoder": added,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "errors": "replace",
        "tokenizer_class": "Qwen2Tokenizer",
    }
    _write(folder / "tokenizer_config.json", settings)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, "utf-8")


def _write_model(folder: Path, tokens: int) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    config = _config(tokens)
    _write(folder / "config.json", config)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig.from_dict(config))
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.empty(weight.shape, dtype=torch.bfloat16).normal_(0, 0.08, generator=generator)
        for name, weight in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _config(tokens: int) -> dict:
    text = {
        "model_type": "qwen3_vl_text",
        "attention_bias": False,
        "bos_token_id": tokens + ADDED.index("<|endoftext|>"),
        "eos_token_id": tokens + ADDED.index("<|im_end|>"),
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 128,
        "intermediate_size": 256,
        "max_position_embeddings": 262_144,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
        "rope_theta": 5_000_000,
        "tie_word_embeddings": False,
        "vocab_size": tokens + len(ADDED) + SPARE,
    }
    vision = {
        "model_type": "qwen3_vl",
        "deepstack_visual_indexes": [0],
        "depth": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 128,
        "in_channels": 3,
        "intermediate_size": 256,
        "num_heads": 2,
        "num_position_embeddings": 16,
        "out_hidden_size": 128,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "image_token_id": tokens + ADDED.index("<|image_pad|>"),
        "video_token_id": tokens + ADDED.index("<|video_pad|>"),
        "vision_start_token_id": tokens + ADDED.index("<|vision_start|>"),
        "vision_end_token_id": tokens + ADDED.index("<|vision_end|>"),
        "text_config": text,
        "vision_config": vision,
        "tie_word_embeddings": False,
    }


def _write(file: Path, data: dict) -> None:
    file.write_text(json.dumps(data, ensure_ascii=False), "utf-8")
