"""An answer while it is written: its tokens, its lines, and how it goes back to an earlier point."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ..engine.program import Force, Instruction, Rollback, Sample
from .token_sets import TokenSets

_LONGEST_PHRASE = 32  # tokens of a phrase whose repetition is a loop
_SENTENCE_ENDS = (".", "!", "?")
_FULL_STOPS = ("。", "！", "？")  # a sentence ends here even if no blank follows
_SENTENCE = 64  # tokens; how far back the end of a sentence is looked for

Steps = Generator[Instruction, object]


class LimitReached(Exception):
    """The answer has as many tokens as it may take."""


class AnswerText:
    """What an answer's program has written. The first `base` tokens are part of the prompt and stay.

    `line` is the current line as far as it is written, `last_line` the last one that has ended and is not
    blank, and `lines_ended` how many such there are. `line_starts`: the tokens before each line.
    """

    def __init__(self, tokens: TokenSets, before: Sequence[int] = ()):
        self.tokens, self.base = tokens, len(before)
        self.limit: int | None = None  # LimitReached beyond these tokens
        self._write(before)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def text(self) -> str:
        return self.tokens.decode(self.ids)

    @property
    def line_number(self) -> int:
        """Of the current line, from 0."""
        return len(self.line_starts) - 1

    def sample(self, allowed: Sample) -> Generator[Instruction, object, int | None]:
        """Let the model write a token. Returns it, or None if it is one that stops."""
        self._check(1)
        token = yield allowed
        assert isinstance(token, int)
        if token in allowed.stop:
            return None
        self._add(token)
        return token

    def force(self, ids: Sequence[int]) -> Steps:
        """Write these tokens."""
        self._check(len(ids))
        for token in ids:
            self._add(token)
        if ids:
            yield Force(tuple(ids))

    def force_line(self, text: str) -> Steps:
        """Write `text` on a line of its own."""
        if self.line:
            yield from self.force(self.tokens.newline)
        yield from self.force(self.tokens.encode(text))

    def roll_back(self, length: int) -> Steps:
        """Take back all tokens after the first `length`."""
        length = max(length, self.base)
        if length < len(self.ids):
            self._write(self.ids[:length])
            yield Rollback(length - self.base)

    def loop(self, times: int, tokens: int) -> int:
        """The length of a phrase that the answer ends with at least `times` over, and over at least `tokens`
        tokens; 0 if there is none."""
        ids = self.ids
        if ids and ids[-1] not in ids[-1 - _LONGEST_PHRASE : -1]:
            return 0
        for period in range(1, min(_LONGEST_PHRASE, len(ids) // 2) + 1):
            if ids[-1] == ids[-1 - period]:
                copies = max(times, -(-tokens // period))
                if len(ids) >= period * copies and ids[-period * copies :] == ids[-period:] * copies:
                    return period
        return 0

    def first_copy(self, period: int) -> int:
        """The length up to the end of the first copy of the phrase of `period` tokens that the answer ends
        with over and over."""
        length = len(self.ids)
        while length > 2 * period and self.ids[length - 1] == self.ids[length - 1 - period]:
            length -= 1
        return length

    def sentence_end(self, start: int, end: int) -> int:
        """The last length between `start` and `end` tokens at which a sentence ends, else a word, else `end`;
        never one within a number."""
        word_end = 0
        for length in range(end, max(start, end - _SENTENCE), -1):
            written = self.tokens.decode(self.ids[max(start, length - 4) : length]).rstrip()
            following = self.tokens.text(self.ids[length]) if length < len(self.ids) else "\n"
            blank = following[:1].isspace()
            if written.endswith(_FULL_STOPS) or (blank and written.endswith(_SENTENCE_ENDS)):
                return length
            word_end = word_end or (length if blank else 0)
        return word_end or end

    def _check(self, count: int) -> None:
        if self.limit is not None and len(self.ids) + count > self.limit:
            raise LimitReached

    def _write(self, ids: Sequence[int]) -> None:
        """Start again with these tokens."""
        self.ids: list[int] = []
        self.line_starts = [0]
        self.line = self.last_line = ""
        self.lines_ended = 0
        for token in ids:
            self._add(token)

    def _add(self, token: int) -> None:
        self.ids.append(token)
        *finished, rest = self.tokens.text(token).split("\n")
        for piece in finished:
            if line := (self.line + piece).strip():
                self.last_line = line
                self.lines_ended += 1
            self.line = ""
        # a line that begins within a token is taken back with it
        self.line_starts += [len(self.ids) - bool(rest)] * len(finished)
        self.line += rest
        if "\ufffd" in self.line:  # a character of several tokens
            self.line = self.tokens.decode(self.ids[self.line_starts[-1] :]).split("\n")[-1]
