"""How much memory judging takes beside the weights, and how many answers fit into what is free."""

from __future__ import annotations

import torch

from ..decode.loop import LINES, WIDTH
from ..decode.text import DUMP

ROOM = "Lower max_pixels, load it in a lighter precision or on the CPU, or free what other models hold."
"""What to do when memory runs out."""

LONGEST_QUESTION = 1024
"""Tokens of text that a question is taken to have where it is not laid out yet."""


def estimate(model: torch.nn.Module, text: int, pictures: list[int], answer: int, rows: int) -> int:
    """Bytes for `rows` answers of up to `answer` tokens at once, each behind a question of `text` tokens and
    `pictures` (tokens of each).

    The cache has a row for every answer and one for what they share. Beside it stand either the activations
    of one picture in the vision tower, or those of one prompt, or a step's logits: never two of them.
    """
    config = model.config.get_text_config()
    seeing = model.config.vision_config
    bytes_each = next(model.parameters()).element_size()
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    prompt = text + sum(pictures)
    columns = -(-(prompt + answer + DUMP) // WIDTH) * WIDTH + DUMP
    cache = 2 * bytes_each * config.num_hidden_layers * groups * size * columns * (rows + 1)
    features = (
        2 * bytes_each * sum(pictures) * config.hidden_size * (1 + len(seeing.deepstack_visual_indexes))
    )
    # the widest place of a layer: three times the inner size in the perceptron, or the heads in attention
    inner = max(3 * config.intermediate_size, 3 * heads * size + 2 * groups * size)
    reading = bytes_each * prompt * (inner + 4 * config.hidden_size)
    merged = seeing.spatial_merge_size**2
    looking = (
        max(pictures, default=0)
        * merged
        * max(
            bytes_each * (2 * seeing.intermediate_size + 3 * seeing.hidden_size),
            bytes_each * 9 * seeing.hidden_size,
        )
    )
    # logits in the model's type and in 32 bit, the masks, and the copies that are looked through
    step = max(rows, LINES) * config.vocab_size * (bytes_each + 4) + 3 * rows * config.vocab_size * 4
    return cache + features + max(reading, looking, step)


def rows_that_fit(
    model: torch.nn.Module, text: int, pictures: list[int], answer: int, free: int, most: int
) -> int:
    """How many answers can be worked on at once in `free` bytes: 1 to `most`."""
    fitting = [n for n in range(1, most + 1) if estimate(model, text, pictures, answer, n) <= free]
    return max(fitting, default=1)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: each kind of device has its own way to say so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    # CUDA outside of torch's allocator, and MPS; torch on the CPU
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
