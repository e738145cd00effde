"""The critic at full size on a GPU: memory, loading, and decode steps against the GPU's bandwidth.

    python benchmarks/card.py [--quick] [--shape 8b] [--folder DIR]

Random weights, written to a folder (17.5 GB for 8b) and loaded in each precision. Figures:

step_ms_N, step_ms_N_eager  a decode step of N answers after 2,000 tokens each, from a CUDA graph and without
roofline_N                  bytes that the step must read, divided by those that the GPU copies in that time
same_*                      whether answers are bit-equal alone, in another order, and without graphs
PRECISION_load_s            seconds to load the folder onto the GPU
PRECISION_weights_gb        what the GPU then holds, in GB (1e9 bytes)
PRECISION_peak_gb_N         peak while N images are judged, and what had been estimated (_estimate_gb_N)
PRECISION_step_ms_N         a decode step there, including the host's work between steps
PRECISION_kept_gb           what the engine keeps between calls: cache and graphs
PRECISION_stopped_gb        what Stop in mid-run leaves besides the weights and what is kept
PRECISION_left_gb           what is left once the critic has been unloaded
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch
from _common import close
from _random_model import SHAPES, make
from _reference import settings
from engine import asked, say

from rr_models.critics.local import LocalCritic, load
from rr_models.critics.options import JudgeOptions
from rr_models.engine.cuda_graphs import PROOFS, WARMUP_CALLS, CudaGraphCache
from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner
from rr_models.engine.scheduler import PADDED_BATCH_SIZE

PRECISIONS = ("bf16", "fp8", "int8", "4-bit")
BEHIND, COLUMNS, STEPS = 2000, 2560, 40


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="the smallest shape, small images")
    options.add_argument("--shape", choices=SHAPES, default="8b")
    options.add_argument(
        "--folder", type=Path, help="where to write the weights (default: a temporary folder)"
    )
    options.add_argument("--precisions", nargs="*", choices=PRECISIONS, default=PRECISIONS)
    args = options.parse_args()
    shape, side = ("tiny", 256) if args.quick else (args.shape, 1024)
    torch.cuda.init()
    say(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, shape {shape}")
    critic = make(shape, "cuda")
    figures = steps(critic) | same(critic)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        written(critic, Path(folder))
        del critic
        for precision in args.precisions:
            figures |= loaded(Path(folder), precision, side)
    close({"shape": shape, "card": torch.cuda.get_device_name()} | figures)


def steps(critic: LocalCritic) -> dict:
    """Milliseconds of a step, and its share of the GPU's bandwidth."""
    blocks = torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(blocks)
    bandwidth = 2 * len(blocks) / seconds(target.copy_, blocks)
    del blocks, target
    settle()  # before anything else takes their place
    say(f"a copy moves {bandwidth / 1e9:,.0f} GB/s")
    text, figures = critic.model.model.language_model, {}
    weights = sum(p.nbytes for part in (text.layers, critic.model.lm_head) for p in part.parameters())
    with torch.inference_mode():
        for rows in (1, PADDED_BATCH_SIZE):
            runner = ModelRunner(critic.model, KVCache(critic.model, rows, COLUMNS))
            numbers = torch.full((PADDED_BATCH_SIZE, 1), BEHIND, device="cuda")
            mask = torch.arange(COLUMNS, device="cuda") <= numbers[:rows, :, None]
            inputs = numbers, numbers, numbers[:rows], mask, torch.zeros_like(numbers)
            replay = CudaGraphCache(runner.forward)
            for _ in range(WARMUP_CALLS + PROOFS + 1):
                recorded = replay(*inputs)
            equal = torch.equal(recorded, runner.forward(*inputs))
            eager, graph = seconds(runner.forward, *inputs), seconds(replay, *inputs)
            kept = (
                sum(cache[0, :, :BEHIND].nbytes for cache in (*runner.cache.keys, *runner.cache.values))
                * rows
            )
            figures[f"step_ms_{rows}_eager"], figures[f"step_ms_{rows}"] = 1000 * eager, 1000 * graph
            figures[f"roofline_{rows}"] = (weights + kept) / bandwidth / graph
            figures[f"replay_equal_{rows}"] = equal
            say(
                f"a step of {rows}: {1000 * eager:.1f} ms, from a graph {1000 * graph:.1f} ms, equal: {equal}"
            )
            say(f"{(weights + kept) / 1e9:.1f} GB, {figures[f'roofline_{rows}']:.0%} of a copy's bandwidth")
    return figures


