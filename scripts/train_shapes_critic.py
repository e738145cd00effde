"""Train the built-in Shapes critic: a real, small Qwen3-VL that looks at coloured shapes and writes critiques
of them.

    python scripts/train_shapes_critic.py --out DIR [--seed 0] [--scale 1.0]

Courses, each with its own learning-rate curve, all on training scenes only (rr_models.shapes.cases keeps
the held-out ones apart). What a course teaches:

eyes      no sentences: picture tokens come to lie close to the words for what they show, so that the vision
          tower tells a circle from a square before sentences depend on it
look      short answers that only say what is in the picture, many pictures a second
read      no picture: what a request asks for, place by place
critique  whole critiques; the constant parts of the prompt (system turn, rubric) are left out of the
          sequence while all other tokens keep the positions they will have, which saves most of the work
part      the same with a random piece of the constant parts, so that they get known
prompt    whole critiques behind the whole prompt, exactly as the critic is asked later

Everything random comes from --seed. `--scale 0.01` is a quick try. The folder that is written loads with
`transformers.Qwen3VLForConditionalGeneration.from_pretrained`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shapes_lessons import SIDE, Eyes, Writer, answer_loss  # noqa: E402

from rr_models import rubric  # noqa: E402
from rr_models.shapes import cases  # noqa: E402

VOCABULARY = 1024
SPECIAL = [
    f"<|{name}|>" for name in "endoftext im_start im_end vision_start vision_end image_pad video_pad".split()
]
THINK = ["<think>", "</think>"]
WORD_PATTERN = (  # Qwen's: words with their leading blank, digits one by one
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


@dataclass(frozen=True)
class Course:
    """Lessons (what is taught, in turns; steps; cases a step) under one cosine of the learning rate, which
    reaches its floor at `horizon` steps."""

    rate: float
    warmup: int
    horizon: int
    lessons: tuple[tuple[tuple[str, ...], int, int], ...]


# What was learned the slow way: without "eyes" shapes and flaws stay unseen, without "read" the request is
# guessed from the picture.
COURSES = (
    Course(1.5e-3, 30, 800, ((("eyes",), 800, 64),)),
    Course(2e-3, 50, 800, ((("read",), 600, 64),)),
    Course(
        2e-3,
        50,
        3900,
        (
            (("eyes", "look", "read", "critique"), 1600, 32),
            (("look", "critique", "critique"), 1500, 32),
            (("eyes", "critique", "part"), 600, 32),
            (("prompt",), 200, 8),
        ),
    ),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--out", type=Path, required=True, help="folder to write (made if absent)")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--scale", type=float, default=1.0, help="factor on the number of steps")
    options.add_argument("--resume", type=Path, help="course_N.pt of an earlier run: only the rest is done")
    args = options.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(args.seed)
    tokenizer.save_pretrained(args.out)
    with tempfile.TemporaryDirectory() as meeting:
        torch.multiprocessing.spawn(work, (args, tokenizer, f"file://{meeting}/point"), nprocs=WORKERS)


def work(rank: int, args, tokenizer, meeting: str) -> None:
    """One of WORKERS processes with one thread each: on matrices this small that is nearly twice as fast as
    one process with two threads. All start from the same weights and add up their gradients after every
    step."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORKERS)
    torch.manual_seed(args.seed)
    model = make_model(tokenizer)
    if args.resume:
        model.load_state_dict(torch.load(args.resume, weights_only=True))
    records = []
    for number in range(int(args.resume.stem[-1]) if args.resume else 0, len(COURSES)):
        records.append(train(model, Writer(tokenizer), Eyes(tokenizer), args, rank, number))
        if rank == 0 and number + 1 < len(COURSES):
            torch.save(model.state_dict(), args.out / f"course_{number + 1}.pt")  # for --resume
    if rank == 0:
        about = {"seed": args.seed, "scale": args.scale, "torch": torch.__version__}
        save(
            model,
            args.out,
            about | {"wording": {task: rubric.wording(task) for task in cases.TASKS}, "courses": records},
        )
    torch.distributed.destroy_process_group()


def make_tokenizer(seed: int):
    """A byte-level BPE as Qwen's, small, learned from our own prompts and answers."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = random.Random(seed)
    corpus = [
        part["text"]
        for task in cases.TASKS
        for m in rubric.messages(task, "")
        for part in m["content"]
        if "text" in part
    ]
    corpus = corpus * 200
    for task in cases.TASKS * 3000:
        case = cases.case(rng, task, test=False)
        corpus += [case.request, case.truth.to_text()]
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(THINK),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(corpus, trainer)
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


def make_model(tokenizer):
    """The same class as the 8B, with everything small."""
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
            "vocab_size": VOCABULARY,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
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
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_heads": 3,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 192,
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return Qwen3VLForConditionalGeneration(config)


def train(model, writer: Writer, eyes: Eyes, args, rank: int, number: int) -> dict:
    """One course. Returns what it was, how long it took and the mean loss of each lesson's last 50 steps."""
    course = COURSES[number]
    rng = random.Random(f"training {args.seed} {rank}{number or ''}")
    plan = [(kinds, max(1, round(steps * args.scale)), count) for kinds, steps, count in course.lessons]
    horizon, step = max(2, course.horizon * args.scale), 0
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=course.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    losses, began = {}, time.time()
    model.train()
    for kinds, steps, count in plan:
        recent = {kind: [] for kind in kinds}
        for _ in range(steps):
            kind = kinds[step % len(kinds)]
            curve = 0.02 + 0.98 * (1 + math.cos(math.pi * step / horizon)) / 2
            for group in optimizer.param_groups:
                group["lr"] = course.rate * min(1, (step + 1) / course.warmup) * curve
            if kind == "eyes":
                loss = eyes.loss(model, rng, count // WORKERS)
            else:
                loss = answer_loss(model, writer.batch(rng, kind, count // WORKERS))
            optimizer.zero_grad()
            loss.backward()
            add_up_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            recent[kind] = [*recent[kind][-49:], loss.item()]
            step += 1
            if step % 250 == 0 and rank == 0:
                torch.save(model.state_dict(), args.out / "latest.pt")  # to look at while it learns
            if step % 25 == 0 and rank == 0:
                means = ", ".join(f"{name} {mean(values[-25:]):.4f}" for name, values in recent.items())
                log(f"course {number + 1}, step {step}: {means}, {time.time() - began:.0f} s")
        losses |= {name: round(mean(values), 4) for name, values in recent.items()}
    return vars(course) | {"minutes": round((time.time() - began) / 60, 1), "loss": losses}


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def add_up_gradients(model) -> None:
    """The mean gradient of all workers, in every worker."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients]) / WORKERS
    torch.distributed.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def save(model, folder: Path, figures: dict) -> None:
    """Weights in bf16, settings that transformers 4.57 and 5.x both read, and the figures of this run."""
    model.to(torch.bfloat16).save_pretrained(folder)
    write_settings(folder)
    write_json(folder / "training.json", figures)


def write_settings(folder: Path) -> None:
    """Picture settings; and config and tokenizer in words that transformers 4.57 knows, as 5 does."""
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
    pictures = {"image_processor_type": "Qwen2VLImageProcessor"}
    pictures |= {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    pictures |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    pictures |= {"size": {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}}
    write_json(folder / "preprocessor_config.json", pictures)


def read_json(file: Path) -> dict:
    return json.loads(file.read_text("utf-8"))


def write_json(file: Path, data: dict) -> None:
    file.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def log(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
