"""How many kernels does a decode step launch? Counted on the CPU, for the layers of the 8B in tiny sizes.

    python benchmarks/launches.py [--quick] [--operations]

An operation counts as one launch if it writes memory: views and allocations launch nothing. RMS norm, linear
layers and attention count as one each, as on NVIDIA cards. Figures:

launches_N       a step of N answers, one token each; products are padded to eight rows
launches_8_16    a step of 8 answers with 16 tokens each, as where scores are measured
transformers     a step of one answer in transformers' own model
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from _common import close
from torch.utils._python_dispatch import TorchDispatchMode

from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner
from rr_models.engine.scheduler import PADDED_BATCH_SIZE

LAYERS, READ, BEHIND = 36, 1024, 600
ONE_KERNEL = {"rms_norm", "linear", "_fused_rms_norm"}
NO_LAUNCH = {"_unsafe_view", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


class Count(TorchDispatchMode):
    """Counts launches by operation in `counts`."""

    def __init__(self):
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, kwargs = function.__name__.split(".")[0], kwargs or {}
        if name not in ONE_KERNEL:
            with self:  # an operation made of others counts as those
                result = function.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        returns = function._schema.returns
        is_view = returns and returns[0].alias_info is not None and not returns[0].alias_info.is_write
        if not is_view and name not in NO_LAUNCH:
            self.counts[name] += 1 + (name == "constant_pad_nd")  # a fill and a copy
        return function(*args, **kwargs)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help=f"2 layers instead of {LAYERS}")
    options.add_argument("--operations", action="store_true", help="show what is counted")
    args = options.parse_args()
    model = make(2 if args.quick else LAYERS)
    steps = {
        "launches_8": lambda: step(model, 8, 1, 1),
        "launches_1": lambda: step(model, 1, 1, 1),
        "launches_8_16": lambda: step(model, 8, 16, 16),
        "transformers": lambda: theirs(model),
    }
    figures = {"layers": len(model.model.language_model.layers)}
    for name, counted in steps.items():
        counts = counted()
        figures[name] = counts.total()
        print(f"{name:16}{counts.total():6}", dict(counts.most_common()) if args.operations else "")
    close(figures)


def make(layers: int):
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    text = {
        "vocab_size": 500,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": layers,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5e6,
            "mrope_section": [4, 2, 2],
            "mrope_interleaved": True,
        },
    }
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64}
    config = Qwen3VLConfig(text_config=text, vision_config=vision | {"deepstack_visual_indexes": [0]})
    return Qwen3VLForConditionalGeneration(config).to(torch.bfloat16).eval().requires_grad_(False)


@torch.inference_mode()
def step(model, rows: int, tokens: int, wanted: int) -> Counter[str]:
    runner = ModelRunner(model, KVCache(model, rows, READ), fuse=True)
    shape = (PADDED_BATCH_SIZE, tokens)
    numbers = torch.arange(BEHIND, BEHIND + tokens).expand(shape).contiguous()
    mask = torch.arange(READ) <= numbers[:rows, :, None]
    token_ids, last = torch.zeros(shape, dtype=torch.long), torch.zeros(shape[0], wanted, dtype=torch.long)
    with Count() as count:
        runner.forward(token_ids, numbers, numbers[:rows], mask, last)
    return count.counts


@torch.inference_mode()
def theirs(model) -> Counter[str]:
    ids = torch.randint(5, 400, (1, 64))
    past = model(input_ids=ids, use_cache=True).past_key_values
    with Count() as count:
        model(input_ids=ids[:, :1], past_key_values=past, use_cache=True)
    return count.counts


if __name__ == "__main__":
    main()
