"""One answer in the critic's own words. If it is to be constrained, headings are guessed, and where a score
can begin, the probabilities of all scores are measured. Neither changes what is written."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..engine.program import Choice, Draft, Instruction, Trie
from ..judgement.answer_format import CRITIQUE, FULL, AnswerFormat, Kind, Section
from ..judgement.aspects import Profile
from ..judgement.critique import MISSING
from ..judgement.task import Task
from ..parsing.form_position import FormPosition
from ..parsing.headings import headings
from ..parsing.parse import AnswerReading, read_answer
from .answer_text import AnswerText, Steps
from .token_sets import TokenSets

LOOP_TIMES, LOOP_TOKENS = 8, 128
"""What ends an answer as a loop: no table, no ruler and no emphasis repeats itself as long."""

_GUESS = 15  # tokens drafted at once: with the last one written they make a step of the next size up
_BEFORE_BLANK = (":", "=", "|", "-", ">")  # a score comes after a blank, after other signs at once


@dataclass(frozen=True)
class AnswerPlan:
    """What an answer is about and how it is written. `limit` is the most tokens that it may take; `guess` are
    those that it will probably begin with."""

    task: Task
    request: str
    profile: Profile
    style: str
    detail: str
    constrained: bool
    limit: int
    guess: tuple[int, ...] = ()

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """What a whole answer has under its headings."""
        return AnswerFormat.of(self.task, self.profile, self.style).fields

    @cached_property
    def wanted(self) -> tuple[Section, ...]:
        """The beginning of `sections` that `detail` asks for."""
        return AnswerFormat.of(self.task, self.profile, self.style, self.detail).fields

    def read(self, text: str, truncated: bool = False) -> AnswerReading:
        """What the parser makes of an answer. A number at the end of a constrained one that is not cut off is
        whole: the critic has ended it."""
        ended = "\n" if self.constrained and not truncated and text[-1:].isdigit() else ""
        reading = read_answer(
            text + ended, self.task, self.request, truncated=truncated, profile=self.profile
        )
        return replace(reading, judgement=replace(reading.judgement, text=text))


@dataclass
class Trace:
    """What happened while an answer was written.

    `token_ids` is the answer, None until it is finished; `measured` has the probabilities of the scores by
    the line they stand in; `truncated` says that the answer was cut off by its limit, and `notes` what was
    changed and why. `gave_up`: the critic was asked for a score and gave none, so more tokens would not help.
    `asked`: the probability, 0 to 1, that it gave to scores wherever it was asked.
    """

    token_ids: tuple[int, ...] | None = None
    measured: dict[int, Choice] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    truncated: bool = False
    gave_up: bool = False
    asked: list[float] = field(default_factory=list)


class AnswerWriter:
    """Writes one answer. `before`: the tokens of its beginning, if the answer continues one."""

    def __init__(self, plan: AnswerPlan, tokens: TokenSets, trace: Trace, before: Sequence[int] = ()):
        self.plan, self.tokens, self.trace = plan, tokens, trace
        self.answer = AnswerText(tokens, before)
        self.headings = headings(plan.profile, plan.task)
        self.position = FormPosition(plan.sections, self.headings)
        self._choice: Choice | None = None  # the probabilities where a value may begin
        self._trie: Trie | None = None
        self._node = 0  # how far the tokens since then follow the trie
        self._guesses = bool(plan.guess)  # the answer is as guessed so far
        self._guessed = 0  # so many tokens have been drafted from the guess
        for line in self.answer.text.split("\n") if before else ():
            self.position.end_line(line.strip())

    def write(self) -> Steps:
        """Write up to the end that the critic sets, or until all that was asked for is there."""
        answer, plan = self.answer, self.plan
        allowed = self.tokens.any_text if plan.constrained else self.tokens.unconstrained
        if plan.constrained and (draft := self.next_draft()):
            yield draft
        while len(answer) < plan.limit:
            if plan.constrained and self._trie is None and self.position.value_may_begin(answer.line):
                yield from self.measure(self.position.section.optional)
            if self._guesses and len(answer) >= self._guessed:
                self._guessed = len(answer) + _GUESS
                yield Draft(plan.guess[len(answer) : self._guessed])
            lines_ended = answer.lines_ended
            if (token := (yield from answer.sample(allowed))) is None:
                return
            self.follow(token)
            if self._trie and not self._trie.nodes[self._node].children and (draft := self.next_draft()):
                yield Draft((*self.tokens.newline, *draft.ids), draft.then)  # the value is at its end
            if answer.lines_ended > lines_ended:
                self._trie = None
                self.position.end_line(answer.last_line)
                if (yield from self._has_enough()):
                    return
                if plan.constrained and (draft := self.next_draft()):
                    yield draft
            if answer.loop(LOOP_TIMES, LOOP_TOKENS):
                return
        choice = yield self.tokens.ending
        assert isinstance(choice, Choice)
        self.trace.truncated = sum(choice.table.values()) < 0.5  # it would have gone on

    def measure(self, optional: bool) -> Generator[Instruction, object, Choice | None]:
        """Measure the scores that may begin here. None if there are too many to measure."""
        blank = self.answer.line.endswith(_BEFORE_BLANK)
        instruction = self.tokens.measure(self.plan.profile.scale, optional, blank)
        self._trie, self._choice, self._node = None, None, 0
        if instruction is None:
            return None
        choice = yield instruction
        assert isinstance(choice, Choice)
        self._trie, self._choice = instruction.trie, choice
        return choice

    def follow(self, token: int) -> None:
        """Take note of a token that was written: it may be part of a measured score."""
        written = len(self.answer)
        self._guesses = self._guesses and self.plan.guess[written - 1 : written] == (token,)
        if self._trie is None or self._choice is None:
            return
        child = self._trie.nodes[self._node].children.get(token)
        if child is None:
            self._trie = None
            return
        self._node = child
        if self._trie.nodes[child].word is not None:
            self.trace.measured[self.answer.line_number] = self._choice

    def next_draft(self) -> Draft | None:
        """The guess that the next section's heading comes next, and the score under it; None if the whole
        answer is guessed, or no section is left."""
        section = self.position.following
        if section is None or self._guesses:
            return None
        lines = section.heading.split("\n")
        if self.answer.last_line in lines[:-1]:
            lines = lines[lines.index(self.answer.last_line) + 1 :]
        then = None
        if section.kind is Kind.SCORE:
            then = self.tokens.measure(self.plan.profile.scale, section.optional, True)
        return Draft(self.tokens.encode("\n".join(lines)), then)

    def _has_enough(self) -> Generator[Instruction, object, bool]:
        """Whether all that `detail` asks for is there. What comes after it is taken back."""
        plan, last = self.plan, len(self.plan.wanted) - 1
        after_summary = plan.detail == CRITIQUE
        if plan.detail == FULL or self.position.index < last + after_summary:
            return False
        reading = plan.read(self.answer.text)
        if any(aspect.status == MISSING for aspect in reading.judgement.aspects):
            return False
        if after_summary:
            names = [name for _, name in reading.openings]
            if "summary" not in names[:-1]:
                return False
            line = reading.openings[names.index("summary") + 1].line
            yield from self.answer.roll_back(self.answer.line_starts[line])
        return True
