"""Guided writing: the form of an answer as a script for decode/, so that every critique ends and is complete.

The headings are said instead of asked for, a score slot admits nothing but a score, and a text that fills its
budget is closed at the end of a sentence. Everything else is the critic's own: where it keeps to the form by
itself, a guided answer has the very same tokens as a free one. What was written is handed back part by part,
so that nothing in a text can be taken for a heading.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from . import critique as data
from .aspects import PAIR_TASKS, Profile
from .critique import AspectScore, Critique
from .decode.script import Ask, Choice, Choose, Say, Script, Trie
from .refined import prompt as refined_request
from .rubric import TEST_TIME
from .verdict import PairScore, Verdict, winner_of

SCORES, CRITIQUE, FULL = "scores", "critique", "full"
DETAILS = (SCORES, CRITIQUE, FULL)
"""How much is written: up to the last score; up to the summary; a better request too."""

NOT_APPLICABLE = "N/A"
TEXT, SCORE, WINNER = "text", "score", "winner"
WINNERS = {"Image A": "A", "Image B": "B", "It's a tie": "tie"}

_OVER = 32  # tokens that a text may take beyond its budget to come to the end of a sentence
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")
_FINEST = 200  # more steps than this and a score is asked for in whole numbers


@dataclass(frozen=True)
class Part:
    """One heading and what belongs under it. `name` is what it is recorded under; `budget` counts a text's
    tokens."""

    name: tuple[str, ...]
    heading: str
    kind: str
    budget: int = 0
    optional: bool = False


@dataclass
class Record:
    """What was written: texts and choices by the parts' names, and which texts had to be closed."""

    texts: dict[tuple[str, ...], str] = field(default_factory=dict)
    choices: dict[tuple[str, ...], Choice] = field(default_factory=dict)
    scores: dict[tuple[str, ...], float] = field(default_factory=dict)
    closed: list[tuple[str, ...]] = field(default_factory=list)


def parts(task: str, profile: Profile, style: str, detail: str = FULL) -> tuple[Part, ...]:
    """The form of an answer, as rubric.py asks for it."""
    if detail not in DETAILS:
        raise ValueError(f"detail must be one of {', '.join(DETAILS)}, not {detail!r}.")
    pair = task in PAIR_TASKS
    form = [Part(("analysis",), "" if style == TEST_TIME else "# User Request Analysis\n", TEXT, 160)]
    for number, aspect in enumerate(profile.aspects(task), 1):
        title = ("# Detailed Judgement\n" if number == 1 else "") + f"{number}. {aspect.name}:\n"
        words = [Part((aspect.key, "justification"), "## Justification:", TEXT, 200)]
        if pair:
            judged = [
                Part((aspect.key, "score_a"), "## Score A:", SCORE, optional=aspect.optional),
                Part((aspect.key, "score_b"), "## Score B:", SCORE, optional=aspect.optional),
                Part((aspect.key, "winner"), "## Winner:", WINNER, optional=aspect.optional),
            ]
        else:
            judged = [Part((aspect.key, "score"), "## Score:", SCORE, optional=aspect.optional)]
        first, *rest = [*judged, *words] if style == TEST_TIME and not pair else [*words, *judged]
        form += [Part(first.name, title + first.heading, first.kind, first.budget, first.optional), *rest]
    if detail == SCORES:
        while form[-1].kind == TEXT:
            form.pop()
        return tuple(form)
    form.append(Part(("summary",), "# Summary:", TEXT, 100))
    if detail == FULL and not pair:
        form.append(Part(("comments",), "# User Request Refinement:\n## Refinement Comments:", TEXT, 160))
        form.append(Part(("refined",), "## Refined Request:", TEXT, 256))
    return tuple(form)


