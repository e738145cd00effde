"""How fast is a critique? The engine against transformers' `generate`, in one run.

    python benchmarks/engine.py [--quick] [--shape 0.4b | --model DIR] [--candidates 1 8] [--profile]

For text-to-image and edit tasks, and for each number of candidates of one request:

alone    the usual way: one image at a time, image processor, `generate` up to the end token
batch    `generate` on all candidates in one left-padded batch
full     the engine, complete critiques with a refined request
scores   the engine, up to the last score

All write the same answer of about 650 tokens. Random weights write no critique, so its tokens are given (see
_random_model.py); everything is computed all the same. Figures:

ratio_TASK_N_full, ratio_TASK_N_scores   seconds of `alone` divided by seconds of the engine, N candidates
ratio_TASK_N_batch                       the same for the left-padded batch
forwards_share_TASK_full, _scores        forward passes per critique, divided by tokens of a complete critique
ratio_preprocess_8                       transformers' image processor against ours, 8 images of 1024 x 1024
watch_share                              share of the time that goes into progress and Stop
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import torch
from _common import close
from _random_model import SHAPES, lead, make, reference
from _reference import processor

from rr_models.critics.base import Question
from rr_models.critics.local import LocalCritic, load
from rr_models.critics.options import JudgeOptions
from rr_models.engine.engine import Engine
from rr_models.engine.kv_cache import KVCache
from rr_models.engine.model_runner import ModelRunner
from rr_models.images import pixel_values

REQUEST = "A red fox in the snow, beside an old wooden fence, in the light of an early morning."
SIDE = 1024
WAYS = ("batch", "full", "scores")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="the smallest shape, small images")
    options.add_argument("--shape", choices=SHAPES, default="0.4b", help="random weights (default: 0.4b)")
    options.add_argument("--model", type=Path, help="a model folder instead")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    options.add_argument("--candidates", type=int, nargs="+", default=[1, 8])
    options.add_argument("--tasks", nargs="+", choices=("t2i", "edit"), default=["t2i", "edit"])
    options.add_argument(
        "--ways", nargs="+", choices=WAYS, default=WAYS, help="which of these to compare with `alone`"
    )
    options.add_argument("--side", type=int, default=SIDE, help="side length of the images, in pixels")
    options.add_argument(
        "--alone",
        type=int,
        default=1,
        help="candidates timed in the usual way; each takes the same time (default: 1)",
    )
    options.add_argument("--eager", action="store_true", help="without CUDA graphs")
    options.add_argument("--profile", action="store_true", help="show where the time of the first task goes")
    args = options.parse_args()
    if args.quick:
        args.shape, args.side, args.alone = "tiny", 256, 1

    dtype = args.dtype and getattr(torch, args.dtype)
    if args.model:
        critic = load(args.model, args.device, dtype or "auto")
    else:
        critic = make(args.shape, args.device, dtype)
    lead(critic)
    size = sum(p.numel() for p in critic.model.parameters())
    say(f"{critic!r}, {size:,} parameters, torch {torch.__version__}")
    say(
        f"{torch.get_num_threads()} thread(s); " + (torch.cuda.get_device_name() if on_gpu(critic) else "CPU")
    )
    if args.profile:
        profile(critic, asked(args.tasks[0], 8, args.side))
        return
    figures = {"shape": args.model.name if args.model else args.shape, "dtype": str(critic.model.dtype)[6:]}
    figures["ratio_preprocess_8"] = preprocessing(critic)
    for task in args.tasks:
        figures |= compare(critic, task, args)
    figures["watch_share"] = watching(critic, args.side)
    close(figures)


def compare(critic: LocalCritic, task: str, args) -> dict:
    """All figures of a task: `alone` once, then the other ways for each number of candidates."""
    see = processor(critic.preprocessing)
    answers: list[list[int]] = []
    few = asked(task, args.alone, args.side)
    each, peak = timed(critic, lambda: answers.extend(reference(critic, [q], see)[0] for q in few))
    each /= args.alone
    tokens = len(answers[0]) + 1
    figures = {}
    for candidates in args.candidates:
        say(f"\n{task}, {candidates} candidate(s), {tokens} tokens each\n")
        say(row("alone", each * candidates, 1, peak, tokens * candidates))
        figures |= ours(critic, task, candidates, args, each * candidates, tokens)
    return figures


def ours(critic: LocalCritic, task: str, candidates: int, args, alone: float, tokens: int) -> dict:
    questions, see = asked(task, candidates, args.side), processor(critic.preprocessing)
    figures = {}
    if candidates > 1 and "batch" in args.ways:
        batch, peak = timed(critic, lambda: reference(critic, questions, see))
        say(row("batch", batch, alone / batch, peak, tokens))
        figures[f"ratio_{task}_{candidates}_batch"] = alone / batch
    for detail in ("full", "scores"):
        if detail not in args.ways:
            continue
        graphs = {"cuda_graphs": False} if args.eager else {}
        options = JudgeOptions(detail=detail, batch_size=candidates, **graphs)
        judge = partial(critic.judge, questions, options)
        lead(critic)  # start again with an empty encoder cache
        found: list = []
        seconds, peak = timed(critic, lambda into=found, judge=judge: into.extend(judge()))
        if detail == "full":  # the same answers, token for token
            critics = [critique.source["tokens"] for critique in found]
            assert critics == [tokens - 1] * candidates, critics
        work = critic.generator.stats
        share = sum(job.completion.forwards for job in critic.generator.jobs) / candidates
        say(row(detail, seconds, alone / seconds, peak, work.forwards, work.tokens, work.forced_tokens))
        figures[f"ratio_{task}_{candidates}_{detail}"] = alone / seconds
        figures[f"forwards_share_{task}_{detail}"] = share / tokens
        figures[f"peak_{task}_{candidates}_{detail}"] = peak
    return figures


def row(
    name: str,
    seconds: float,
    ratio: float,
    peak: int,
    forwards: int,
    tokens: int = 0,
    forced_tokens: int = 0,
) -> str:
    memory = f"{peak / 2**30:6.2f} GiB" if peak else ""
    counts = f"{tokens} tokens, {forced_tokens} of them forced" if tokens else ""
    return f"{name:8}{seconds:9.2f} s {ratio:6.2f} x {memory} {forwards:6} forwards  {counts}"


def preprocessing(critic: LocalCritic) -> float:
    how = critic.preprocessing
    images = [question.images[0].pixels for question in asked("t2i", 8, SIDE)]
    see, device = processor(how), critic.model.device

    def each(work) -> None:
        for image in images:  # like the engine, which frees the patches of one before it makes the next
            work(image)

    theirs = timed(critic, lambda: each(lambda image: see(image)[0].to(device)), times=5)[0]
    ours = timed(critic, lambda: each(lambda image: pixel_values(image, how, device)), times=5)[0]
    say(f"8 images of {SIDE} x {SIDE} to patches: transformers {theirs:.3f} s, ours {ours:.3f} s")
    return theirs / ours


def watching(critic: LocalCritic, side: int) -> float:
    """Share of the time that goes into reporting progress after every step."""
    spent = 0.0

    class Timed(Engine):
        def run(self, *arguments):
            *others, on_step = arguments

            def timed_on_step():
                nonlocal spent
                began = time.perf_counter()
                on_step()
                spent += time.perf_counter() - began

            super().run(*others, timed_on_step)

    engine, questions = critic.engine, asked("t2i", 4, side)
    critic.generator.engine = Timed(critic.model)
    try:
        options = JudgeOptions(detail="scores")
        seconds = timed(critic, lambda: critic.judge(questions, options, lambda done, total: None))[0]
    finally:
        critic.generator.engine = engine
    return spent / seconds


def profile(critic: LocalCritic, questions: list[Question]) -> None:
    """Where the time goes: by part of the engine, then by kernel in a step of all sequences."""
    spent: dict[str, list[float]] = {}

    def measured(owner, name: str, label) -> None:
        before = getattr(owner, name)

        def work(*args, **options):
            seconds = timed(critic, lambda: found.append(before(*args, **options)))[0]
            spent.setdefault(label(*args), []).append(seconds)
            return found.pop()

        found: list = []
        setattr(owner, name, work)

    measured(critic.model.model.visual, "forward", lambda *_: "vision tower, an image")
    measured(ModelRunner, "prefill", lambda _, row, start, hidden, *__: f"prompt, {hidden.shape[1]} tokens")
    measured(ModelRunner, "step", lambda _, ids, *__: f"step, {len(ids)} x {ids.shape[1]} tokens")
    measured(ModelRunner, "logits", lambda _, hidden: f"logits, {hidden[..., 0].numel()} tokens")
    options = {
        "detail": "scores",
        "batch_size": len(questions),
        "cuda_graphs": False,
    }  # a graph cannot be timed inside
    whole = timed(critic, lambda: critic.judge(questions, JudgeOptions(**options)))[0]
    say(f"\n{len(questions)} candidates, scores only: {whole:.1f} s\n")
    for name, times in sorted(spent.items(), key=lambda part: -sum(part[1])):
        say(f"{name:28}{len(times):6} times{1000 * sum(times) / len(times):9.1f} ms{sum(times) / whole:7.1%}")

    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiling

    what = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu(critic) else [])
    by = "self_device_time_total" if on_gpu(critic) else "self_cpu_time_total"
    for rows in (1, len(questions)):
        runner = ModelRunner(critic.model, KVCache(critic.model, rows, 2048))
        numbers = torch.full((rows, 1), 1500).to(critic.model.device)
        mask = torch.arange(1536, device=numbers.device) <= numbers[..., None]
        with torch.inference_mode(), profiling(activities=what) as found:
            for _ in range(5):
                runner.logits(runner.step(numbers, numbers, numbers, mask))
        say(f"\nFive steps of {rows} sequence(s) after 1,500 tokens each")
        say(found.key_averages().table(sort_by=by, row_limit=8, max_name_column_width=40))


def asked(task: str, candidates: int, side: int) -> list[Question]:
    generator = torch.Generator().manual_seed(1)
    images = [smooth(side, generator) for _ in range(candidates + 1)]
    sources = (images[-1],) if task == "edit" else ()
    return [Question(task, REQUEST, (image,), sources) for image in images[:-1]]


def smooth(side: int, generator: torch.Generator) -> torch.Tensor:
    blots = torch.rand(1, 3, side // 16, side // 16, generator=generator)
    return (
        torch.nn.functional.interpolate(blots, size=(side, side), mode="bicubic")[0]
        .movedim(0, -1)
        .clamp(0, 1)
    )


def timed(critic: LocalCritic, work, times: int = 1) -> tuple[float, int]:
    """Seconds, the lowest of `times` measurements, and on a GPU its peak memory in bytes.

    On a single CPU thread this is processor time, which other programs disturb less.
    """
    clock = time.perf_counter if on_gpu(critic) or torch.get_num_threads() > 1 else time.process_time
    best = float("inf")
    for _ in range(times):
        if on_gpu(critic):
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        began = clock()
        work()
        if on_gpu(critic):
            torch.cuda.synchronize()
        best = min(best, clock() - began)
    return best, torch.cuda.max_memory_allocated() if on_gpu(critic) else 0


def on_gpu(critic: LocalCritic) -> bool:
    return critic.model.device.type == "cuda"


def say(line: str) -> None:
    print(line, flush=True, file=sys.stdout)


if __name__ == "__main__":
    main()
