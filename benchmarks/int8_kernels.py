"""Do the packed int8 kernels judge as dequantizing does, and how fast do they multiply?

    python benchmarks/int8_kernels.py [--quick] [--n 500] [--seed 1] [--compare fp32 int8pack comfy-kitchen]

The built-in Shapes critic judges held-out cases, half of them text-to-image, half edits: with int8 weights
that are dequantized, and with each packed kernel that runs here. comfy-kitchen's is its plain-torch form on
the CPU; its compiled kernels round alike, if not to the last bit. The critic in fp32 shows what int8 changes
anyway.

same_scores_OTHER        share of critiques in which all written scores equal those with dequantized weights
same_text_OTHER          share with the same text, from the first character to the last score
expected_mean_OTHER      how far the expected scores moved, on average
expected_most_OTHER      and at most
ms_WAY_ROWS              milliseconds of so many rows in the seven matrix products of a layer of the 8B shape,
                         which has 36: by int8pack, by dequantizing, and with weights in fp32
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from _common import close, progress
from _random_model import SHAPES
from shapes_critic import question

from rr_models.checkpoints import kernels
from rr_models.checkpoints.model_folder import SHAPES_CRITIC
from rr_models.checkpoints.precision import INT8, Precision
from rr_models.critics.base import Question
from rr_models.critics.local import prepare
from rr_models.critics.options import JudgeOptions
from rr_models.shapes import cases

CPU = torch.device("cpu")
PACKED = {kernel.name: kernel for kernel in (kernels.INT8PACK, kernels.COMFY_KITCHEN)}
ROWS = (1, 8, 64, 512)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--quick", action="store_true", help="20 critiques, a layer of the 0.4b shape")
    options.add_argument("--n", type=int, default=500, help="critiques (default: 500)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--compare", nargs="+", choices=["fp32", *PACKED], default=["fp32", *available()])
    options.add_argument("--products", action=argparse.BooleanOptionalAction, default=True)
    args = options.parse_args()
    n, shape = (20, "0.4b") if args.quick else (args.n, "8b")
    figures: dict = {"n": n, "torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
    if args.products:
        figures |= products(shape)
    figures |= critiques(args.compare, held_out(n, args.seed))
    close(figures)


def available() -> list[str]:
    """The packed kernels whose packages are here."""
    needed = {"int8pack": hasattr(torch, "_weight_int8pack_mm")}
    needed["comfy-kitchen"] = importlib.util.find_spec("comfy_kitchen") is not None
    return [name for name, there in needed.items() if there]


def held_out(n: int, seed: int) -> list[Question]:
    rng = random.Random(f"benchmark {seed}")
    drawn = [cases.random_case(rng, cases.TASKS[i % 2], test=True) for i in range(n)]
    return [question(case, rng) for case in drawn]


def critiques(names: list[str], questions: list[Question]) -> dict:
    dequantized = judged(Precision(INT8, torch.float32), questions)
    figures = {}
    for name in names:
        kernel = PACKED.get(name)
        precision = (
            Precision(INT8, torch.float32, kernel=kernel) if kernel else Precision(name, torch.float32)
        )
        figures |= compared(name, dequantized, judged(precision, questions))
    return figures


def exact_int_mm(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """As torch._int_mm, which is a slow loop on processors without VNNI. float32 holds sums of 1,024
    products of two int8 exactly."""
    assert a.shape[1] <= 1024
    return (a.float() @ b.float()).to(torch.int32)


def judged(precision: Precision, questions: list[Question]) -> list:
    torch._int_mm = exact_int_mm  # pyright: ignore[reportPrivateImportUsage]
    critic = prepare(SHAPES_CRITIC, CPU, precision)
    critic.weights.load(CPU)
    began = time.process_time()
    judgements = critic.judge(
        questions,
        JudgeOptions(batch_size=32, detail="scores"),
        on_progress=progress(precision.label, len(questions)),
    )
    print(file=sys.stderr)
    print(f"{precision.label}: {time.process_time() - began:.0f} s", flush=True)
    return judgements


def compared(name: str, base: list, others: list) -> dict:
    pairs = list(zip(base, others, strict=True))
    moved = [
        abs(a.expected - b.expected)
        for one, other in pairs
        for a, b in zip(one.aspects, other.aspects, strict=True)
        if a.expected is not None and b.expected is not None
    ]
    same_scores = [[a.score for a in x.aspects] == [a.score for a in y.aspects] for x, y in pairs]
    figures = {
        f"same_scores_{name}": sum(same_scores) / len(pairs),
        f"same_text_{name}": sum(x.text == y.text for x, y in pairs) / len(pairs),
        f"expected_mean_{name}": sum(moved) / len(moved),
        f"expected_most_{name}": max(moved),
    }
    print(figures, flush=True)
    return figures


def products(shape: str) -> dict:
    """Times of a layer's products, for each way and number of rows."""
    weights = list(layer_weights(shape))
    ways: dict[str, Callable] = {"fp32": lambda x, whole, *_: F.linear(x, whole)}
    ways["dequantizing"] = lambda x, _, *quantized: kernels.dequantized_linear(x, *quantized)
    if "int8pack" in available():
        ways["int8pack"] = lambda x, _, *quantized: kernels.INT8PACK.multiply(x, *quantized)
    figures = {}
    for rows in ROWS:
        taken = dict.fromkeys((f"ms_{name}_{rows}" for name in ways), 0.0)
        for whole, weight, scale in weights:
            x = torch.randn(rows, whole.shape[1])
            for name, multiply in ways.items():
                seconds = least_seconds(lambda m=multiply, given=(x, whole, weight, scale): m(*given))
                taken[f"ms_{name}_{rows}"] += 1000 * seconds
        print({name: round(value, 1) for name, value in taken.items()}, flush=True)
        figures |= taken
    return figures


def layer_weights(shape: str) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Random weights of a layer in fp32, the same in int8, and their scales."""
    hidden, inner, _, heads, groups, _ = SHAPES[shape][0]
    head = 128
    outputs_inputs = [(heads * head, hidden), (groups * head, hidden), (groups * head, hidden)]
    outputs_inputs += [(hidden, heads * head), (inner, hidden), (inner, hidden), (hidden, inner)]
    for outputs, inputs in outputs_inputs:
        whole = torch.randn(outputs, inputs)
        scale = whole.abs().amax(1) / 127
        yield whole, (whole / scale[:, None]).round().to(torch.int8), scale


def least_seconds(work) -> float:
    """The least CPU seconds of several tries; other programs disturb them less than the clock."""
    taken = []
    while len(taken) < 2 or (len(taken) < 7 and sum(taken) < 2):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


if __name__ == "__main__":
    main()