class Lexicon:
    """The few tokens of a tokenizer that guiding needs to know."""

    def __init__(self, tokenizer, ends: Sequence[int]):
        self.ids = lru_cache(None)(lambda text: tuple(tokenizer(text, add_special_tokens=False).input_ids))
        self.decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
        self.ends = tuple(ends)
        controls = set(tokenizer.get_added_vocab().values()) | set(ends)
        self.controls = tuple(sorted(controls))
        words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.hashes = tuple(i for i, word in enumerate(words) if word and word.startswith("#"))
        self.newline = self.ids("\n")[0]
        self.digits = tuple(self.ids(str(digit))[0] for digit in range(10))
        self.think = tokenizer.get_added_vocab().get("<think>")


def budget(form: Sequence[Part], lexicon: Lexicon) -> int:
    """The most tokens that an answer of this form can take."""
    heads = sum(len(lexicon.ids(part.heading)) + 2 for part in form)
    texts = sum(part.budget + _OVER for part in form if part.kind == TEXT)
    return heads + texts + 12 * sum(part.kind != TEXT for part in form) + 16


def guided(form: Sequence[Part], lexicon: Lexicon, scale: tuple[float, float], record: Record) -> Script:
    """The script of one answer; what it writes is put into `record`."""
    first = lexicon.ids(form[0].heading)
    if lexicon.think is not None and first:
        # a critic trained on empty think blocks begins with one; whoever does not starts with the heading
        token = yield Ask(only=(first[0], lexicon.think))
        if token == lexicon.think:
            yield Say((*lexicon.ids("\n\n</think>\n\n"), first[0]))
        yield Say(first[1:])
    else:
        yield Say(first)
    for part, following in zip(form, (*form[1:], None), strict=True):
        if part.kind == TEXT:
            head = lexicon.ids(following.heading) if following else ()
            yield from _text(part, head, lexicon, record)
            continue
        line_ended = yield from _slot(part, lexicon, scale, record)
        if following:
            yield Say((*(() if line_ended else (lexicon.newline,)), *lexicon.ids(following.heading)))


def _text(part: Part, head: tuple[int, ...], lexicon: Lexicon, record: Record) -> Script:
    """Free text, up to the `head` of what follows or, where nothing does, to the end of the answer.

    A line begins with "#" only as the next heading does; then the whole heading is said at once.
    """
    banned = tuple(token for token in lexicon.controls if head or token not in lexicon.ends)
    at_start = tuple({*banned, *lexicon.hashes} - set(head[:1]))
    written: list[int] = []
    fresh = part.heading.endswith("\n") or not part.heading
    while True:
        # words are long in letters and short in tokens: only a look at the text tells where a sentence ends
        full = len(written) >= part.budget
        if full and (len(written) >= part.budget + _OVER or _sentence_ends(written, lexicon)):
            record.closed.append(part.name)
            yield Say(((*(() if fresh else (lexicon.newline,)), *head)) if head else lexicon.ends[:1])
            break
        token = yield Ask(banned=at_start if fresh else banned)
        if token in lexicon.ends:
            break
        if fresh and head and token == head[0] and (written or token in lexicon.hashes):
            yield Say(head[1:])
            break
        written.append(token)
        fresh = token == lexicon.newline or lexicon.decode([token]).endswith("\n")
    record.texts[part.name] = lexicon.decode(written).strip()


def _slot(part: Part, lexicon: Lexicon, scale: tuple[float, float], record: Record):
    """A score or a winner. Returns whether the line has been ended behind it."""
    words = tuple(WINNERS) if part.kind == WINNER else tuple(score_words(scale))
    choice = yield Choose(_trie(lexicon, words + ((NOT_APPLICABLE,) if part.optional else ())))
    record.choices[part.name] = choice
    if part.kind == WINNER or choice.word == NOT_APPLICABLE:
        return False
    word = choice.word
    token = None
    if "." in word and float(word) < scale[1]:  # a second decimal, if the critic wants one
        token = yield Ask(only=(lexicon.newline, *lexicon.digits))
        if token != lexicon.newline:
            word += str(lexicon.digits.index(token))
    record.scores[part.name] = float(word)
    return token == lexicon.newline


