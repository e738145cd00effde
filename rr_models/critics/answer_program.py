"""Constrained decoding: the form of an answer as a program, so that every critique is complete.

The program forces the headings, lets the critic select among the scores and closes a text that has used up
its budget at the end of a sentence. Everything else is the critic's own: where it keeps to the form by
itself, a constrained answer is identical to a free one. The trace records each value by its section, so
nothing in a text can be mistaken for a heading.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ..engine.program import Choice, Draft, Force, Instruction, Program, Sample, Select, Trie
from ..judgement.answer_format import NOT_APPLICABLE_TEXT, Key, Kind, Section, choices

_OVERRUN = 32  # tokens that a text may take beyond its budget to reach the end of a sentence
_MIN_BUDGET = 8  # tokens that every text gets, however short the whole answer must be
_SLOT = 16  # more tokens than any score or winner takes
_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")
_STEPS = (0.1, 1, 5, 10, 50, 100, 500, 1000)
_MAX_SCORE_WORDS = 101  # a scale with more scores than this gets a coarser step
_LONGEST_PHRASE = 32  # tokens of a phrase whose repetition ends a text
_MIN_REPEATS, _MIN_REPEATED_TOKENS = 4, 24


@dataclass
class Trace:
    """What was written, by section: texts, choices and scores; in `closed`, why a text had to be closed."""

    texts: dict[Key, str] = field(default_factory=dict)
    choices: dict[Key, Choice] = field(default_factory=dict)
    scores: dict[Key, float] = field(default_factory=dict)
    closed: dict[Key, str] = field(default_factory=dict)


class TokenSets:
    """The tokens of a tokenizer that constrained decoding must know. `eos` are those that end an answer."""

    def __init__(self, tokenizer, eos: Sequence[int]):
        self.encode = lru_cache(4096)(lambda text: tuple(tokenizer(text, add_special_tokens=False).input_ids))
        self.decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)
        self.text = lru_cache(None)(lambda token: self.decode([token]))
        self.eos = frozenset(eos)
        added = tokenizer.get_added_vocab()
        controls = set(added.values()) - self.eos
        vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.heading_starts = frozenset(
            token for token, text in enumerate(vocabulary) if text and text.startswith("#")
        )
        self.newline = self.encode("\n")[0]
        self.digits = tuple(self.encode(str(digit))[0] for digit in range(10))
        self.think = added.get("<think>")
        self.empty_thought = self.encode("\n\n</think>\n\n")  # after "<think>"
        banned = tuple(sorted(controls))
        self.in_line = Sample(banned, stop=self.eos)
        self.at_line_start = Sample(banned, stop=self.eos | self.heading_starts)
        self.at_answer_start = Sample(
            tuple(sorted(controls - {self.think})),
            stop=self.eos | self.heading_starts | ({self.think} - {None}),
        )
        self.free = Sample(stop=self.eos)
        self.decimal = Sample(only=(self.newline, *self.digits))
        self.select = lru_cache(64)(
            lambda words: Select(Trie({word: self.encode(" " + word) for word in words}))
        )


def max_tokens(section: Section) -> int:
    """The most tokens that the value of a section can take."""
    return section.budget + min(_OVERRUN, section.budget) if section.kind is Kind.TEXT else _SLOT


def max_answer_tokens(sections: Sequence[Section], tokens: TokenSets) -> int:
    """The most tokens that an answer of these sections can take."""
    thought = len(tokens.empty_thought) + 1
    return thought + sum(len(tokens.encode(s.heading)) + 1 + max_tokens(s) for s in sections)


def fit_to_budget(sections: Sequence[Section], tokens: TokenSets, limit: int) -> tuple[Section, ...]:
    """The sections with all texts shortened by the same share, so that an answer takes at most `limit`
    tokens. If even the shortest texts do not fit: the shortest."""
    while (excess := max_answer_tokens(sections, tokens) - limit) > 0:
        texts = [section for section in sections if section.kind is Kind.TEXT]
        if all(text.budget <= _MIN_BUDGET for text in texts):
            break
        share = max(0.0, min(0.95, 1 - excess / sum(map(max_tokens, texts))))
        sections = [
            replace(s, budget=max(_MIN_BUDGET, int(s.budget * share))) if s.kind is Kind.TEXT else s
            for s in sections
        ]
    return tuple(sections)


def constrained_program(
    sections: Sequence[Section], tokens: TokenSets, scale: tuple[float, float], trace: Trace, start: int = 0
) -> Program:
    """The program of one answer; what it writes is put into `trace`. With a `start`, the sections before that
    one are written already, up to a score."""
    return _AnswerWriter(sections, tokens, scale, trace).program(start)


@dataclass(frozen=True)
class _AnswerWriter:
    """The steps of one answer's program."""

    sections: Sequence[Section]
    tokens: TokenSets
    scale: tuple[float, float]
    trace: Trace

    def program(self, start: int) -> Program:
        tokens, sections = self.tokens, self.sections
        if start:
            yield Force((tokens.newline, *tokens.encode(sections[start].heading)))
        else:
            yield from self._first_heading()
        for index in range(start, len(sections)):
            section = sections[index]
            following = sections[index + 1] if index + 1 < len(sections) else None
            if section.kind is Kind.TEXT:
                yield from self._text(section, following)
                continue
            line_ended = yield from self._slot(section, following)
            if following:
                line_end = () if line_ended else (tokens.newline,)
                yield Force((*line_end, *tokens.encode(following.heading)))

    def _first_heading(self) -> Program:
        """The first heading, after an empty think block if the critic was trained to begin with one."""
        tokens = self.tokens
        heading = tokens.encode(self.sections[0].heading)
        if not heading:
            return  # the text itself comes first; `_text` handles the think block
        if tokens.think is not None:
            token = yield _one_of(heading[0], tokens.think)
            if token == heading[0]:
                yield Force(heading[1:])
                return
            yield Force(tokens.empty_thought)
        yield Force(heading)

    def _text(self, section: Section, following: Section | None) -> Program:
        """Free text, up to the heading of `following` or, if None, to the end of the answer.

        Wherever the critic begins a heading or ends its answer, the text ends and the next heading is forced.
        """
        tokens, trace = self.tokens, self.trace
        heading = following.heading if following else ""
        draft = self._draft(following)
        written: list[int] = []
        # what stands on the current line; None on the line of the section's own heading
        line = "" if not section.heading or section.heading.endswith("\n") else None
        overlap = 0  # characters of the next heading that the text ends with
        while not (reason := self._reason_to_close(section, written)):
            if not section.heading and not written:
                token = yield tokens.at_answer_start
                if tokens.think is not None and token == tokens.think:
                    yield Force((tokens.think, *tokens.empty_thought))
                    continue
            else:
                token = yield tokens.at_line_start if line == "" else tokens.in_line
            assert isinstance(token, int)
            if token in tokens.eos or (line == "" and token in tokens.heading_starts):
                if token in tokens.eos and following:
                    reason = "it would have ended here"
                break
            written.append(token)
            text = tokens.text(token)
            if "\n" in text:
                line = text[text.rindex("\n") + 1 :]
                if draft and not line:
                    yield draft
            elif line is not None:
                line += text
            # a heading that does not begin with "#", or that began within a token
            if heading and line and len(line) >= min(4, len(heading)) and heading.startswith(line):
                overlap = len(line)
                break
        text = tokens.decode(written)
        trace.texts[section.key] = text[: len(text) - overlap].strip()
        if reason:
            trace.closed[section.key] = reason
        if heading:
            line_end = () if line == "" or overlap else (tokens.newline,)
            yield Force((*line_end, *tokens.encode(heading[overlap:])))

    def _reason_to_close(self, section: Section, written: list[int]) -> str:
        """Why a text must be closed here, or ""."""
        if len(written) >= section.budget:
            sentence = self.tokens.decode(written[-4:]).rstrip()
            if len(written) >= max_tokens(section) or sentence.endswith(_SENTENCE_ENDS):
                return "its length limit"
        return "it repeated itself" if repeats(written) else ""

    def _slot(
        self, section: Section, following: Section | None
    ) -> Generator[Instruction, int | Choice | None, bool]:
        """A score or a winner. Returns whether its line has been ended."""
        tokens, trace = self.tokens, self.trace
        choice = yield self._select(section)
        assert isinstance(choice, Choice)
        trace.choices[section.key] = choice
        if section.kind is Kind.WINNER or choice.word == NOT_APPLICABLE_TEXT:
            return False
        word, best = choice.word, self.scale[1]
        line_ended = word.endswith("\n")
        trace.scores[section.key] = float(word)
        if "." in word and float(word) < best:  # a second decimal, if the critic wants one
            if draft := self._draft(following, after=(tokens.newline,)):
                yield draft
            token = yield tokens.decimal
            line_ended = token == tokens.newline
            if not line_ended:
                trace.scores[section.key] = min(float(word + str(tokens.digits.index(token))), best)
        return line_ended

    def _draft(self, section: Section | None, after: tuple[int, ...] = ()) -> Draft | None:
        """The guess that a section's heading comes next, and the choice under it."""
        if section is None:
            return None
        select = None if section.kind is Kind.TEXT else self._select(section)
        return Draft(after + self.tokens.encode(section.heading), select)

    def _select(self, section: Section) -> Select:
        scores = score_words(self.scale) if section.kind is Kind.SCORE else ()
        return self.tokens.select(scores + choices(section))


