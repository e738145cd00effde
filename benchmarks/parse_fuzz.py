"""Does any text make the parser raise or read a score outside the scale, and what does parsing cost?

    python benchmarks/parse_fuzz.py [--quick] [--n 200000] [--seed 1]

Answers are mutations of those of the tests (tests/data/answers): lines shuffled, dropped, doubled, cut and
copied from other answers, characters changed, Unicode inserted, words repeated. Only the seed decides which.

answers             number of answers parsed, each under one of the four tasks, a third of them as cut off
exceptions          number of them that made the parser raise
out_of_scale        number of them that gave a score outside the scale
complete            share in which every score could be read
ms_per_1000_tokens  milliseconds of CPU time for an answer of 1,000 words and symbols, the best of many runs
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from _common import close

from rr_models.judgement.aspects import RATIONAL_REWARDS, VIESCORE
from rr_models.judgement.critique import COMPLETE
from rr_models.judgement.task import Task
from rr_models.parsing.parse import parse, parse_answer

ANSWERS = Path(__file__).resolve().parents[1] / "tests" / "data" / "answers"
ALL_TASKS = tuple(Task)
NOISE = "#*_-:：.,/()[]{}|`\"'“”<>~0123456789abXYNA \n\t\r\0\u200b\u3000\ufeff½٣①🙂评分é\u0301"
FRAGMENTS = (
    ["## Score: 4.0", "Score:", "N/A", "1. Text Faithfulness:", "# Summary:", "<think>", "</think>", "```"]
    + ["Score A: 3.0, Score B: 2", "## Winner: Image A", "| Text Rendering | 3 |", "Refined Request: x", "{"]
    + [
        "评分：3.5",
        "９" * 30,
        "3.0-3.5",
        "8/10",
        "1" * 500,
        "I'm sorry",
        "**",
        "\r",
        "-4",
        "1e9",
        "4.5",
        "inf",
    ]
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="5,000 answers instead of 200,000")
    options.add_argument("--n", type=int, default=200_000, help="answers (default: 200,000)")
    options.add_argument("--seed", type=int, default=1)
    args = options.parse_args()
    n = 5_000 if args.quick else args.n

    began = time.perf_counter()
    exceptions = out_of_scale = complete = 0
    for number, (text, task, truncated, profile) in enumerate(mutants(n, args.seed), 1):
        try:
            result = parse_answer(text, task, "a request", truncated=truncated, profile=profile)
        except Exception as error:  # any exception is a finding
            exceptions += 1
            print(f"{type(error).__name__}: {error}\n{text!r}\n", file=sys.stderr)
            continue
        out_of_scale += not all(profile.worst <= score <= profile.best for score in scores(result))
        complete += result.status == COMPLETE
        if number % 1000 == 0:
            print(f"\r{number} of {n} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    close(
        {
            "answers": n,
            "exceptions": exceptions,
            "out_of_scale": out_of_scale,
            "complete": complete / n,
            "ms_per_1000_tokens": cost(),
            "seconds": time.perf_counter() - began,
        }
    )


def scores(result) -> Iterator[float]:
    """Every score that was read."""
    for aspect in result.aspects:
        for name in ("score", "score_a", "score_b"):
            if (score := getattr(aspect, name, None)) is not None:
                yield score


def mutants(n: int, seed: int) -> Iterator[tuple]:
    """(text, task, truncated, profile), n times; the same for the same seed."""
    rng = random.Random(f"parse fuzz {seed}")
    answers = []
    for file in sorted(ANSWERS.glob("*.txt")):
        about = file.with_suffix(".json")
        task = json.loads(about.read_text(encoding="utf-8"))["task"] if about.is_file() else "t2i"
        answers.append((file.read_text(encoding="utf-8"), task))
    for _ in range(n):
        text, task = rng.choice(answers)
        for _ in range(rng.randint(1, 4)):
            text = rng.choice(MUTATIONS)(text, rng.choice(answers)[0], rng)[:20_000]
        task = rng.choice(ALL_TASKS) if rng.random() < 0.1 else task
        yield text, task, rng.random() < 1 / 3, VIESCORE if rng.random() < 0.05 else RATIONAL_REWARDS


def _shuffle(text: str, _: str, rng: random.Random) -> str:
    lines = text.split("\n")
    start = rng.randrange(len(lines))
    shuffled = lines[start : start + rng.randint(2, 8)]
    rng.shuffle(shuffled)
    return "\n".join(lines[:start] + shuffled + lines[start + len(shuffled) :])


def _drop_lines(text: str, _: str, rng: random.Random) -> str:
    return "\n".join(line for line in text.split("\n") if rng.random() > 0.1)


def _double_lines(text: str, _: str, rng: random.Random) -> str:
    return "\n".join(line for line in text.split("\n") for _ in range(1 + (rng.random() < 0.1)))


def _splice(text: str, other: str, rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]


def _borrow_lines(text: str, other: str, rng: random.Random) -> str:
    lines, others = text.split("\n"), other.split("\n")
    for _ in range(rng.randint(1, 4)):
        lines.insert(rng.randint(0, len(lines)), rng.choice(others))
    return "\n".join(lines)


def _cut(text: str, _: str, rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))]


def _noise(text: str, _: str, rng: random.Random) -> str:
    characters = list(text)
    for _ in range(rng.randint(1, 12)):
        index = rng.randint(0, len(characters))
        characters[index : index + rng.randint(0, 2)] = rng.choice(NOISE)
    return "".join(characters)


def _unicode(text: str, _: str, rng: random.Random) -> str:
    index = rng.randint(0, len(text))
    inserted = "".join(
        chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))) for _ in "1234"
    )
    return text[:index] + inserted + text[index:]


def _insert_fragment(text: str, _: str, rng: random.Random) -> str:
    index = rng.randint(0, len(text))
    fragment = rng.choice(("", "\n")) + rng.choice(FRAGMENTS) + rng.choice(("", "\n"))
    return text[:index] + fragment + text[index:]


def _renumber(text: str, _: str, rng: random.Random) -> str:
    return re.sub(r"[0-9]", lambda digit: str(rng.randrange(10)) if rng.random() < 0.2 else digit[0], text)


def _repeat(text: str, _: str, rng: random.Random) -> str:
    index = rng.randint(0, len(text))
    return text[:index] + text[max(0, index - rng.randint(1, 200)) : index] * rng.randint(2, 30)


MUTATIONS = (
    _shuffle,
    _drop_lines,
    _double_lines,
    _splice,
    _borrow_lines,
    _cut,
    _noise,
    _unicode,
    _insert_fragment,
)
MUTATIONS += (_renumber, _repeat)


def cost() -> float:
    """Milliseconds for one answer of 1,000 words and symbols, in lines and lists as critics write them."""
    sentence = (
        "The fur and the light are plausible, but one paw has six toes and its shadow falls the wrong way."
    )
    listed = "\n".join(f"- **Point {i}:** {sentence}" for i in range(3))
    aspects = "\n".join(
        f"{number}. {aspect.name}:\n## Justification: {sentence}\n{listed}\n{sentence}\n## Score: 3.{number}"
        for number, aspect in enumerate(RATIONAL_REWARDS.edit, 1)
    )
    text = (
        f"# User Request Analysis\n{sentence}\n{sentence}\n# Detailed Judgement\n{aspects}\n"
        f"# Summary: {sentence}\n"
        f"# User Request Refinement:\n## Refinement Comments: {sentence}\n{listed}\n## Refined Request: "
    )
    while len(re.findall(r"\w+|[^\w\s]", text)) < 1000:
        text += f"{sentence}\n"
    best = float("inf")
    for _ in range(12):
        began = time.process_time()
        for _ in range(25):
            parse(text, "edit", "a request")
        best = min(best, (time.process_time() - began) / 25)
    return best * 1000


if __name__ == "__main__":
    main()
