"""The walk through a critic's answer: which words and which values stand under which heading.

Headings are found by name at the start of a line, in whatever Markdown dress and order; all else is
content. A value counts only where it stands under an aspect, under a heading of its own or right behind the
aspect's name; numbers in a justification, the analysis, the summary or the refined request never do. What
cannot be read, or was said twice and differently, is missing, not guessed. One pass over the lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ..judgement.aspects import Aspect, Profile
from .headings import UNKNOWN, Heading, headings
from .scores import NOT_A_NUMBER, comment, strip_markup
from .slots import BARE, INLINE, MARKED, WINNER, AspectReading, ScoreSlot

_CLOSING = ("summary", "comments", "refined")
_NAME_KEYS = ("name", "aspect", "criterion", "dimension", "category")
_AFTER = "after"  # behind the refined request, under a heading of the critic's own
REPEAT = "repeat"  # a second answer behind the first; nothing in it counts
_TWICE = "it was judged more than once, and differently"
CUT = "the answer was cut off at its score"


def _named(data: Mapping | list) -> list[tuple]:
    """What JSON data says under which name: a list may hold objects that bring their names along."""
    if isinstance(data, Mapping):
        return list(data.items())
    found = []
    for one in data:
        names = [key for key in one if str(key).lower() in _NAME_KEYS] if isinstance(one, Mapping) else []
        rest = {key: value for key, value in one.items() if key not in names[:1]} if names else one
        found.append((one[names[0]] if names else "", rest))
    return found


class AnswerReader:
    """Walks through an answer's lines and remembers under which heading it is."""

    def __init__(self, profile: Profile, task: str, truncated: bool = False):
        self.headings = headings(profile, task)
        self.aspects = profile.aspects(task)
        self.scale = profile.scale
        self.truncated = truncated
        self.entries: list[AspectReading] = []
        self.sections: dict[str, list[str]] = {name: [] for name in ("preamble", "analysis", *_CLOSING)}
        self.talked = False  # something was said before the first heading
        self.judging = False  # the heading of the judgement was there
        self.replaced: list[AspectReading] = []  # what it held before the same heading came again
        self.place = "preamble"
        self.entry: AspectReading | None = None  # under which "aspect" is the place
        self.awaited: Heading | None = None  # a Score heading stood alone: the next line may be its value
        self.title: tuple[AspectReading, list[str], int] | None = (
            None  # "Name:" stood alone, and where it is kept
        )
        self.columns: list[Heading | None] = []  # of a table
        self.last: ScoreSlot | None = None  # a value in the very last line

    def walk(self, lines: list[str]) -> None:
        for number, line in enumerate(lines, 1):
            self._read(line, last=number == len(lines))
        if self.truncated and self.place == "aspect" and self.entry and not self.entry.score_first:
            self.entry.lose(CUT)

    def settled(self, aspect: Aspect) -> AspectReading:
        """What counts of all that was read for one aspect: the surest, if it is of one mind."""
        found = self._surest(aspect, self.entries)
        if self.replaced and not self._outdone():
            # which of the two judgements was quoted is open
            if found.found != self._surest(aspect, self.replaced).found:
                found.lose(_TWICE)
        return found

    def _surest(self, aspect: Aspect, entries: list[AspectReading]) -> AspectReading:
        entries = [e for e in entries if e.aspect and e.aspect.name == aspect.name]
        top = max((e.rank for e in entries), default=0)
        best = [e for e in entries if e.rank == top and (e.said or any(s.judged for s in e.slots.values()))]
        if not best:
            return self._new(aspect)
        doubted = len(best) > 1 and any(e.doubted for e in best)
        if doubted or any(e.found != best[0].found for e in best):
            best[-1].lose(_TWICE)
            return best[-1]
        return best[0]

    def section(self, name: str) -> str:
        return "\n".join(self.sections[name]).strip()

    def read_data(self, data: Mapping | list, depth: int = 4) -> None:
        """Read an answer that was given as JSON, by the same names."""
        for key, value in _named(data):
            found = self.headings.find(f"# {key}:")
            if found and found.aspect:
                if not (found.part and self._within(found)):
                    self._open(self._new(found.aspect))
                told = value.items() if isinstance(value, Mapping) else [(found.part or "score", value)]
                for part, words in told:
                    under = self.headings.find(f"## {part}:")
                    if not under or not self._take(str(words), under, last=False):
                        self._keep(str(words))
            elif found and found.name in self.sections and not isinstance(value, (Mapping, list)):
                self.sections[found.name].append(str(value))
            elif depth and isinstance(value, (Mapping, list)):
                self.read_data(value, depth - 1)

    # one line

    def _read(self, line: str, last: bool) -> None:
        if not line or line.isspace():
            self._keep(line)
            return
        awaited, self.awaited = self.awaited, None
        title, self.title = self.title, None
        if line.lstrip().startswith("|") and self._row(line, last):
            return
        found = self.headings.find(line)
        alone = awaited and self.entry and (not found or found.name == UNKNOWN)
        if alone and self.headings.states(line, awaited.name, self._side(awaited), alone=True):
            self._take(line, awaited, last)
        elif not (found and self._follow(found, title, line, last)):
            self._keep(line)

    def _follow(self, found: Heading, title, line: str, last: bool) -> bool:
        """Do what a heading says; False if it is only content where it stands."""
        if self.place == REPEAT:
            return False
        if found.part and self._within(found):
            found = replace(found, name=found.part, aspect=None)
        if found.name in ("score", WINNER, "side", "justification"):
            return self._value_or_words(found, title, line, last)
        if found.name == UNKNOWN:
            # where the answer was cut, "## S" may be the start of a heading that is known
            return not (last and self.truncated) and self._unknown(found, line)
        if found.aspect:
            return self._aspect(found, line, last)
        return self._section(found)

    def _value_or_words(self, found: Heading, title, line: str, last: bool) -> bool:
        valued = found.name != "side" or self.headings.states(found.rest, "side", found.side)
        if title and valued:
            entry, lines, place = title
            # "It reads:" in front of "## Score" ends a justification; in the same dress it is a heading
            if entry.aspect or not (found.marked and self._busy()):
                del lines[place:]
                self._open(entry)
        if self.place == "refined" and found.hashed:
            self.place = _AFTER
            return True
        if self.place != "aspect" or self.entry is None:
            return False
        if found.name == "justification":
            self._keep(found.rest)
            self.entry.said = True
        elif not valued:
            self.entry.side = found.side  # what follows is about this picture
            return False
        elif not strip_markup(found.rest):
            self.awaited = found
        elif found.marked and self._passed_by():
            self._doubt_owner()
        elif not self._take(found.rest, found, last):
            if not self.headings.states(found.rest, found.name, self._side(found)):
                return False
            self._keep(f"> {line}")  # a quote, and from here on marked as one
        return True

    def _aspect(self, found: Heading, line: str, last: bool) -> bool:
        if self.place == "refined" and (found.hashed or found.number is not None):
            self.place = REPEAT
            return True
        if self.place in (*_CLOSING, _AFTER):
            return False  # talk about a score, not a place for one
        numbered = found.hashed or found.number is not None
        if found.rest and not numbered and self.headings.states(found.rest, alone=not self._listing()):
            if self._quoted() or self._busy():
                return False
            entry = self._new(found.aspect, INLINE)
            self._open(entry)
            self._take(found.rest, found, last)
            entry.keep("" if self.headings.pair else comment(found.rest))
        elif found.marked:
            entry = self._new(found.aspect)
            self._open(entry)
            if found.rest:
                taken = self.headings.states(found.rest) and self._take(found.rest, found, last)
                words = "" if self.headings.pair else comment(found.rest)
                entry.keep(words if taken else found.rest)
        elif not found.rest and not self._busy():
            self._wait(self._new(found.aspect, BARE), line)
        else:
            return False
        return True

    def _unknown(self, found: Heading, line: str) -> bool:
        """A heading that the protocol does not know ends the aspect: a score under it is not the aspect's."""
        if self.place == "refined" and found.hashed:
            self.place = _AFTER
            return True
        if self.place != "aspect" or self.entry is None:
            return False
        if not found.marked:
            self._wait(self._new(None, BARE), line)
            return True
        if not self.entry.judged:
            if found.label:
                return False
            if found.number == self.entry.points + 1 and not found.hashed:
                self.entry.points += 1  # a list of its own within the justification
                return False
        self._open(self._new(None))
        return True

    def _section(self, found: Heading) -> bool:
        scored = any(e.aspect for e in self.entries[:1])
        if found.name == "analysis":
            if self.place in (*_CLOSING, _AFTER) and scored:
                self.place = REPEAT
                return True
            if self.place == "aspect" and (not found.marked or self.sections["analysis"]):
                return False
            if self.sections["analysis"]:
                return False
        elif found.name == "judgement":
            if self.place in (*_CLOSING, _AFTER) and scored:
                self.place = REPEAT if found.marked else self.place
                return found.marked
            if self.judging and self.entries and not self.all_judged(self.entries):
                return False  # quoted in a justification
            # anything scored or refined before this heading was quoted from the request
            self.replaced = self.entries if self.judging else []
            self.judging, self.entries = True, []
            for name in _CLOSING:
                self.sections[name] = []
        elif found.name == "refined":
            if not self.entries or (self.place == "aspect" and self.entry and not self.entry.judged):
                return False  # quoted from the request or the picture
            self.sections["refined"] = []  # of a draft and the final one, the last
        elif self.place == "refined" and not found.marked and found.name == "summary":
            return False  # "Summary: profits" may be asked for
        self.place, self.entry = found.name, None
        self._keep(found.rest)
        return True

    def _row(self, line: str, last: bool) -> bool:
        """Read a row of a table: the aspects down its first column, what it says of them in the others."""
        if self.place in (*_CLOSING, _AFTER, REPEAT, "analysis") or self._busy():
            return False
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if all(re.fullmatch(":?-+:?", cell) for cell in cells):
            return bool(self.columns)
        first = self.headings.find(f"# {cells[0]}:")
        if not first or not first.aspect:
            under = [self.headings.find(f"## {cell}:") for cell in cells]
            if any(h and h.name in ("score", "side") for h in under):
                self.columns = under
            return bool(self.columns)
        columns = self.columns or [first, self.headings.find("## Score:")]
        if len(cells) < len(columns) or not (self.columns or self._listing()):
            return False
        self._open(self._new(first.aspect, INLINE))
        for under, cell in list(zip(columns, cells, strict=False))[1:]:
            if not under or not self._take(cell, under, last):
                self._keep(cell)
        return True

    # where the walk stands

    def _new(self, aspect: Aspect | None, rank: int = MARKED) -> AspectReading:
        names = ("a", "b", WINNER) if self.headings.pair else ("score",)
        return AspectReading(aspect, {n: ScoreSlot(WINNER if n == WINNER else "score") for n in names}, rank)

    def _within(self, found: Heading) -> bool:
        """Whether a heading that names an aspect stands under that aspect already."""
        entry = self.entry
        return self.place == "aspect" and entry is not None and entry.aspect is found.aspect

    def _busy(self) -> bool:
        """Whether an aspect under a real heading still waits for its score, so that others' are quoted."""
        entry = self.entry
        return self.place == "aspect" and entry is not None and entry.rank == MARKED and not entry.judged

    def _quoted(self) -> bool:
        """Whether an aspect without a real heading is one that the request or the picture speaks of."""
        return self.place == "analysis" or (self.place == "preamble" and self.talked)

    def _outdone(self) -> bool:
        """Whether the judgement that stands is as whole, and as plainly made up, as the one it replaced."""
        ranks = [min((e.rank for e in es if e.aspect), default=0) for es in (self.entries, self.replaced)]
        return self.all_judged(self.entries) and ranks[0] >= ranks[1]

    def all_judged(self, entries: list[AspectReading]) -> bool:
        """Whether these speak of every aspect, and give it a score, readable or not."""
        judged = {entry.aspect.name for entry in entries if entry.aspect and entry.judged}
        return judged >= {aspect.name for aspect in self.aspects}

    def _passed_by(self) -> bool:
        """Whether a plain line with a score, which may be a quote, stands between the aspect and here."""
        entry = self.entry
        plain = entry is not None and (entry.rank == INLINE or (not entry.aspect and entry.rank == BARE))
        return plain and any(slot.judged for slot in entry.slots.values())

    def _doubt_owner(self) -> None:
        """The score of the aspect before may have been a quote too, and this be the real one."""
        owner = next((e for e in reversed(self.entries) if e.rank == MARKED), None)
        if owner and not owner.score_first:
            owner.lose("more than one score stood here, and which of them was quoted is open")

    def _listing(self) -> bool:
        """Whether a plain line with a name, a score and words is one of a list of such lines."""
        listed = self.place == "aspect" and self.entry is not None and self.entry.rank == INLINE
        return listed or self.place == "judgement"

    def _wait(self, entry: AspectReading, line: str) -> None:
        """Keep a title as content until the next line shows whether it is a heading."""
        lines = self._lines()
        place = len(lines)
        self._keep(line)
        self.title = entry, lines, place

    def _open(self, entry: AspectReading) -> None:
        self.entries.append(entry)
        self.entry, self.place = entry, "aspect"

    def _lines(self) -> list[str]:
        if self.place == "aspect" and self.entry is not None:
            return self.entry.lines
        return self.sections.get(self.place, [])

    def _keep(self, line: str) -> None:
        if self.place == "aspect" and self.entry is not None:
            self.entry.keep(line)
        else:
            self._lines().append(line)
            if self.place == "preamble" and not line.isspace() and not line.startswith("```"):
                self.talked = self.talked or bool(line)

    # values

    def _side(self, under: Heading) -> str:
        return under.side or (self.entry.side if self.entry else "")

    def _take(self, text: str, under: Heading, last: bool) -> bool:
        """Take what `text` says as the current aspect's values; False if it is talk and no value."""
        entry = self.entry
        assert entry is not None
        if under.name not in ("score", WINNER, "side", "aspect"):
            return False
        values = self.headings.values(text, under.name, self._side(under))
        if set(values.values()) == {NOT_A_NUMBER} and under.name == "aspect":
            values = dict.fromkeys(entry.slots, NOT_A_NUMBER)
        # what follows a score is its justification, and what is plainer than the score quotes something
        talk = [
            name
            for name in values
            if (slot := entry.slots[name]).judged
            and (entry.score_first or (slot.marked and not under.marked))
        ]
        entry.doubted = entry.doubted or bool(talk and under.marked)
        values = {name: value for name, value in values.items() if name not in talk}
        if not values:
            return False
        if not any(slot.judged for slot in entry.slots.values()):
            entry.score_first = not entry.said
        for name, value in values.items():
            slot = entry.slots[name]
            slot.judged, slot.marked = True, slot.marked or under.marked
            slot.fill(value, text, self.scale, name == WINNER or not entry.aspect or entry.aspect.optional)
            if last:
                self.last = slot
                if self.truncated:
                    slot.lose(CUT)
        return True
