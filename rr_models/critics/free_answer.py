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
from ..parsing.headings import Heading, headings
from ..parsing.parse import AnswerReading, read_answer
from ..parsing.scores import strip_markup
from .answer_text import AnswerText, Steps
from .token_sets import TokenSets

LOOP_TIMES, LOOP_TOKENS = 8, 128
"""What ends an answer as a loop: no table, no ruler and no emphasis repeats itself as long."""

_HEADING = 160  # characters; no heading of a score is longer
_BEFORE_BLANK = (":", "=", "|", "-", ">")  # a score comes after a blank, after other signs at once
_VALUES = ("score", "side")  # headings that a score may stand under


@dataclass(frozen=True)
class AnswerPlan:
    """What an answer is about and how it is written. `limit` is the most tokens that it may take."""

    task: Task
    request: str
    profile: Profile
    style: str
    detail: str
    constrained: bool
    limit: int

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
        self.sections = plan.sections
        self.headings = headings(plan.profile, plan.task)
        self.current = -1  # index of the section that is being written
        self._section_before = -1  # the same at the start of the line
        self._awaits_value = False  # a Score heading stood alone on the line before
        self._choice: Choice | None = None  # the probabilities where a value may begin
        self._trie: Trie | None = None
        self._node = 0  # how far the tokens since then follow the trie
        for line in self.answer.text.split("\n") if before else ():
            self._take_line(line.strip())

    def write(self) -> Steps:
        """Write up to the end that the critic sets, or until all that was asked for is there."""
        answer, plan = self.answer, self.plan
        allowed = self.tokens.any_text if plan.constrained else self.tokens.unconstrained
        if plan.constrained and (draft := self.next_draft()):
            yield draft
        while len(answer) < plan.limit:
            if plan.constrained and self._trie is None and self._value_may_begin():
                yield from self.measure(self.sections[self.current].optional)
            lines_ended = answer.lines_ended
            if (token := (yield from answer.sample(allowed))) is None:
                return
            self.follow(token)
            if self._trie and not self._trie.nodes[self._node].children and (draft := self.next_draft()):
                yield Draft((*self.tokens.newline, *draft.ids), draft.then)  # the value is at its end
            if answer.lines_ended > lines_ended:
                self._take_line(answer.last_line)
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
        """The guess that the next section's heading comes next, and the score under it."""
        if self.current + 1 >= len(self.sections):
            return None
        section = self.sections[self.current + 1]
        lines = section.heading.split("\n")
        if self.answer.last_line in lines[:-1]:
            lines = lines[lines.index(self.answer.last_line) + 1 :]
        then = None
        if section.kind is Kind.SCORE:
            then = self.tokens.measure(self.plan.profile.scale, section.optional, True)
        return Draft(self.tokens.encode("\n".join(lines)), then)

    def _take_line(self, line: str) -> None:
        """Take note of a line that has ended."""
        self._trie = None
        if not line:
            return
        self._awaits_value = False
        if heading := self.headings.find(line):
            self.current = self._section_of(heading)
            name = heading.part or heading.name
            self._awaits_value = name in _VALUES and not strip_markup(heading.rest)
        self._section_before = self.current

    def _value_may_begin(self) -> bool:
        """Whether a number that is written next is a score."""
        line = self.answer.line
        if self._awaits_value:
            return not any(map(str.isalnum, line))
        if not line or len(line) > _HEADING or line[-1].isalnum():
            return False
        heading = self.headings.find(line)
        if heading is None or (heading.part or heading.name) not in _VALUES or strip_markup(heading.rest):
            return False
        self.current = self._section_of(heading)
        return self.current >= 0

    def _section_of(self, heading: Heading) -> int:
        """The index of the section that a heading opens. The title of an aspect comes just before one."""
        for index, section in enumerate(self.sections):
            if heading.aspect and section.key[0] == heading.aspect.key:
                if not heading.part:
                    return index - 1
                if heading.part == section.key[-1]:
                    return index
            elif index > self._section_before and self._opens(heading, section):
                return index
        return self._section_before

    @staticmethod
    def _opens(heading: Heading, section: Section) -> bool:
        if heading.name in _VALUES and section.kind is Kind.SCORE:
            return section.key[-1] in ("score", f"score_{heading.side or 'a'}")
        return heading.name == section.key[-1]

    def _has_enough(self) -> Generator[Instruction, object, bool]:
        """Whether all that `detail` asks for is there. What comes after it is taken back."""
        plan, last = self.plan, len(self.plan.wanted) - 1
        after_summary = plan.detail == CRITIQUE
        if plan.detail == FULL or self.current < last + after_summary:
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
