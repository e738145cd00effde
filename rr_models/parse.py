"""A critic's answer as text -> Critique. Knows which heading counts where, and nothing of models or pictures.

Headings are found by name at the start of a line, in whatever Markdown dress and order; all else is
content. A score counts only where it stands under an aspect, as a Score heading or right behind the
aspect's name; numbers in a justification, the analysis, the summary or the refined request never do. What
cannot be read, or was said twice and differently, is missing, not guessed. One pass over the lines, linear in
the length of the answer; no text makes it raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .critique import (
    ASPECTS,
    BEST,
    COMPLETE,
    INCOMPLETE,
    MISSING,
    NOT_APPLICABLE,
    REFUSED,
    SCORED,
    TRUNCATED,
    WORST,
    Aspect,
    AspectScore,
    Critique,
)
from .headings import ASPECT_NAMES, UNKNOWN, Heading, heading
from .values import REFUSAL, bare, prompt, score

_CLOSING = ("summary", "comments", "refined")
_AFTER = "after"  # behind the refined request, under a heading of the critic's own
_REPEAT = "repeat"  # a second answer behind the first; nothing in it counts

# how sure it is that a line opened an aspect: "Text Rendering: 4.0" may be written in the picture
_INLINE, _BARE, _MARKED = 1, 2, 3


@dataclass
class _Entry:
    """What was read under one heading. Without an aspect it only keeps foreign scores from a real one."""

    aspect: Aspect | None
    rank: int = _MARKED
    lines: list[str] = field(default_factory=list)
    status: str = MISSING
    score: float | None = None
    notes: list[str] = field(default_factory=list)
    said: bool = False  # holds words
    judged: bool = False  # a Score stood here, readable or not
    marked: bool = False  # its Score heading had a "#", bold type or a number
    score_first: bool = False  # its Score stood before its Justification
    points: int = 0  # of a numbered list within its justification

    def keep(self, line: str) -> None:
        self.lines.append(line)
        self.said = self.said or not (not line or line.isspace())

    def lose(self, note: str) -> None:
        self.status, self.score, self.notes = MISSING, None, [note]


def parse(text: str, task: str, request: str, *, truncated: bool = False) -> Critique:
    """Read one answer. `truncated`: its length limit stopped the critic, so the end cannot be trusted."""
    if task not in ASPECTS:
        raise ValueError(f"task must be one of {', '.join(ASPECTS)}, not {task!r}.")
    reader = _Reader(truncated)
    lines = _without_thinking(text).split("\n")
    for number, line in enumerate(lines, 1):
        reader.read(line, last=number == len(lines))
    return reader.critique(task, request, text)


class _Reader:
    """Walks through an answer's lines and remembers under which heading it is."""

    def __init__(self, truncated: bool):
        self.truncated = truncated
        self.entries: list[_Entry] = []
        self.sections: dict[str, list[str]] = {name: [] for name in ("preamble", "analysis", *_CLOSING)}
        self.talked = False  # something was said before the first heading
        self.place = "preamble"
        self.entry: _Entry | None = None  # under which "aspect" is the place
        self.awaited: Heading | None = None  # a Score heading stood alone: the next line may be its value
        self.title: tuple[_Entry, list[str], int] | None = None  # "Name:" stood alone, and where it is kept

    def read(self, line: str, last: bool) -> None:
        if not line or line.isspace():
            self._keep(line)
            return
        awaited, self.awaited = self.awaited, None
        title, self.title = self.title, None
        found = heading(line)
        if (
            awaited
            and self.entry
            and (not found or found.name == UNKNOWN)
            and score(line, alone=True) is not None
        ):
            self._take(line, awaited, last)
        elif not (found and self._follow(found, title, line, last)):
            self._keep(line)

    def critique(self, task: str, request: str, text: str) -> Critique:
        if self.truncated and self.place == "aspect" and self.entry and not self.entry.score_first:
            self.entry.lose("the answer was cut off at its score")
        entries = [_settled(a, [e for e in self.entries if e.aspect == a]) for a in ASPECTS[task]]
        notes = [f"{e.aspect.name}: {note}" for e in entries for note in e.notes]
        lost = [e.aspect.name for e in entries if e.status == MISSING]
        parts = {name: "\n".join(lines).strip() for name, lines in self.sections.items()}
        refined = prompt(parts["refined"])
        if self.truncated:
            notes.append("the answer was cut off by its length limit")
        if self.truncated and self.place == "refined":
            notes.append("the unfinished refined request is left out")
            refined = ""
        status = COMPLETE
        if lost:
            notes.append(f"no score for: {', '.join(lost)}")
            refused = not self.entries and REFUSAL.match(parts["preamble"] or parts["analysis"])
            status = TRUNCATED if self.truncated else REFUSED if refused else INCOMPLETE
        return Critique(
            task=task,
            request=request,
            aspects=tuple(
                AspectScore(e.aspect.key, e.aspect.name, e.status, e.score, "\n".join(e.lines).strip())
                for e in entries
            ),
            status=status,
            analysis=parts["analysis"] or parts["preamble"],
            summary=parts["summary"],
            refinement_comments=parts["comments"],
            refined_request=refined,
            text=text,
            notes=tuple(notes),
        )

    def _follow(self, found: Heading, title, line: str, last: bool) -> bool:
        """Do what a heading says; False if it is only content where it stands."""
        if self.place == _REPEAT:
            return False
        if found.name in ("score", "justification"):
            return self._score_or_words(found, title, last)
        if found.name == UNKNOWN:
            return self._unknown(found, line)
        if found.name in ASPECT_NAMES:
            return self._aspect(found, line, last)
        return self._section(found)

    def _score_or_words(self, found: Heading, title, last: bool) -> bool:
        if title:
            entry, lines, place = title
            # "It reads:" in front of "## Score" ends a justification; in the same dress it is a heading
            if entry.aspect or not (found.marked and self._busy()):
                del lines[place:]
                self._open(entry)
        if self.place == "refined" and found.hashed:
            self.place = _AFTER
            return True
        if self.place != "aspect":
            return False
        if found.name == "justification":
            self._keep(found.rest)
        elif bare(found.rest):
            self._take(found.rest, found, last)
        else:
            self.awaited = found
        return True

    def _aspect(self, found: Heading, line: str, last: bool) -> bool:
        aspect = ASPECT_NAMES[found.name]
        if self.place == "refined" and (found.hashed or found.number is not None):
            self.place = _REPEAT
            return True
        if self.place in (*_CLOSING, _AFTER):
            return False  # talk about a score, not a place for one
        numbered = found.hashed or found.number is not None
        if found.rest and not numbered and score(found.rest, alone=True) is not None:
            quoted = self.place == "analysis" or (self.place == "preamble" and self.talked)
            if quoted or self._busy():
                return False
            self._open(_Entry(aspect, _INLINE))
            self._take(found.rest, found, last)
        elif found.marked:
            entry = _Entry(aspect)
            self._open(entry)
            if found.rest and (score(found.rest) is None or not self._take(found.rest, found, last)):
                entry.keep(found.rest)
        elif not found.rest and not self._busy():
            self._wait(_Entry(aspect, _BARE), line)
            return True
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
            self._wait(_Entry(None), line)
            return True
        if not self.entry.judged:
            if found.label:
                return False
            if found.number == self.entry.points + 1 and not found.hashed:
                self.entry.points += 1  # a list of its own within the justification
                return False
        self._open(_Entry(None))
        return True

    def _section(self, found: Heading) -> bool:
        scored = any(e.aspect for e in self.entries[:1])
        if found.name == "analysis":
            if self.place in (*_CLOSING, _AFTER) and scored:
                self.place = _REPEAT
                return True
            if self.place == "aspect" and (not found.marked or self.sections["analysis"]):
                return False
            if self.sections["analysis"]:
                return False
        elif found.name == "judgement":
            if self.place in (*_CLOSING, _AFTER) and scored:
                self.place = _REPEAT if found.marked else self.place
                return found.marked
            # anything scored or refined before this heading was quoted from the request
            self.entries = []
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

    def _busy(self) -> bool:
        """Whether an aspect under a real heading still waits for its score, so that others' are quoted."""
        entry = self.entry
        return self.place == "aspect" and entry is not None and entry.rank == _MARKED and not entry.judged

    def _wait(self, entry: _Entry, line: str) -> None:
        """Keep a title as content until the next line shows whether it is a heading."""
        lines = self._lines()
        place = len(lines)
        self._keep(line)
        self.title = entry, lines, place

    def _open(self, entry: _Entry) -> None:
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

    def _take(self, text: str, under: Heading, last: bool) -> bool:
        """Take `text` as the current aspect's score, if it is one."""
        entry = self.entry
        assert entry is not None
        found = score(text)
        before = entry.status
        if before != MISSING and (entry.score_first or (entry.marked and not under.marked)):
            return False  # what follows a score is its justification, and this line of it quotes something
        if entry.judged is False:
            entry.score_first = not entry.said
        entry.judged = True
        entry.marked = entry.marked or under.marked
        if found is None:
            entry.lose(f"its score cannot be read: {bare(text)[:60]!r}")
        elif last and self.truncated:
            entry.lose("the answer was cut off at its score")
        elif before != MISSING and (before == NOT_APPLICABLE) != isinstance(found, str):
            entry.lose("it was answered with N/A and with a number")
        else:
            entry.notes = ["more than one score stood here; the last was taken"] if before != MISSING else []
            entry.status, entry.score, note = _judged(found, entry.aspect)
            entry.notes += [note] if note else []
        return found is not None


