"""Guided writing: the form of an answer as a script for decode/, so that every critique ends and is complete.

The headings are said instead of asked for, a score slot admits nothing but a score, and a text that fills its
budget is closed at the end of a sentence. Everything else is the critic's own: where it keeps to the form by
itself, a guided answer reads the very same as a free one. What was written is recorded part by part, so that
nothing in a text can be taken for a heading.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..engine.program import Choice, Draft, Force, Program, Sample, Select, Trie
from ..judgement.aspects import Profile
from ..judgement.task import Task
from ..prompting.rubric import TEST_TIME

SCORES, CRITIQUE, FULL = "scores", "critique", "full"
DETAILS = (SCORES, CRITIQUE, FULL)
"""How much is written: up to the last score; up to the summary; a better request too."""

NOT_APPLICABLE = "N/A"
TEXT, SCORE, WINNER = "text", "score", "winner"
WINNERS = {"Image A": "A", "Image B": "B", "It's a tie": "tie"}

_OVER = 32  # tokens that a text may take beyond its budget to come to the end of a sentence
_LEAST = 8  # tokens that every text gets, however short the whole must be
_SLOT = 16  # tokens that no score or winner fills
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")
_STEPS = (0.1, 1, 5, 10, 50, 100, 500, 1000)
_MOST_WORDS = 101  # more scores than this to choose from, and a coarser step is taken


@dataclass(frozen=True)
class Section:
    """One heading and what belongs under it. `name` is what it is recorded under; `budget` counts a text's
    tokens."""

    name: tuple[str, ...]
    heading: str
    kind: str
    budget: int = 0
    optional: bool = False

    @property
    def most(self) -> int:
        """The most tokens that can stand under the heading."""
        return self.budget + min(_OVER, self.budget) if self.kind == TEXT else _SLOT


@dataclass
class Trace:
    """What was written: texts and choices by the parts' names, and which texts had to be closed, and why."""

    texts: dict[tuple[str, ...], str] = field(default_factory=dict)
    choices: dict[tuple[str, ...], Choice] = field(default_factory=dict)
    scores: dict[tuple[str, ...], float] = field(default_factory=dict)
    closed: dict[tuple[str, ...], str] = field(default_factory=dict)


def sections(task: str, profile: Profile, style: str) -> tuple[Section, ...]:
    """The form of a whole answer, as rubric.py asks for it."""
    pair = Task.parse(task).is_pair
    form = [Section(("analysis",), "" if style == TEST_TIME else "# User Request Analysis\n", TEXT, 160)]
    for number, aspect in enumerate(profile.aspects(task), 1):
        title = ("# Detailed Judgement\n" if number == 1 else "") + f"{number}. {aspect.name}:\n"
        words = [Section((aspect.key, "justification"), "## Justification:", TEXT, 200)]
        if pair:
            judged = [
                Section((aspect.key, "score_a"), "## Score A:", SCORE, optional=aspect.optional),
                Section((aspect.key, "score_b"), "## Score B:", SCORE, optional=aspect.optional),
                Section((aspect.key, "winner"), "## Winner:", WINNER, optional=aspect.optional),
            ]
        else:
            judged = [Section((aspect.key, "score"), "## Score:", SCORE, optional=aspect.optional)]
        first, *rest = [*judged, *words] if style == TEST_TIME and not pair else [*words, *judged]
        form += [replace(first, heading=title + first.heading), *rest]
    form.append(Section(("summary",), "# Summary:", TEXT, 100))
    if not pair:
        form.append(Section(("comments",), "# User Request Refinement:\n## Refinement Comments:", TEXT, 160))
        form.append(Section(("refined",), "## Refined Request:", TEXT, 400))
    return tuple(form)


def asked(form: Sequence[Section], detail: str) -> tuple[Section, ...]:
    """The beginning of a form that this detail takes."""
    if detail not in DETAILS:
        raise ValueError(f"detail must be one of {', '.join(DETAILS)}, not {detail!r}.")
    names = [part.name for part in form]
    if detail == SCORES:
        return tuple(form[: max(at for at, part in enumerate(form) if part.kind != TEXT) + 1])
    return tuple(form[: names.index(("summary",)) + 1]) if detail == CRITIQUE else tuple(form)


