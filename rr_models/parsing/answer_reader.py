"""The walk through a critic's answer: which text and which values stand under which heading.

Headings are recognised by name at the start of a line, in any Markdown dress and order (lines.py); whether a
heading counts where it stands is decided here. A value counts only under an aspect, under a heading of its
own or right after the aspect's name; numbers in a justification, the analysis, the summary or the refined
request never do. One pass over the lines.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from ..judgement.answer_format import NOT_APPLICABLE_TEXT
from ..judgement.aspects import Profile
from ..judgement.task import Task
from .headings import UNKNOWN, Heading, headings
from .lines import Line, read_lines
from .outlook import Outlook, outlooks
from .places import Opening, Place, SectionTexts
from .readings import CUT_OFF, AspectReading, Certainty, Readings, ScoreSlot, new_reading
from .scores import comment, strip_markup

_BULLET = re.compile(r"^\s*[-+•]\s+")
_CLOSING = (Place.SUMMARY, Place.COMMENTS, Place.REFINED)
_AFTER_JUDGEMENT = (*_CLOSING, Place.AFTER)


class _Title(NamedTuple):
    """A line "Name:" that may be a heading: kept as content until the next line decides."""

    reading: AspectReading
    kept_in: list[str]
    index: int  # in `kept_in`
    line: int


class AnswerReader:
    """Walks through an answer's lines and collects the text of its sections and a reading of each aspect.

    `truncated`: the end of the answer is missing, so that its last value may be half of one.
    """

    def __init__(self, profile: Profile, task: Task, truncated: bool = False):
        self.headings = headings(profile, task)
        self.scale = profile.scale
        self.truncated = truncated
        self.readings = Readings(profile.aspects(task), self.headings.pair)
        self.place = Place.PREAMBLE
        self.reading: AspectReading | None = None  # if the place is an aspect
        self.last_slot: ScoreSlot | None = None  # a value in the very last line
        self.texts = SectionTexts()
        self.openings: list[Opening] = []
        self.walked = False  # through lines; JSON has none
        self._line = 0  # the number of the current line
        self._outlook = Outlook()  # what follows it
        self._judgement_seen = False  # there was a heading of the judgement
        self._awaiting_value: Heading | None = None  # a Score heading stood alone: its value may follow
        self._title: _Title | None = None
        self._columns: list[Heading | None] = []  # of a table

    def walk(self, lines: list[str]) -> None:
        """Read all lines of an answer."""
        self.walked = True
        read = list(read_lines(lines, self.headings))
        for number, (line, outlook) in enumerate(zip(read, outlooks(read, self.headings), strict=True)):
            self._line, self._outlook = number, outlook
            self._read(line)
        if self.truncated and self.reading and not self.reading.score_first:
            self.reading.discard(CUT_OFF)

    # for answers that are no lines (json_answer.py)

    def open_aspect(self, heading: Heading) -> None:
        """Go under the heading of an aspect, unless the walk is there and the heading names a part of it."""
        if not (heading.part and self._is_under(heading)):
            self._open(new_reading(heading.aspect, self.headings.pair))

    def take(self, text: str, heading: Heading | None) -> None:
        """Take `text` as a value under `heading`, or keep it as the aspect's text."""
        if not heading or not self._take(text, heading):
            self._keep(text)

    # one line

    def _read(self, line: Line) -> None:
        if line.is_blank:
            self._keep(line.text)
            return
        awaiting, self._awaiting_value = self._awaiting_value, None
        title, self._title = self._title, None
        if line.cells and self._row(line):
            return
        heading = line.heading
        alone = self.reading and (not heading or heading.name == UNKNOWN)
        text = _BULLET.sub("", line.text)
        if alone and awaiting and self.headings.states_below(text, awaiting.name, self._side(awaiting)):
            self._take(text, awaiting, line.is_last)
        elif not (heading and self._follow(heading, title, line)):
            self._keep(line.text)

    def _follow(self, heading: Heading, title: _Title | None, line: Line) -> bool:
        """Do what a heading says; False if it is only content where it stands."""
        if self.place is Place.REPEAT:
            return False
        if heading.part and self._is_under(heading):
            heading = replace(heading, name=heading.part, aspect=None)
        if heading.final and not (self.reading and self.readings.finals):
            return self._leaves_refined(heading)
        if heading.name in ("score", "winner", "side", "justification"):
            return self._follow_part(heading, title, line)
        if heading.name == UNKNOWN:
            # where the answer was cut off, "## S" may be the start of a heading that is known
            return not (line.is_last and self.truncated) and self._follow_unknown(heading, line)
        if heading.aspect:
            return self._follow_aspect(heading, line)
        return self._follow_section(heading)

    def _follow_part(self, heading: Heading, title: _Title | None, line: Line) -> bool:
        """A heading within an aspect: of a value or of its justification."""
        has_value = heading.name != "side" or self.headings.states(heading.rest, "side", heading.side)
        # "It reads:" before "## Score" ends a justification; in the same dress it is a heading
        if title and has_value and (title.reading.aspect or not (heading.marked and self._awaits_score())):
            del title.kept_in[title.index :]
            self._open(title.reading, title.line)
        if self._leaves_refined(heading):
            return True
        if self.reading is None:
            return False
        if heading.name == "justification":
            self._keep(heading.rest)
            self.reading.has_words, self.reading.level = True, heading.level
        elif not has_value:
            self.reading.side = heading.side  # what follows is about this image
            return False
        elif not strip_markup(heading.rest):
            self._awaiting_value = heading
        elif heading.marked and self.reading.is_plain_score:
            self.readings.contest_owner()  # what stands between the aspect and here may have been a quote
        elif not self._take(heading.rest, heading, line.is_last):
            if not self.headings.states(heading.rest, heading.name, self._side(heading)):
                return False
            self._keep(f"> {line.text}")  # a quote, and from here on marked as one
        return True

    def _follow_aspect(self, heading: Heading, line: Line) -> bool:
        numbered = heading.hashed or heading.number is not None
        if self.place is Place.REFINED and numbered:
            self._enter(Place.REPEAT)
            return True
        if self.place in _AFTER_JUDGEMENT:
            return False  # talk about a score, not a place for one
        if heading.rest and not numbered and self.headings.states(heading.rest, alone=not self._in_list()):
            if self._may_quote() or self._awaits_score():
                return False
            self._open_with_value(heading, line, Certainty.INLINE)
        elif heading.marked:
            self._open_with_value(heading, line, Certainty.MARKED)
        elif not heading.rest and not self._awaits_score():
            self._hold(new_reading(heading.aspect, self.headings.pair, Certainty.BARE), line)
        else:
            return False
        return True

    def _open_with_value(self, heading: Heading, line: Line, certainty: Certainty) -> None:
        """Open an aspect, and take the value or the words after its name."""
        reading = new_reading(heading.aspect, self.headings.pair, certainty)
        self._open(reading)
        if not heading.rest:
            return
        has_value = certainty is Certainty.INLINE or self.headings.states(heading.rest)
        taken = has_value and self._take(heading.rest, heading, line.is_last)
        if taken or certainty is Certainty.INLINE:
            reading.keep("" if self.headings.pair else comment(heading.rest))
        else:
            reading.keep(heading.rest)

    def _follow_unknown(self, heading: Heading, line: Line) -> bool:
        """A heading that the protocol does not know ends the aspect: a score under it is not the aspect's."""
        if self._leaves_refined(heading):
            return True
        if self.reading is None:
            return False
        if not heading.marked:
            self._hold(new_reading(None, self.headings.pair, Certainty.BARE), line)
            return True
        if not self.reading.judged:
            if heading.label or heading.level > self.reading.level > 0:
                return False  # within the justification
            if heading.number == self.reading.list_items + 1 and not heading.hashed:
                self.reading.list_items += 1  # a list of its own within the justification
                return False
        self._open(new_reading(None, self.headings.pair))
        return True

    def _follow_section(self, heading: Heading) -> bool:
        place = Place(heading.name)
        begins = place is Place.JUDGEMENT or (place is Place.ANALYSIS and not self.reading)
        if not begins and self.place not in _AFTER_JUDGEMENT:
            if self._outlook.judges_on(heading, self.reading, self.readings):
                return False
        if place is Place.ANALYSIS:
            enters = self._enters_analysis(heading)
        elif place is Place.JUDGEMENT:
            enters = self._enters_judgement(heading)
        elif place is Place.REFINED:
            enters = self._enters_refined()
        else:  # "Summary: profits" may be part of a refined request
            enters = self.place is not Place.REFINED or heading.marked or place is not Place.SUMMARY
        if enters and self.place is not Place.REPEAT:
            self._enter(place)
            self.reading = None
            self._keep(heading.rest)
        return enters

    def _enters_analysis(self, heading: Heading) -> bool:
        if self.place in _AFTER_JUDGEMENT and self.readings.begun:
            self._enter(Place.REPEAT)
            return True
        if self.reading and not heading.marked:
            return False
        return not self.texts.lines[Place.ANALYSIS]

    def _enters_judgement(self, heading: Heading) -> bool:
        if self.place in _AFTER_JUDGEMENT and self.readings.begun:
            if heading.marked:
                self._enter(Place.REPEAT)
            return heading.marked
        if self._judgement_seen and self.readings.current and not self.readings.complete:
            return False  # quoted in a justification
        if heading.rest and self.readings.complete and not self._outlook.aspects:
            return False  # words of the last justification
        # anything scored or refined before this heading was quoted from the request
        self.readings.restart(keep_as_replaced=self._judgement_seen)
        self._judgement_seen = True
        self.texts.drop(*_CLOSING)
        return True

    def _enters_refined(self) -> bool:
        if not self.readings.current or (self.reading and not self.reading.judged):
            return False  # quoted from the request or the image
        self.texts.drop(Place.REFINED)  # of a draft and the final one, the last counts
        return True

    def _row(self, line: Line) -> bool:
        """Read a row of a table: the aspects down its first column, their values in the others."""
        if self.place in (*_AFTER_JUDGEMENT, Place.REPEAT, Place.ANALYSIS) or self._awaits_score():
            return False
        if line.is_rule:
            return bool(self._columns)
        name, *values = line.cells
        first = self.headings.find(f"# {name}:")
        if not first or not first.aspect:
            columns = [self.headings.find(f"## {cell}:") for cell in line.cells]
            if any(column and column.name in ("score", "side") for column in columns):
                self._columns = columns
            return bool(self._columns)
        columns = self._columns or [first, self.headings.find("## Score:")]
        if len(line.cells) < len(columns) or not (self._columns or self._in_list()):
            return False
        self._open(new_reading(first.aspect, self.headings.pair, Certainty.INLINE))
        for column, value in zip(columns[1:], values, strict=False):
            if not column or not self._take(value, column, line.is_last):
                self._keep(value)
        return True

    # where the walk is

    def _is_under(self, heading: Heading) -> bool:
        """Whether the walk is under the aspect that a heading names."""
        return self.reading is not None and self.reading.aspect is heading.aspect

    def _awaits_score(self) -> bool:
        """Whether an aspect under a real heading still awaits its score, so that others' are quoted."""
        reading = self.reading
        return reading is not None and reading.certainty is Certainty.MARKED and not reading.judged

    def _may_quote(self) -> bool:
        """Whether an aspect without a real heading may be one that the request or the image mentions."""
        return self.place is Place.ANALYSIS or (self.place is Place.PREAMBLE and self.texts.has_preamble)

    def _in_list(self) -> bool:
        """Whether a plain line with a name, a score and words is one of a list of such lines."""
        if self.reading:
            return self.reading.certainty is Certainty.INLINE
        return self.place is Place.JUDGEMENT

    def _leaves_refined(self, heading: Heading) -> bool:
        """Go past the refined request, if a heading ends it."""
        if self.place is not Place.REFINED or not heading.hashed:
            return False
        self._enter(Place.AFTER)
        return True

    def _hold(self, reading: AspectReading, line: Line) -> None:
        """Keep a title as content until the next line shows whether it is a heading."""
        lines = self._lines()
        self._title = _Title(reading, lines, len(lines), self._line)
        self._keep(line.text)

    def _open(self, reading: AspectReading, line: int | None = None) -> None:
        self.readings.current.append(reading)
        self.reading, self.place = reading, Place.ASPECT
        name = reading.aspect.key if reading.aspect else ""
        self.openings.append(Opening(self._line if line is None else line, name))

    def _enter(self, place: Place) -> None:
        self.place = place
        self.openings.append(Opening(self._line, place.value))

    def _lines(self) -> list[str]:
        return self.reading.lines if self.reading else self.texts.lines[self.place]

    def _keep(self, line: str) -> None:
        if self.reading:
            self.reading.keep(line)
        else:
            self.texts.lines[self.place].append(line)

    # values

    def _side(self, heading: Heading) -> str:
        return heading.side or (self.reading.side if self.reading else "")

    def _take(self, text: str, heading: Heading, is_last: bool = False) -> bool:
        """Take what `text` says as values of the current aspect; False if it is talk and no value."""
        if heading.name not in ("score", "winner", "side", "aspect"):
            return False
        reading = self.reading
        assert reading is not None
        values = self.headings.values(text, heading.name, self._side(heading))
        if set(values.values()) == {NOT_APPLICABLE_TEXT} and heading.name == "aspect":
            values = dict.fromkeys(reading.slots, NOT_APPLICABLE_TEXT)
        slots = reading.take(values, text, self.scale, heading.marked)
        for slot in slots:
            slot.line, reading.final = self._line, heading.final
        if is_last and slots:
            self.last_slot = slots[-1]
            if self.truncated:
                for slot in slots:
                    slot.discard(CUT_OFF)
        return bool(slots)
