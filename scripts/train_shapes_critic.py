"""Train the built-in Shapes critic: a real, small Qwen3-VL that looks at coloured shapes and writes critiques
of them.

    python scripts/train_shapes_critic.py --out DIR [--seed 0] [--scale 1.0]

Two stages, on training scenes only (rr_models.shapes.cases separates the held-out ones):

vision     images alone: the vision tower's output should be close to the words for what they show
critiques  complete critiques after the complete prompt, exactly as in use; the vision loss stays on

All randomness comes from --seed. `--scale 0.01` is a quick try. The folder that is written loads with
`transformers.Qwen3VLForConditionalGeneration.from_pretrained`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.multiprocessing.spawn import spawn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shapes_optimizer import Muon  # noqa: E402
from shapes_training import SIDE, CritiqueBatches, VisionLoss, answer_loss, renderings_of  # noqa: E402

from rr_models.prompting import rubric  # noqa: E402
from rr_models.shapes import cases  # noqa: E402

SPECIAL = [
    f"<|{name}|>" for name in "endoftext im_start im_end vision_start vision_end image_pad video_pad".split()
]
THINK = ["<think>", "</think>"]
VOCABULARY = 1024
WORD_PATTERN = (  # Qwen's: words with their leading space, single digits
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}{%- else -%}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- elif 'text' in part -%}{{- part.text -}}{%- endif -%}{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
WORKERS = 2
SEEDS = {"vision": "look", "critiques": "write"}
"""stage -> its part of the random seed, kept since the shipped critic was trained."""

Losses = Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]
"""(loss of a step, its parts by name)."""

# The learning rate follows a cosine that would end at `horizon`.
VISION = {"steps": 500, "horizon": 500, "rows": 64, "rate": 2.0, "warmup": 30}
CRITIQUES = {"steps": 2000, "horizon": 2500, "rows": 32, "rate": 1.0, "warmup": 50}
MATRIX_RATE, OTHER_RATE = 0.02, 0.003  # at rate 1: of hidden matrices, and of everything else
VISION_WEIGHT = 0.1  # of the vision loss in the second stage, in nats per image against nats per token


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    options.add_argument("--out", type=Path, required=True, help="folder to write (created if absent)")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--scale", type=float, default=1.0, help="factor on the number of steps")
    options.add_argument("--vision", type=Path, help="vision.pt of an earlier run: run the second stage only")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(args.seed)
    tokenizer.save_pretrained(args.out)
    with tempfile.TemporaryDirectory() as rendezvous:
        spawn(work, (args, tokenizer, f"file://{rendezvous}/point"), nprocs=WORKERS)


def work(rank: int, args, tokenizer, rendezvous: str) -> None:
    """One of WORKERS processes with one thread each, which for matrices this small is nearly twice as fast as
    one process with two threads. All start from the same weights and average their gradients in every step.
    """
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=WORKERS)
    torch.manual_seed(args.seed)
    model = make_model(tokenizer)
    vision, critiques = VisionLoss(model, tokenizer), CritiqueBatches(tokenizer)

    def vision_losses(rng: random.Random, rows: int) -> Losses:
        while True:
            drawn = [cases.random_case(rng, rng.choice(cases.TASKS), test=False) for _ in range(rows)]
            loss = vision.on_images(renderings_of(drawn)[:rows], rng)
            yield loss, {"vision": loss}

    def critique_losses(rng: random.Random, rows: int) -> Losses:
        for chosen, batch, labels in critiques.batches(rng, rows):
            answer = answer_loss(model, batch, labels)
            seen = vision.loss(renderings_of(chosen))
            yield answer + VISION_WEIGHT * seen, {"critiques": answer, "vision": seen}

    records = {}
    if args.vision:
        model.load_state_dict(torch.load(args.vision, weights_only=True))
    else:
        records["vision"] = train(model, "vision", vision_losses, VISION, args, rank)
        if rank == 0:
            torch.save(model.state_dict(), args.out / "vision.pt")
    records["critiques"] = train(model, "critiques", critique_losses, CRITIQUES, args, rank)
    if rank == 0:
        (args.out / "vision.pt").unlink(missing_ok=True)
        (args.out / "latest.pt").unlink(missing_ok=True)
        about = {"seed": args.seed, "scale": args.scale, "torch": torch.__version__}
        about |= {"wording": {task: rubric.wording(task) for task in cases.TASKS}, "stages": records}
        save(model, args.out, about)
    torch.distributed.destroy_process_group()


def make_tokenizer(seed: int):
    """A small byte-level BPE like Qwen's, trained on our own requests and answers; each constant line of the
    prompt is one additional token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    lines = constant_lines()

    def split(pattern: str):
        return pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    rng = random.Random(seed)
    corpus = ["system\n", "user\n", "assistant\n"] * 500
    for task in cases.TASKS * 3000:
        case = cases.random_case(rng, task, test=False)
        corpus += [case.request, case.truth.to_text()]
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = split(WORD_PATTERN)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(THINK) - len(lines),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(corpus, trainer)
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learned = json.loads(words.to_str())["model"]
    vocabulary = learned["vocab"]
    for line in lines:
        ((spelling, _),) = spelled.pre_tokenize_str(line)
        vocabulary[spelling] = len(vocabulary)
    # a piece that is in the vocabulary needs no merges: so the lines stay in one piece
    words.model = models.BPE(vocabulary, [tuple(m) for m in learned["merges"]], ignore_merges=True)
    words.pre_tokenizer = split("|".join([*map(re.escape, lines), WORD_PATTERN]))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.add_tokens(THINK)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def constant_lines() -> list[str]:
    """Every line of the prompts that does not depend on the request, with its line break, longest first."""
    lines = set()
    for task in cases.TASKS:
        for message in rubric.messages(task, "\ue000"):
            for part in message["content"]:
                lines |= {line for line in part.get("text", "").splitlines(keepends=True) if line.strip()}
    return sorted((line for line in lines if "\ue000" not in line), key=lambda line: (-len(line), line))