class TokenSets:
    """The few tokens of a tokenizer that guiding needs to know. `ends` are those that end an answer."""

    def __init__(self, tokenizer, ends: Sequence[int]):
        self.ids = lru_cache(4096)(lambda text: tuple(tokenizer(text, add_special_tokens=False).input_ids))
        self.decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
        self.text = lru_cache(None)(lambda token: self.decode([token]))
        self.ends = frozenset(ends)
        added = tokenizer.get_added_vocab()
        controls = set(added.values()) - self.ends
        words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.hashes = frozenset(i for i, word in enumerate(words) if word and word.startswith("#"))
        self.newline = self.ids("\n")[0]
        self.digits = tuple(self.ids(str(digit))[0] for digit in range(10))
        self.think = added.get("<think>")
        banned = tuple(sorted(controls))
        self.in_line = Sample(banned, stop=self.ends)
        self.at_line_start = Sample(banned, stop=self.ends | self.hashes)
        first = tuple(sorted(controls - {self.think}))
        self.at_answer_start = Sample(first, stop=self.ends | self.hashes | ({self.think} - {None}))
        self.free = Sample(stop=self.ends)
        self.decimal = Sample(only=(self.newline, *self.digits))
        self.trie = lru_cache(64)(lambda words: Select(Trie({word: self.ids(" " + word) for word in words})))


def fit_to_budget(form: Sequence[Section], lexicon: TokenSets, limit: int) -> tuple[Section, ...]:
    """The form with its texts shortened, all by the same share, so that an answer takes at most `limit`
    tokens; where even the shortest do not fit, the shortest."""
    while budget(form, lexicon) > limit and any(p.budget > _LEAST for p in form):
        texts = sum(part.most for part in form if part.kind == TEXT)
        share = max(0.0, min(0.95, 1 - (budget(form, lexicon) - limit) / texts))
        shorter = [replace(p, budget=max(_LEAST, int(p.budget * share))) if p.budget else p for p in form]
        form = tuple(shorter)
    return tuple(form)


def budget(form: Sequence[Section], lexicon: TokenSets) -> int:
    """The most tokens that an answer of this form can take."""
    think = len(lexicon.ids("\n\n</think>\n\n")) + 1
    return think + sum(len(lexicon.ids(part.heading)) + 1 + part.most for part in form)


def constrained(
    form: Sequence[Section], lexicon: TokenSets, scale: tuple[float, float], record: Trace, start: int = 0
) -> Program:
    """The script of one answer; what it writes is put into `record`. With a `start`, the parts before that
    one are written already, up to a score."""
    if start:
        yield Force((lexicon.newline, *lexicon.ids(form[start].heading)))
    else:
        yield from _open(form[0], lexicon)
    for at in range(start, len(form)):
        part, following = form[at], form[at + 1] if at + 1 < len(form) else None
        if part.kind == TEXT:
            yield from _text(part, following, lexicon, scale, record)
            continue
        line_ended = yield from _slot(part, following, lexicon, scale, record)
        if following:
            yield Force((*(() if line_ended else (lexicon.newline,)), *lexicon.ids(following.heading)))


def _open(part: Section, lexicon: TokenSets) -> Program:
    """The first heading; before it an empty think block, if the critic was trained to begin with one."""
    head = lexicon.ids(part.heading)
    if not head:
        return  # the text itself comes first, and looks after that
    if lexicon.think is not None:
        token = yield _either(head[0], lexicon.think)
        if token == head[0]:
            yield Force(head[1:])
            return
        yield Force(lexicon.ids("\n\n</think>\n\n"))
    yield Force(head)


@lru_cache(64)
def _either(*tokens: int) -> Sample:
    return Sample(only=tokens)


