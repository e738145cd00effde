"""Does any model card make its reader raise, take long, or need much memory?

    python benchmarks/card_fuzz.py [--quick] [--n 20000] [--seed 1]

Cards are made from the synthetic ones of the tests (tests/cards.py): bytes changed, lines moved, blocks
repeated, brackets and operators nested, huge literals and many code fences put in. The seed alone decides
which.

Time is the processor time of this process, so that a busy machine does not matter; a card over the limit is
read twice more and its best time counts. Memory is the peak that tracemalloc sees while the card is read,
less the size of the card. It counts every allocation of Python, those of ast.parse included, and unlike the
size of the process it depends neither on the machine nor on the cards before.

cards              how many were read
read               templates that came out of them
exceptions         cards that made the reader raise; it has to answer with a notice
over_time          cards that took longer than 50 ms
over_memory        cards that needed more than 20 MB above their size
worst_ms, worst_mb the most that a card took
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import tracemalloc
from collections.abc import Iterator

from _common import close, load_test_helper

from rr_models.prompting import model_card

cards = load_test_helper("cards")
LAYOUTS, PUBLISHED, PUBLISHED_EDIT = cards.LAYOUTS, cards.PUBLISHED, cards.PUBLISHED_EDIT

MAX_MS, MAX_MB = 50, 20
CARDS = [f"# A model\n\n```python\n{code}\n```\n" for code in (*LAYOUTS.values(), PUBLISHED_EDIT)]
CARDS += [
    f"Text\n```bash\npip install x\n```\n\n```python\n{PUBLISHED}\n```\n```python\n{PUBLISHED_EDIT}\n```\n"
]
DEFINITION = "\n```python\ndef build_t2i_messages(prompt, image):\n```\n"
SIGNS = "()[]{}'\"`,.:;=+-*/%<>!@#\\~^|&_ \n\t\r\0\f\ufeff\u2028\U000f0000aAfruRB019é猫"
OPERATORS = ["+ ", "-", "~", "not ", "* ", "** ", "% ", "a.", "a=", "a,", "a;", "a\n", "a < ", "a and "]
OPERATORS += [
    "lambda: ",
    "a if a else ",
    "await ",
    "yield ",
    "*",
    "f'{a}' ",
    "'\\d' ",
    "@a\n",
    "{a: ",
    "(a:=",
]
OPERATORS += ["[a for a in ", "if a:\n    a\nelif a:\n    a\n", '"""', "'''", "\\\n"]
LITERALS = ["9" * 5000, "'a' * 10**9", "'a' * 999999999 * 999999999", "'" + "a" * 30_000 + "'", "10**10**10"]
LITERALS += ["f'{prompt:>1000000000}'", "'{:>1000000000}'.format(prompt)", "'{x!r:>999}'.format(x=prompt)"]
LITERALS += [
    "f'{prompt:{prompt:{prompt}}}'",
    "'{:{}}'.format(prompt, prompt)",
    "'<image>' * 99999",
    "'{0[0]}'",
]
EXPRESSIONS = [
    "prompt",
    "parts",
    "content",
    "parts[0]",
    "parts[9]",
    "parts[-1]",
    "image_bytes",
    "''",
    "0",
    "[]",
]
EXPRESSIONS += [
    "prompt + prompt",
    "'{}'.format(prompt)",
    "'{a}{a}'.format(a='<image>')",
    "f'{prompt}<image>'",
]
EXPRESSIONS += [
    "'<image>'.split('<image>')",
    "[*content]",
    "content * 9",
    "parts + parts",
    "b'x'",
    "lambda: parts",
]
EXPRESSIONS += [
    "(content := [])",
    "'\\ud800'",
    "'a'" + " + 'a'" * 18,
    "1 if prompt else 2",
    "True",
    *LITERALS,
]
STATEMENTS = [
    "x = prompt",
    "prompt = prompt + prompt",
    "system_prompt = system_prompt + system_prompt",
    "'x'",
]
STATEMENTS += ["parts = prompt.split('<image>')", "system_prompt = '{a}{a}'.format(a=system_prompt)", "pass"]
STATEMENTS += [
    "if len(parts) > 0:\n        content.append({'type': 'text', 'text': parts[0]})",
    "content = []",
]
STATEMENTS += [
    "user_instruction = user_instruction + 'x<image>' + system_prompt",
    "while True: pass",
    "x = ''",
]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="1,000 cards instead of 20,000")
    options.add_argument("--n", type=int, default=20_000, help="cards (default: 20,000)")
    options.add_argument("--seed", type=int, default=1)
    args = options.parse_args()
    n = 1_000 if args.quick else args.n

    began = time.perf_counter()
    read = exceptions = over_time = over_memory = 0
    worst_ms = worst_mb = largest = 0.0
    for number, card in enumerate(mutants(n, args.seed), 1):
        largest = max(largest, len(card.encode()))
        try:
            read += len(model_card.parse(card).templates)
        except Exception as error:  # any at all is what this looks for
            exceptions += 1
            print(f"{type(error).__name__}: {error}\n{card[:2000]!r}\n", file=sys.stderr)
            continue
        ms, mb = milliseconds(card), megabytes(card)
        worst_ms, worst_mb = max(worst_ms, ms), max(worst_mb, mb)
        over_time += ms > MAX_MS
        over_memory += mb > MAX_MB
        if ms > MAX_MS or mb > MAX_MB:
            print(f"{ms:.1f} ms, {mb:.1f} MB\n{card[:2000]!r}\n", file=sys.stderr)
        if number % 100 == 0:
            print(f"\r{number} of {n} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    close(
        {
            "cards": n,
            "largest_bytes": int(largest),
            "read": read,
            "exceptions": exceptions,
            "over_time": over_time,
            "over_memory": over_memory,
            "worst_ms": worst_ms,
            "worst_mb": worst_mb,
            "seconds": time.perf_counter() - began,
        }
    )