def make_model(tokenizer):
    """The same class as the 8B critic, with small layers."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [6, 5, 5],
        "mrope_interleaved": True,
    }
    token = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 192,
            "intermediate_size": 448,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_parameters": rope,
            "rope_scaling": rope,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "pad_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
        },
        vision_config={
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 192,
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return Qwen3VLForConditionalGeneration(config)


def train(
    model, name: str, losses_of: Callable[[random.Random, int], Losses], stage: dict, args, rank: int
) -> dict:
    """One stage with one cosine schedule of the learning rate. Returns its settings, the minutes it took and
    the mean losses of its last 100 steps."""
    steps = max(1, round(stage["steps"] * args.scale))
    horizon = max(1, stage["horizon"] * args.scale)
    rng = random.Random(f"{SEEDS[name]} {args.seed} {rank}")
    optimizers = make_optimizers(model)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    recent: dict[str, list[float]] = {}
    began = time.time()
    model.train()
    losses = losses_of(rng, stage["rows"] // WORKERS)
    for step in range(steps):
        curve = min(1, (step + 1) / stage["warmup"]) * (
            0.01 + 0.99 * (1 + math.cos(math.pi * step / horizon)) / 2
        )
        for optimizer, own in zip(optimizers, rates, strict=True):
            for group, rate in zip(optimizer.param_groups, own, strict=True):
                group["lr"] = rate * stage["rate"] * curve
        loss, parts = next(losses)
        model.zero_grad()
        loss.backward()
        average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        for part, value in parts.items():
            recent[part] = [*recent.get(part, [])[-99:], value.item()]
        if rank == 0 and (step + 1) % 25 == 0:
            means = ", ".join(f"{part} {mean(values[-25:]):.4f}" for part, values in recent.items())
            log(f"{name}, step {step + 1}: {means}, {time.time() - began:.0f} s")
        if rank == 0 and (step + 1) % 500 == 0:
            torch.save(model.state_dict(), args.out / "latest.pt")  # to evaluate during training
    done = {"minutes": round((time.time() - began) / 60, 1)}
    return stage | done | {"loss": {part: round(mean(values), 5) for part, values in recent.items()}}


def make_optimizers(model) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices of the layers, AdamW for everything else."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        inner = p.ndim == 2 and "embed" not in name and "lm_head" not in name
        (matrices if inner else others).append(p)
    return [
        Muon(matrices, lr=MATRIX_RATE),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def average_gradients(model) -> None:
    """The mean gradient of all workers, in every worker."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients]) / WORKERS
    torch.distributed.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def save(model, folder: Path, figures: dict) -> None:
    """Weights in bf16, settings that both transformers 4.57 and 5 read, and the figures of this run."""
    model.to(torch.bfloat16).save_pretrained(folder)
    write_settings(folder)
    write_json(folder / "training.json", figures)


def write_settings(folder: Path) -> None:
    """Image settings; and config and tokenizer under names that both transformers 4.57 and 5 know."""
    config = read_json(folder / "config.json")
    rope = config["text_config"]["rope_parameters"]
    config["text_config"] |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {key: value for key, value in rope.items() if key != "rope_theta"},
    }
    write_json(folder / "config.json", config)
    tokenizer = read_json(folder / "tokenizer_config.json")
    special = tokenizer.pop("extra_special_tokens", None) or tokenizer.pop("additional_special_tokens")
    tokenizer |= {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": special}
    tokenizer.pop("backend", None)
    write_json(folder / "tokenizer_config.json", tokenizer)
    images = {"image_processor_type": "Qwen2VLImageProcessor"}
    images |= {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    images |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    images |= {"size": {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}}
    write_json(folder / "preprocessor_config.json", images)


def read_json(file: Path) -> dict:
    return json.loads(file.read_text("utf-8"))


def write_json(file: Path, data: dict) -> None:
    file.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def log(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