def _text(
    part: Section, following: Section | None, lexicon: TokenSets, scale: tuple[float, float], record: Trace
) -> Program:
    """Free text, up to the heading of what follows or, where nothing does, to the end of the answer.

    Wherever the critic would begin a heading or end its answer, the text ends, and the heading that is due
    is said whole.
    """
    heading = following.heading if following else ""
    guess = _guess((), following, lexicon, scale)
    written: list[int] = []
    line = "" if not part.heading or part.heading.endswith("\n") else None  # None: on the heading's own line
    cut, why = 0, ""
    while True:
        full = len(written) >= part.budget
        if full and (len(written) >= part.most or _sentence_ends(written, lexicon)):
            why = "its length limit"
        elif _repeats(written):
            why = "it repeated itself"
        if why:
            break
        opening = not part.heading and not written
        token = (
            yield lexicon.at_answer_start
            if opening
            else (lexicon.at_line_start if line == "" else lexicon.in_line)
        )
        if token == lexicon.think and opening:
            yield Force((token, *lexicon.ids("\n\n</think>\n\n")))
            continue
        if token in lexicon.ends or (line == "" and token in lexicon.hashes):
            if token in lexicon.ends and following:
                why = "it would have ended here"
            break
        written.append(token)
        text = lexicon.text(token)
        if "\n" in text:
            line = text[text.rindex("\n") + 1 :]
            if guess and not line:
                yield guess
        elif line is not None:
            line += text
        # a heading that does not begin with "#", or began within a token
        if heading and line and len(line) >= min(4, len(heading)) and heading.startswith(line):
            cut = len(line)
            break
    text = lexicon.decode(written)
    record.texts[part.name] = text[: len(text) - cut].strip()
    if why:
        record.closed[part.name] = why
    if heading:
        fresh = line == "" or cut
        yield Force((*(() if fresh else (lexicon.newline,)), *lexicon.ids(heading[cut:])))


def _guess(
    before: tuple[int, ...], part: Section | None, lexicon: TokenSets, scale: tuple[float, float]
) -> Draft | None:
    """That the heading of this part comes next, and the choice under it."""
    if not part:
        return None
    return Draft(
        before + lexicon.ids(part.heading), None if part.kind == TEXT else _words(part, lexicon, scale)
    )


def _words(part: Section, lexicon: TokenSets, scale: tuple[float, float]) -> Select:
    words = tuple(WINNERS) if part.kind == WINNER else score_words(scale)
    return lexicon.trie(words + ((NOT_APPLICABLE,) if part.optional else ()))


def _slot(
    part: Section, following: Section | None, lexicon: TokenSets, scale: tuple[float, float], record: Trace
):
    """A score or a winner. Returns whether the line has been ended behind it."""
    choice = yield _words(part, lexicon, scale)
    record.choices[part.name] = choice
    if part.kind == WINNER or choice.word == NOT_APPLICABLE:
        return False
    word = choice.word
    line_ended = word.endswith("\n")
    record.scores[part.name] = float(word)
    if "." in word and float(word) < scale[1]:  # a second decimal, if the critic wants one
        if guess := _guess((lexicon.newline,), following, lexicon, scale):
            yield guess
        token = yield lexicon.decimal
        line_ended = token == lexicon.newline
        if not line_ended:
            record.scores[part.name] = min(float(word + str(lexicon.digits.index(token))), scale[1])
    return line_ended


@lru_cache(64)
def score_words(scale: tuple[float, float]) -> tuple[str, ...]:
    """All scores of a scale as they are written: in tenths, or coarser on a long one. Whole numbers bring
    their line break, or 1 could not be told from the beginning of 10."""
    worst, best = scale
    step = next((s for s in _STEPS if (best - worst) / s < _MOST_WORDS), (best - worst) / 100)
    numbers = [worst + step * n for n in range(math.floor((best - worst) / step + 1e-6) + 1)]
    return tuple(f"{n:.1f}" if step < 1 else f"{round(n)}\n" for n in numbers)


def _sentence_ends(written: Sequence[int], lexicon: TokenSets) -> bool:
    return lexicon.decode(written[-4:]).rstrip().endswith(_SENTENCE_ENDS)


def _repeats(written: Sequence[int]) -> bool:
    """Whether the last words are one phrase over and over: four times, and 24 tokens at least."""
    for period in _periods(len(written)):
        times = max(4, -(-24 // period))
        if written[-period * times :] == written[-period:] * times:
            return True
    return False


def _periods(length: int) -> Iterator[int]:
    return (period for period in range(1, 33) if period * max(4, -(-24 // period)) <= length)


def expectation(choice: Choice) -> tuple[float, float]:
    """Mean and standard deviation of the scores that could have been written, by their probabilities."""
    chances = {float(word): chance for word, chance in choice.table.items() if word != NOT_APPLICABLE}
    total = math.fsum(chances.values())
    if not total:  # the critic held every score for impossible, to the last bit
        return float(choice.word), 0.0
    mean = math.fsum(score * chance for score, chance in chances.items()) / total
    variance = math.fsum(chance * (score - mean) ** 2 for score, chance in chances.items()) / total
    return mean, math.sqrt(variance)