def milliseconds(card: str) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        model_card.parse(card)
        best = min(best, (time.process_time() - began) * 1000)
        if best <= MAX_MS:
            break
    return best


def megabytes(card: str) -> float:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        model_card.parse(card)
        return max(0, tracemalloc.get_traced_memory()[1] - before - len(card.encode())) / 1e6
    finally:
        tracemalloc.stop()


def mutants(n: int, seed: int) -> Iterator[str]:
    """Mutated cards of at most MAX_BYTES bytes, n of them; the same for the same seed."""
    rng = random.Random(f"card fuzz {seed}")
    for _ in range(n):
        card = rng.choice(CARDS)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            card = rng.choice(MUTATIONS)(card, rng)
        yield card.encode("utf-8", "replace")[: model_card.MAX_BYTES].decode("utf-8", "ignore")


def _flip(card: str, rng: random.Random) -> str:
    data = bytearray(card.encode("utf-8", "replace"))
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data.decode("utf-8", "replace")


def _signs(card: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(card))
        card = card[:at] + rng.choice(SIGNS) * rng.choice((0, 1, 1, 3)) + card[at + rng.randint(0, 1) :]
    return card


def _splice(card: str, rng: random.Random) -> str:
    other = rng.choice(CARDS)
    return card[: rng.randint(1, len(card))] + other[rng.randint(0, len(other)) :]


def _lines(card: str, rng: random.Random) -> str:
    lines = card.split("\n")
    start = rng.randrange(len(lines))
    block = lines[start : start + rng.randint(1, 12)]
    if rng.random() < 0.5:
        del lines[start : start + len(block)]
    at = rng.randint(0, len(lines))
    return "\n".join([*lines[:at], *block * rng.choice((1, 2, 20, 400)), *lines[at:]])


def _nested(card: str, rng: random.Random) -> str:
    depth = rng.choice((5, 15, 19, 30, 100, 5000))
    opening = rng.choice(("(", "[", "{", "f(", "f(a=", "{a:", "a[", "(a, ", "[a for a in ", "(lambda: "))
    closing = {"(": ")", "[": "]", "{": "}"}[next(sign for sign in reversed(opening) if sign in "([{")]
    return _put_in(card, opening * depth + "a" + closing * (depth - (rng.random() < 0.3)), rng)


def _chained(card: str, rng: random.Random) -> str:
    return _put_in(card, rng.choice(OPERATORS) * int(10 ** rng.uniform(0.3, 4)) + "1", rng)


def _literal(card: str, rng: random.Random) -> str:
    return _put_in(card, rng.choice(LITERALS), rng)


def _expression(card: str, rng: random.Random) -> str:
    """The card with another expression in place of what is assigned, a text, a name or a number."""
    pattern = rng.choice(
        (r"(?<= = )[^\n(]+$", r'"[^"\n]*"', r"\b(?:parts|content|prompt)\b(?! =)", r"\b\d\b")
    )
    places = [place.span() for place in re.finditer(pattern, card, re.MULTILINE)] or [(0, 0)]
    start, end = rng.choice(places)
    return card[:start] + rng.choice(EXPRESSIONS) + card[end:]


def _statements(card: str, rng: random.Random) -> str:
    """The card with a statement in front of another one, once or more often."""
    places = [place.end() for place in re.finditer(r"^    (?=\w+ = |return)", card, re.MULTILINE)] or [0]
    at = rng.choice(places)
    return card[:at] + f"{rng.choice(STATEMENTS)}\n    " * int(10 ** rng.uniform(0, 2.5)) + card[at:]


def _fences(card: str, rng: random.Random) -> str:
    fence = rng.choice(
        ("```\n", "```python\n", "\n```python\nx\n```\n", "~~~\n", "````\n", "\n```", DEFINITION)
    )
    return _put_in(card, fence * rng.choice((1, 2, 100, 60_000)), rng)


def _put_in(card: str, text: str, rng: random.Random) -> str:
    """The card with the text before an expression, at the start of a line, or anywhere."""
    pattern = rng.choice((r"(?<= = )", r"^(?:    )?", r""))
    at = rng.choice([place.end() for place in re.finditer(pattern, card, re.MULTILINE)] or [0])
    return card[:at] + text + card[at:]


MUTATIONS = (_flip, _signs, _splice, _lines, _nested, _chained, _literal, _expression, _statements, _fences)


if __name__ == "__main__":
    main()
