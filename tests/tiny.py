"""Folders of a tiny Qwen3-VL: real classes and files, nothing downloaded. `make` writes one that answers in
the critic's form, `make_random` one of random weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONTROLS += ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
THINK = ["<think>", "</think>"]
VOCABULARY = 768
DATA = Path(__file__).with_name("data") / "tiny"
SPECIAL = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "clean_up_tokenization_spaces": False}
CHAT_TEMPLATE = """\
{%- for message in messages -%}
    <|im_start|>{{ message.role }}{{ '\\n' }}
    {%- for part in message.content -%}
        {%- if part.type == 'image' -%}
            <|vision_start|><|image_pad|><|vision_end|>
        {%- else -%}
            {{ part.text }}
        {%- endif -%}
    {%- endfor -%}
    <|im_end|>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    <|im_start|>assistant{{ '\\n' }}
{%- endif -%}
"""
PREPROCESSING = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "patch_size": 16,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "size": {"shortest_edge": 32 * 32, "longest_edge": 128 * 128},
}


def make(folder: Path, seed: int = 0, shard: str | None = None) -> Path:
    """Write a whole model folder whose critic writes short, complete answers in all tasks and styles.

    It is trained (train_tiny.py), but for the matrices of its vision tower. They are random:
    with another `seed` it sees something else, and scores differ. `shard`, a size such as "100KB", splits the
    weights into several files.
    """
    from safetensors.torch import load_file

    model = random_model(seed)
    trained = {name: weight.float() for name, weight in load_file(DATA / "model.safetensors").items()}
    unknown = model.load_state_dict(trained, strict=False).unexpected_keys
    assert not unknown, unknown
    center(model.model.visual, seed)
    return save(model, folder, shard)


def make_random(folder: Path, seed: int = 0, shard: str | None = None) -> Path:
    """As `make`, but all weights are random, and so is every answer."""
    return save(random_model(seed), folder, shard)


def random_model(seed: int):
    import torch

    with torch.random.fork_rng(devices=[]):
        model = make_model(load_tokenizer())
    randomize(model, seed)
    return model


def randomize(module, seed: int) -> None:
    """Other random weights for all layers of a module. Those that it starts with are so small that every
    prompt gets the same answer."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08, generator=generator)


def center(visual, seed: int) -> None:
    """Let what a random tower makes of images vary around the trained bias: then scores differ between images
    more than between towers."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    plain = torch.rand(8, 1, 3, 1, generator=generator).expand(8, 4, 3, 512)
    noise = torch.rand(8, 4, 3, 512, generator=generator)
    patches = 2 * torch.cat([plain, noise]).reshape(64, 1536) - 1  # of 16 images of one token each
    with torch.no_grad():
        features = visual(patches, grid_thw=torch.tensor([[1, 2, 2]] * 16))
        # transformers 4.57 returns a pair
        tokens = features[0] if isinstance(features, tuple) else features.pooler_output
        bias = visual.merger.linear_fc2.bias
        bias.copy_(2 * bias - tokens.mean(0))


def save(model, folder: Path, shard: str | None) -> Path:
    # as published checkpoints do: the settings of a chat model, which a critic must not inherit
    model.generation_config.do_sample = True
    model.generation_config.temperature = 0.7
    model.generation_config.top_k = 20
    model.generation_config.repetition_penalty = 1.3
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    load_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING), "utf-8")
    return folder


def load_tokenizer():
    """The tiny critic's tokenizer, from its file: trained anew, it could differ between versions."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(DATA / "tokenizer.json"), **SPECIAL)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_trained(folder: Path, tokenizer, trained: Mapping) -> None:
    """Write what `make` reads, the `trained` parameters by name."""
    import torch
    from safetensors.torch import save_file

    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: weight.detach().to(torch.bfloat16) for name, weight in trained.items()}
    save_file(weights, folder / "model.safetensors")


def make_tokenizer(vocabulary: int = VOCABULARY, texts: Sequence[str] = ()):
    """A byte-level BPE like Qwen's, learned from the rubric and the texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from rr_models.prompting import rubric

    words = Tokenizer(models.BPE())
    pattern = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(CONTROLS) - len(THINK),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    told = [part.get("text", "") for m in rubric.messages("edit", "") for part in m["content"]]
    words.train_from_iterator([*told, *texts], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **SPECIAL)
    tokenizer.add_special_tokens({"additional_special_tokens": CONTROLS})
    tokenizer.add_tokens(THINK)  # as in Qwen: added tokens, but not special ones
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer):
    """Every part of the 8B once or twice: grouped heads, interleaved positions, deepstack.

    All layers have multiples of 128 rows and columns, as in real models. Kernels rely on that: with other
    sizes, bitsandbytes fails on processors with AVX512-BF16.
    """
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [12, 10, 10],
        "mrope_interleaved": True,
    }
    number = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 4096,
            "rope_parameters": rope,
            "rope_scaling": rope,
            "rope_theta": 1e4,
            "pad_token_id": number("<|endoftext|>"),
            "eos_token_id": number("<|im_end|>"),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 128,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return Qwen3VLForConditionalGeneration(config)
