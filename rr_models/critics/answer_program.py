"""Constrained decoding: the program of one answer.

The critic writes freely (free_answer.py). What the parser reads as complete stays as it is, token for token,
in whatever form. Only an answer that ends, loops or runs out of tokens without all that was asked for is
taken back to where the first missing part belongs, and goes on from there under given headings. There too the
critic writes its scores in its own way; only if it writes none, it has to select one, and only if it gave
scores most of its probability. A score that the critic would not have given is not made up.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from ..engine.program import Instruction, Program
from ..judgement.answer_format import NOT_APPLICABLE_TEXT, Kind, Section
from ..judgement.critique import COMPLETE, MISSING, REFUSED, Critique
from ..judgement.verdict import Verdict
from ..parsing.parse import AnswerReading
from .answer_text import LimitReached, Steps
from .free_answer import LOOP_TIMES, LOOP_TOKENS, AnswerPlan, AnswerWriter, Trace
from .measured_scores import MIN_ASKED_MASS, form_mass
from .token_sets import TokenSets

_MIN_TEXT = 16  # tokens that every text gets, however short the whole answer must be
_SCORE = 8  # tokens of a score or a winner, as critics usually write them
_LONGEST_SCORE = 24  # tokens; whatever is longer is none
_LOOP_TIMES, _LOOP_TOKENS = 4, 24  # a loop, in an answer that has left the form


def answer_program(plan: AnswerPlan, tokens: TokenSets, trace: Trace, before: Sequence[int] = ()) -> Program:
    """The program of one answer; what happens is put into `trace`. `before` are tokens that the answer begins
    with and that are part of the prompt."""
    writer = AnswerWriter(plan, tokens, trace, before)
    yield from writer.write()
    if plan.constrained:
        yield from _Repair(writer).run()
    if trace.token_ids is None:
        trace.token_ids = tuple(writer.answer.ids)


class _Repair:
    """What becomes of an answer that the critic has ended, or that its limit has."""

    def __init__(self, writer: AnswerWriter):
        self.writer, self.answer, self.plan = writer, writer.answer, writer.plan
        self.tokens, self.trace, self.sections = writer.tokens, writer.trace, writer.plan.wanted
        self.start = 0  # the tokens of the critic's own answer that the repair keeps
        self.loops = 0  # texts that had to be closed because they repeated themselves
        self.reasons: list[str] = []  # why a score was not given

    def run(self) -> Steps:
        trace, answer = self.trace, self.answer
        written, measured, notes = tuple(answer.ids), dict(trace.measured), list(trace.notes)
        reading = self._read(trace.truncated)
        index, before = self._lacking(reading), reading.judgement
        if index is None or before.status == REFUSED:
            return
        if period := answer.loop(LOOP_TIMES, LOOP_TOKENS):
            yield from answer.roll_back(answer.first_copy(period))
            reading = self._read()
            index = self._lacking(reading)
            if index is None:
                return
        complete, gave_up = before.status == COMPLETE, True
        answer.limit = self.plan.limit
        try:
            scored = yield from self._complete(index, reading)
            after = self._read().judgement
            if not complete and not (scored and after.status == COMPLETE) and self.start > answer.base:
                # what the critic wrote first has led it astray: all of it under given headings
                yield from answer.roll_back(0)
                trace.measured.clear()
                trace.notes[:] = [*notes, _goes_on_from(self.sections[0])]
                self.loops = 0
                scored = yield from self._write_sections(0, self.sections[0].heading)
                after = self._read().judgement
            if scored and after.status == COMPLETE and (not complete or _adds_request(before, after)):
                trace.truncated = False
                return
        except LimitReached:
            gave_up = bool(self.reasons)
            self.reasons.append("the token limit leaves no room for what is missing")
        # the critic's own answer says more than a repair that failed
        trace.token_ids, trace.measured = written, measured
        trace.notes[:] = notes if complete else [*notes, *self.reasons[-1:]]
        trace.gave_up = gave_up and not complete

    def _read(self, truncated: bool = False) -> AnswerReading:
        return self.plan.read(self.answer.text, truncated)

    def _lacking(self, reading: AnswerReading) -> int | None:
        """The index of the first section that was asked for and is not there; None if none is.

        Every aspect must have a score, and a full critique a refined request. Other texts may be missing.
        """
        missing = {aspect.key for aspect in reading.judgement.aspects if aspect.status == MISSING}
        names = {name for _, name in reading.openings}
        for index, section in enumerate(self.sections):
            if section.kind is Kind.SCORE and section.key[0] in missing:
                return index
            if section.key == ("refined_request",) and section.key[0] not in names:
                return None if reading.judgement.refined_request else index
        return None

    def _complete(self, index: int, reading: AnswerReading) -> Generator[Instruction, object, bool]:
        """Go back to where section `index` belongs and write it and all after it. Returns whether the critic
        gave every score."""
        complete = reading.judgement.status == COMPLETE
        index, end, heading = self._place(index, reading)
        while (space := self.plan.limit - self._least(index, heading)) < end:
            # further back, so that all that is missing fits in
            end = self.answer.sentence_end(self.answer.base, max(space, self.answer.base))
            if end <= self.answer.base:
                if complete:
                    return False
                index, end, heading = 0, self.answer.base, self.sections[0].heading
                break
            reading = self.plan.read(self.tokens.decode(self.answer.ids[:end]))
            lacking = self._lacking(reading)
            if lacking is None or (complete and reading.judgement.status != COMPLETE):
                return False  # no room, unless a score of the critic's went
            index, place, heading = self._place(lacking, reading)
            end = min(end, place)
        section = self.sections[index]
        self.trace.notes.append(_goes_on_from(section))
        self.start = end
        yield from self.answer.roll_back(end)
        self.trace.measured = {
            line: choice for line, choice in self.trace.measured.items() if line < self.answer.line_number
        }
        return (yield from self._write_sections(index, heading))

    def _place(self, index: int, reading: AnswerReading) -> tuple[int, int, str]:
        """Where to go on for a missing section: its index (that of the first of its aspect if that has not
        begun), the tokens before it, and its heading."""
        key, openings, answer = self.sections[index].key, reading.openings, self.answer
        names = [name for _, name in openings]
        starts = [min(answer.line_starts[line], len(answer)) for line, _ in openings]
        if len(key) == 1:  # a text after the scores, and those before it that are missing too
            while len(self.sections[index - 1].key) == 1 and self.sections[index - 1].key[0] not in names:
                index -= 1
            heading = self.sections[index].heading
            begun = "refinement_comments" in names
            return index, len(answer), heading.split("\n")[-1] if begun else heading
        if not openings:
            return 0, 0, self.sections[0].heading
        first = next(i for i, section in enumerate(self.sections) if section.key[0] == key[0])
        if key[0] in names:
            opened = names.index(key[0])
            line = reading.value_lines.get(key, -1)
            if line > openings[opened].line:
                end = answer.line_starts[line]
            elif line == openings[opened].line:  # beside the aspect's name
                return first, starts[opened], _without_part(self.sections[first].heading)
            else:
                end = [*starts[opened + 1 :], len(answer)][0]
                aspect = next(a for a in reading.judgement.aspects if a.key == key[0])
                if not aspect.justification:
                    index = first
            return index, end, self.sections[index].heading.split("\n")[-1]
        order = [section.key[0] for section in self.plan.sections]
        later = [
            start
            for start, name in zip(starts, names, strict=True)
            if name in order and order.index(name) > order.index(key[0])
        ]
        heading = self.sections[first].heading
        if "judgement" in names or any(name in order[1:] for name in names):
            heading = _without_part(heading)
        return first, [*later, len(answer)][0], heading

    def _least(self, index: int, heading: str) -> int:
        """The fewest tokens that section `index` and all after it take."""
        headings = [heading, *(section.heading for section in self.sections[index + 1 :])]
        values = [_MIN_TEXT if s.kind is Kind.TEXT else _SCORE for s in self.sections[index:]]
        return sum(len(self.tokens.encode(line)) + 2 for line in headings) + sum(values)

    def _write_sections(self, index: int, heading: str) -> Generator[Instruction, object, bool]:
        """Write section `index` under `heading`, and all after it. Returns whether the critic gave every
        score."""
        for number, section in enumerate(self.sections[index:], index):
            start = len(self.answer)
            yield from self.answer.force_line(heading if number == index else section.heading)
            if section.kind is Kind.TEXT:
                yield from self._write_text(number)
                if self.loops > 1:
                    self.reasons.append("the critic repeats itself wherever it is asked, so nothing counts")
                    return False
            elif section.kind is Kind.SCORE:
                if not (yield from self._write_score(section)):
                    return False
            else:
                _, readable = yield from self._write_value(section)
                if not readable:
                    yield from self.answer.roll_back(start)  # the scores tell who wins
        return True

    def _write_text(self, number: int) -> Steps:
        """A text, up to the critic's next heading, its end, or half of the tokens that are left."""
        answer, section = self.answer, self.sections[number]
        start, space = len(answer), self.plan.limit - len(answer)
        if following := self.sections[number + 1 :]:
            space = max(_MIN_TEXT, (space - self._least(number + 1, following[0].heading)) // 2)
        while True:
            if len(answer) - start >= space:
                self._note_closed(section, "its length limit")
                yield from answer.roll_back(answer.sentence_end(start, start + space))
                return
            lines_ended, line_start = answer.lines_ended, answer.line_starts[-1]
            allowed = self.tokens.any_text if answer.line else self.tokens.no_heading
            if (yield from answer.sample(allowed)) is None:
                return
            if answer.lines_ended > lines_ended and line_start > start:
                if self.writer.position.opens_section(answer.last_line):
                    yield from answer.roll_back(line_start)
                    return
            if period := answer.loop(_LOOP_TIMES, _LOOP_TOKENS):
                self._note_closed(section, "it repeated itself")
                self.loops += 1
                yield from answer.roll_back(max(start, answer.first_copy(period)))
                return

    def _write_score(self, section: Section) -> Generator[Instruction, object, bool]:
        """A score: as the critic writes it, else the likeliest that it could have written. Returns whether it
        gave one."""
        answer, start = self.answer, len(self.answer)
        choice = yield from self.writer.measure(section.optional)
        mass = form_mass(choice.table) if choice else 0.0
        self.trace.asked.append(mass)
        line = answer.line_number
        value, readable = yield from self._write_value(section)
        began_with_score = max(self.trace.measured, default=-1) >= line
        if readable and (not began_with_score or mass >= MIN_ASKED_MASS):
            return True
        # the first number of "4.0 - 0.5" is not the score; nor is any where the critic says that none applies
        if value == NOT_APPLICABLE_TEXT or (began_with_score and mass >= MIN_ASKED_MASS):
            self.reasons.append(f"{_name(section)}: asked for a score, the critic wrote {value[:40]!r}")
            return False
        if choice is None or mass < MIN_ASKED_MASS:
            self.reasons.append(
                f"{_name(section)}: asked for a score, the critic gave all scores together only "
                f"{mass:.1%} of its probability, so none counts"
            )
            return False
        yield from answer.roll_back(start)
        yield from answer.force(choice.ids)
        self.trace.measured[answer.line_number] = choice
        yield from answer.force(self.tokens.newline)
        return True

    def _write_value(self, section: Section) -> Generator[Instruction, object, tuple[str, bool]]:
        """What the critic writes in a score's or a winner's place. Returns it, and whether it can be read."""
        answer, start = self.answer, len(self.answer)
        value = ""
        while len(answer) - start < _LONGEST_SCORE and not ("\n" in value and value.strip()):
            if (token := (yield from answer.sample(self.tokens.any_text))) is None:
                break
            self.writer.follow(token)
            value = self.tokens.decode(answer.ids[start:])
        part = section.key[-1]
        side = part.removeprefix("score_") if part.startswith("score_") else ""
        name = "winner" if section.kind is Kind.WINNER else "score"
        values = self.writer.headings.values(value.strip(), name, side)
        if NOT_APPLICABLE_TEXT in values.values() and not section.optional:
            return NOT_APPLICABLE_TEXT, False
        return value.strip(), bool(values) and None not in values.values()

    def _note_closed(self, section: Section, why: str) -> None:
        self.trace.notes.append(f"{_name(section)} was closed: {why}")


def _adds_request(before: Critique | Verdict, after: Critique | Verdict) -> bool:
    """Whether a complete judgement has got a refined request, and nothing else of it has changed."""
    first, second = ({k: v for k, v in one.values().items() if len(k) > 1} for one in (before, after))
    return first == second and bool(getattr(after, "refined_request", ""))


def _without_part(heading: str) -> str:
    """A heading without the one of the part that it begins."""
    return "\n".join(line for line in heading.split("\n") if not line.startswith("# "))


def _goes_on_from(section: Section) -> str:
    return f"the answer goes on under given headings from: {_name(section)}"


def _name(section: Section) -> str:
    return " ".join(section.key).replace("_", " ")