@lru_cache(64)
def _one_of(*tokens: int) -> Sample:
    return Sample(only=tokens)


@lru_cache(64)
def score_words(scale: tuple[float, float]) -> tuple[str, ...]:
    """All scores of a scale as they are written: in tenths, or coarser on a long scale. Whole numbers include
    their line break, because otherwise 1 would be a prefix of 10."""
    worst, best = scale
    step = next((s for s in _STEPS if (best - worst) / s < _MAX_SCORE_WORDS), (best - worst) / 100)
    numbers = [worst + step * n for n in range(math.floor((best - worst) / step + 1e-6) + 1)]
    return tuple(f"{n:.1f}" if step < 1 else f"{round(n)}\n" for n in numbers)


def repeats(ids: list[int]) -> bool:
    """Whether tokens end in one phrase over and over: four times at least, and over 24 tokens at least."""
    for period in range(1, _LONGEST_PHRASE + 1):
        times = max(_MIN_REPEATS, -(-_MIN_REPEATED_TOKENS // period))
        if len(ids) >= period * times and ids[-period * times :] == ids[-period:] * times:
            return True
    return False


def expected_score(choice: Choice) -> tuple[float, float]:
    """Mean and standard deviation of the scores that could have been written, by their probabilities."""
    chances = {float(word): chance for word, chance in choice.table.items() if word != NOT_APPLICABLE_TEXT}
    total = math.fsum(chances.values())
    if not total:  # every score's probability is 0 to the last bit
        return float(choice.word), 0.0
    mean = math.fsum(score * chance for score, chance in chances.items()) / total
    variance = math.fsum(chance * (score - mean) ** 2 for score, chance in chances.items()) / total
    return mean, math.sqrt(variance)