def seconds(work, *inputs, times: int = 20) -> float:
    work(*inputs)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        work(*inputs)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def same(critic: LocalCritic) -> dict:
    """Answers of a random model to images of two sizes: together, alone, in reverse, without graphs."""
    questions = asked("t2i", 2, 256) + asked("t2i", 2, 512)

    def judged(questions, **how) -> list:
        found = critic.judge(questions, JudgeOptions(detail="scores", max_new_tokens=200, **how))
        return [(one.text, [asdict(aspect) for aspect in one.aspects]) for one in found]

    together = judged(questions)
    figures = {
        "same_alone": together == [judged([question])[0] for question in questions],
        "same_reversed": together == judged(questions[::-1])[::-1],
        "same_eager": together == judged(questions, cuda_graphs=False),
        "same_two_rows": together == judged(questions, batch_size=2),
    }
    say(", ".join(f"{name}: {equal}" for name, equal in figures.items()))
    return figures


def written(critic: LocalCritic, folder: Path) -> None:
    critic.model.save_pretrained(folder)
    critic.tokenizer.save_pretrained(folder)
    config = json.dumps(settings(critic.preprocessing))
    (folder / "preprocessor_config.json").write_text(config, "utf-8")


class Enough(Exception):
    """Stop."""


def loaded(folder: Path, precision: str, side: int) -> dict:
    settle()
    before, began = torch.cuda.memory_allocated(), time.perf_counter()
    critic = load(folder, "cuda", precision)
    torch.cuda.synchronize()
    figures = {f"{precision}_load_s": time.perf_counter() - began}
    held = torch.cuda.memory_allocated()
    figures[f"{precision}_weights_gb"] = (held - before) / 1e9
    for images in (1, 4, 8):
        figures |= {
            f"{precision}_{name}_{images}": value for name, value in peak(critic, images, side, held).items()
        }
    settle()
    kept = critic.engine.nbytes
    figures[f"{precision}_kept_gb"] = kept / 1e9
    figures[f"{precision}_stopped_gb"] = (torch.cuda.memory_allocated() - held - kept) / 1e9
    critic.weights.unload()
    del critic
    settle()
    figures[f"{precision}_left_gb"] = (torch.cuda.memory_reserved() - before) / 1e9
    say(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    return figures


def peak(critic: LocalCritic, images: int, side: int, held: int) -> dict:
    """Prompts of `images` images and some steps; the cache is as large as for complete answers."""
    questions, times = asked("t2i", images, side), []

    def watch(done: int, total: int) -> None:
        times.append(time.perf_counter())
        if len(times) > images + STEPS:
            raise Enough

    critic.engine.release()
    settle()
    torch.cuda.reset_peak_memory_stats()
    try:
        critic.judge(questions, JudgeOptions(batch_size=images), on_progress=watch)
    except Enough:
        pass
    most = torch.cuda.max_memory_allocated()
    estimate = held + critic.memory_estimate(questions).total(images)
    step = sorted(b - a for a, b in zip(times[-STEPS // 2 :], times[-STEPS // 2 + 1 :], strict=False))
    return {"peak_gb": most / 1e9, "estimate_gb": estimate / 1e9, "step_ms": 1000 * step[len(step) // 2]}


def settle() -> None:
    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