def score_words(scale: tuple[float, float]) -> Iterator[str]:
    """All scores of a scale as they are written: in tenths, or in whole numbers on a long one."""
    worst, best = scale
    tenths = round((best - worst) * 10)
    if tenths <= _FINEST:
        yield from (f"{worst + tenth / 10:.1f}" for tenth in range(tenths + 1))
    else:
        yield from (str(number) for number in range(round(worst), round(best) + 1))


@lru_cache(64)
def _trie(lexicon: Lexicon, words: tuple[str, ...]) -> Trie:
    return Trie({word: lexicon.ids(f" {word}") for word in words})


def _sentence_ends(written: Sequence[int], lexicon: Lexicon) -> bool:
    return lexicon.decode(written[-4:]).rstrip().endswith(_SENTENCE_ENDS)


def critique(record: Record, task: str, request: str, profile: Profile, text: str) -> Critique:
    """The critique that was written under guidance; it is complete, whatever the critic wrote."""
    aspects = []
    for aspect in profile.aspects(task):
        words = record.texts.get((aspect.key, "justification"), "")
        score = record.scores.get((aspect.key, "score"))
        if score is None:
            aspects.append(AspectScore(aspect.key, aspect.name, data.NOT_APPLICABLE, justification=words))
            continue
        expected, spread = expectation(record.choices[aspect.key, "score"])
        aspects.append(
            AspectScore(aspect.key, aspect.name, data.SCORED, score, words, expected=expected, spread=spread)
        )
    return Critique(
        task=task,
        request=request,
        aspects=tuple(aspects),
        status=data.COMPLETE,
        analysis=record.texts.get(("analysis",), ""),
        summary=record.texts.get(("summary",), ""),
        refinement_comments=record.texts.get(("comments",), ""),
        refined_request=refined_request(record.texts.get(("refined",), "")),
        text=text,
        notes=_notes(record),
        scale=profile.scale,
    )


def verdict(record: Record, task: str, request: str, profile: Profile, text: str) -> Verdict:
    """The same of a pair. Where one picture got a score and the other N/A, the aspect does not apply."""
    aspects, notes = [], list(_notes(record))
    for aspect in profile.aspects(task):
        words = record.texts.get((aspect.key, "justification"), "")
        a, b = (record.scores.get((aspect.key, name)) for name in ("score_a", "score_b"))
        if a is None or b is None:
            if a is not b:
                notes.append(f"{aspect.name}: N/A for one of the pictures, so it is not compared")
            aspects.append(PairScore(aspect.key, aspect.name, data.NOT_APPLICABLE, justification=words))
            continue
        said = WINNERS.get(record.choices[aspect.key, "winner"].word)
        aspects.append(
            PairScore(aspect.key, aspect.name, data.SCORED, a, b, said or winner_of(a - b, 0), words)
        )
    return Verdict(
        task=task,
        request=request,
        aspects=tuple(aspects),
        status=data.COMPLETE,
        analysis=record.texts.get(("analysis",), ""),
        summary=record.texts.get(("summary",), ""),
        text=text,
        notes=tuple(notes),
        scale=profile.scale,
    )


def expectation(choice: Choice) -> tuple[float, float]:
    """Mean and standard deviation of the scores that could have been written, by their probabilities."""
    chances = {float(word): chance for word, chance in choice.table.items() if word != NOT_APPLICABLE}
    total = math.fsum(chances.values())
    mean = math.fsum(score * chance for score, chance in chances.items()) / total
    variance = math.fsum(chance * (score - mean) ** 2 for score, chance in chances.items()) / total
    return mean, math.sqrt(variance)


def _notes(record: Record) -> tuple[str, ...]:
    closed = ", ".join(" ".join(name) for name in record.closed)
    return (f"closed at their length limit: {closed}",) if closed else ()