def _settled(aspect: Aspect, entries: list[_Entry]) -> _Entry:
    """What counts of all that was read for one aspect: the surest, if it is of one mind."""
    top = max((e.rank for e in entries), default=0)
    best = [e for e in entries if e.rank == top and (e.said or e.judged)]
    if not best:
        return _Entry(aspect)
    if len({(e.status, e.score) for e in best}) > 1:
        best[-1].lose("it was judged more than once, and differently")
        return best[-1]
    return best[0]


def _judged(found: tuple[float, ...] | str, aspect: Aspect | None) -> tuple[str, float | None, str]:
    """Status, score and a note, if anything had to be mended."""
    if isinstance(found, str):
        if aspect is None or aspect.optional:
            return NOT_APPLICABLE, None, ""
        return MISSING, None, "answered N/A, but it always applies"
    value = sum(found) / len(found)
    if WORST <= value <= BEST:
        return SCORED, value, ""
    edge = min(max(value, WORST), BEST)
    return SCORED, edge, f"{value:g} lies outside {WORST:g} to {BEST:g} and was brought to its edge"


def _without_thinking(text: str) -> str:
    """The answer proper, behind a think block; nothing if the thinking never ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith("<think>"):
        return text.partition("</think>")[2]
    head, closed, rest = text.partition("\n</think>")  # the opening tag stood in the prompt
    return rest if closed else head
