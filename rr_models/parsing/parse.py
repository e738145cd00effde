"""A critic's answer as text -> Critique or Verdict. Knows nothing of models or pictures.

Which value counts is decided in answers.py. Here an answer is freed of thinking, of loops and of JSON, and
what was read becomes scores, a status and notes. No text makes it raise; time is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..judgement.aspects import RATIONAL_REWARDS, Profile
from ..judgement.critique import (
    COMPLETE,
    INCOMPLETE,
    MISSING,
    NOT_APPLICABLE,
    REFUSED,
    SCORED,
    TRUNCATED,
    AspectScore,
    Critique,
)
from ..judgement.task import Task
from ..judgement.verdict import PairScore, Verdict, winner_of
from .answer_reader import AnswerReader, Place
from .json_answer import json_within, read_json, whole_json
from .readings import CUT_OFF, AspectReading, ScoreSlot
from .refined_prompt import prompt, refuses

_COPIES = 4  # so many copies of one thing at the end of an answer are a loop, not emphasis
_LINES, _SIGNS = "lines", "signs"  # what a loop repeats
_LONGEST_LOOP = 200  # lines or signs
_SHORTEST_TAIL = 60  # signs; "......" is no loop

_THINK = re.compile(r"(?P<opens>^[ \t]*<think(?:ing)?>)|</think(?:ing)?>", re.I | re.M)
_ODD_LINE_ENDS = re.compile("[\v\f\x85\u2028\u2029]")
_QUOTED_LINE = re.compile(r"^[ \t]*>[ \t]?", re.M)
_FRACTION = re.compile(r"[0-9][.,][0-9]")
_WHOLE_NUMBER_LAST = re.compile(r"(?<![0-9.,/])(?<!/ )(?<!of )[0-9]{1,9}[.,]?$")  # not the 4 of "3.5/4"
_ENDED = ".!?。！？…)）]\"”'’」*`|"


def parse(
    text: str,
    task: Task | str,
    request: str,
    *,
    truncated: bool = False,
    profile: Profile = RATIONAL_REWARDS,
) -> Critique:
    """Read one answer about one image ("t2i", "edit"). `truncated`: its length limit stopped the critic, so
    the end cannot be trusted. ValueError for any other task."""
    _check_task(task, pair=False)
    return parse_answer(text, task, request, truncated=truncated, profile=profile)


def parse_pair(
    text: str,
    task: Task | str,
    request: str,
    *,
    truncated: bool = False,
    profile: Profile = RATIONAL_REWARDS,
) -> Verdict:
    """Read one answer that compares two images ("t2i-pair", "edit-pair").

    An aspect is missing unless both scores can be read. The winner is the critic's own word; where it
    contradicts the scores a note says so, and where it is missing the scores decide. The overall winner
    comes from the scores alone. ValueError for any other task.
    """
    _check_task(task, pair=True)
    return parse_answer(text, task, request, truncated=truncated, profile=profile)


def parse_answer(
    text: str,
    task: Task | str,
    request: str,
    *,
    truncated: bool = False,
    profile: Profile = RATIONAL_REWARDS,
) -> Any:
    """Read one answer: a Critique from `parse` or a Verdict from `parse_pair`, by the task."""
    task = Task.parse(task)
    reader, answer_notes = _read(text, task, truncated, profile)
    readings = [reader.readings.settled(aspect) for aspect in profile.aspects(task)]
    notes: list[str] = []
    to_score = _pair_score if task.is_pair else _aspect_score
    aspects = tuple(to_score(reading, notes) for reading in readings)
    notes += answer_notes
    status = _status(reader, [a.name for a in aspects if a.status == MISSING], notes)
    common = {
        "task": task,
        "request": request,
        "aspects": aspects,
        "status": status,
        "analysis": reader.text(Place.ANALYSIS) or reader.text(Place.PREAMBLE),
        "summary": reader.text(Place.SUMMARY),
        "text": text,
        "notes": tuple(notes),
        "scale": profile.scale,
    }
    if task.is_pair:
        return Verdict(**common)
    return Critique(
        **common,
        refinement_comments=reader.text(Place.COMMENTS),
        refined_request=prompt(reader.text(Place.REFINED)),
    )


def summary_dict(result: Critique | Verdict) -> dict[str, Any]:
    """What was read, as plain data for JSON, without the answer's text and where it came from."""
    if isinstance(result, Verdict):
        worked_out, scores = ("overall_a", "overall_b", "winner"), ("score_a", "score_b", "winner")
        words = ("summary",)
    else:
        worked_out, scores = ("overall", "reward"), ("score",)
        words = ("summary", "refinement_comments", "refined_request")
    told = {name: getattr(result, name) for name in ("status", *worked_out)}
    told["aspects"] = {
        a.key: {name: getattr(a, name) for name in ("status", *scores, "justification")}
        for a in result.aspects
    }
    return told | {name: getattr(result, name) for name in words} | {"notes": list(result.notes)}


def _check_task(task: Task | str, pair: bool) -> None:
    if Task.parse(task).is_pair != pair:
        usable = ", ".join(other for other in Task if other.is_pair == pair)
        raise ValueError(f"task must be one of {usable}, not '{task}'.")


def _read(text: str, task: Task, truncated: bool, profile: Profile) -> tuple[AnswerReader, list[str]]:
    """The walk through one answer, and notes about the answer as a whole."""
    lined = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n" not in lined:
        lined = _ODD_LINE_ENDS.sub("\n", lined)
    answer = _unquoted(_without_thinking(lined))
    notes = []
    if text.strip() and not answer.strip():
        notes.append("there is nothing but thinking")
    data = whole_json(answer)
    if isinstance(data, str):
        answer = data  # the whole answer as one JSON text
    elif data:
        return read_json(data, profile, task), notes
    lines, loop = _without_loop(answer.split("\n"))
    # what stands before a loop was written to its end
    reader = AnswerReader(profile, task, truncated=truncated and not loop)
    reader.walk(lines)
    if (
        reader.place is Place.PREAMBLE
        and not truncated
        and isinstance(data := json_within(answer), (dict, list))
    ):
        within = read_json(data, profile, task)
        if within.readings.complete:
            return within, notes  # words around it, none of them a heading
    reader.truncated = truncated or bool(loop)
    if reader.place is Place.REPEAT:
        notes.append("a second answer behind the first is left out")
    if loop:
        notes.append("the answer repeats itself at its end; the repetition is left out")
    if truncated:
        notes.append("the answer was cut off by its length limit")
    elif not loop and (_half_a_number(reader) or _breaks_off(reader, lines)):
        notes.append("the answer breaks off")
        reader.truncated = True
    if reader.place is Place.REFINED and reader.truncated and loop != _LINES:
        if prompt(reader.text(Place.REFINED)):
            notes.append("the unfinished refined request is left out")
        reader.drop_text(Place.REFINED)
    return reader, notes


def _status(reader: AnswerReader, missing: list[str], notes: list[str]) -> str:
    if not missing:
        return COMPLETE
    notes.append(f"no score for: {', '.join(missing)}")
    said = reader.text(Place.PREAMBLE) or reader.text(Place.ANALYSIS)
    if not reader.readings.current and refuses(said):
        return REFUSED
    return TRUNCATED if reader.truncated else INCOMPLETE


def _aspect_score(reading: AspectReading, notes: list[str]) -> AspectScore:
    slot, aspect = reading.slots["score"], reading.aspect
    assert aspect is not None
    notes += [f"{aspect.name}: {note}" for note in slot.notes]
    return AspectScore(
        aspect.key,
        aspect.name,
        slot.status,
        slot.score if slot.status == SCORED else None,
        "\n".join(reading.lines).strip(),
        written=slot.written,
    )


def _pair_score(reading: AspectReading, told: list[str]) -> PairScore:
    aspect = reading.aspect
    assert aspect is not None
    a, b, winner = (reading.slots[name] for name in ("a", "b", "winner"))
    notes = list(dict.fromkeys(f"{side}{n}" for side, s in _sides(a, b) for n in s.notes))
    words = "\n".join(reading.lines).strip()
    result = PairScore(aspect.key, aspect.name, justification=words)
    statuses = {a.status, b.status}
    if statuses == {SCORED}:
        by_scores = winner_of(a.score - b.score, 0.0)
        named = winner.winner if winner.status == SCORED else by_scores
        if winner.status != SCORED:
            notes += [note for note in winner.notes if note != CUT_OFF]
            notes.append(f"no winner could be read; by the scores it is {by_scores}")
        elif named != by_scores:
            notes.append(f"the winner is named as {named}; by the scores it is {by_scores}")
        result = PairScore(aspect.key, aspect.name, SCORED, a.score, b.score, named, words)
    elif statuses == {NOT_APPLICABLE} or (
        aspect.optional and winner.status == NOT_APPLICABLE and not (a.judged or b.judged)
    ):
        result = PairScore(aspect.key, aspect.name, NOT_APPLICABLE, justification=words)
        if winner.status == SCORED:
            notes.append(f"the winner is named as {winner.value}, but neither has a score")
    elif len(statuses) > 1:
        notes.append("its scores do not make a pair")
    told += [f"{aspect.name}: {note}" for note in notes]
    return result


def _sides(a: ScoreSlot, b: ScoreSlot) -> list[tuple[str, ScoreSlot]]:
    """Both, with what to put before their notes: nothing if the same happened to both."""
    return [("", a), ("", b)] if a.notes == b.notes else [("A: ", a), ("B: ", b)]


def _half_a_number(reader: AnswerReader) -> bool:
    """Whether the text ends in a number that may go on: a "3" in an answer that is not whole, or that else
    writes "3.5"."""
    if reader.last_slot is None or not _WHOLE_NUMBER_LAST.search(reader.last_slot.text):
        return False
    texts = (slot.text for reading in reader.readings.current for slot in reading.slots.values())
    half = not reader.readings.complete or any(map(_FRACTION.search, texts))
    if half:
        reader.last_slot.discard("the answer may have been cut off at its score")
    return half


def _breaks_off(reader: AnswerReader, lines: Sequence[str]) -> bool:
    """Whether the answer stops in the middle of an aspect, so that something must have cut it off."""
    reading = reader.reading
    if reader.place is not Place.ASPECT or reading is None or not reading.aspect or reading.judged:
        return False
    end = next((line for line in reversed(lines) if line.strip()), "")
    return not end.rstrip().endswith(tuple(_ENDED))


def _without_thinking(text: str) -> str:
    """The answer proper, without think blocks; nothing if the thinking never ends."""
    kept: list[str] = []
    start, thinking, thought = 0, False, False
    first, closed = len(text) - len(text.lstrip()), text.lower().rfind("</think")
    for tag in _THINK.finditer(text):
        before, after = text[tag.start() - 1 : tag.start()], text[tag.end() : tag.end() + 1]
        if thinking:
            if not tag["opens"]:
                thinking, start = False, tag.end()
        elif tag["opens"]:
            behind = text[tag.end() : tag.end() + 40].partition("\n")[0]
            if tag.start() > max(first, closed) and behind.strip():
                continue  # somebody's words about a tag
            kept.append(text[start : tag.start()])
            thinking = thought = True
        elif not thought and (before in ("", "\n") or after in ("", "\n")):
            start, thought = tag.end(), True  # the opening tag stood in the prompt
    return "".join(kept) + ("" if thinking else text[start:])


def _unquoted(text: str) -> str:
    """Without the marks of a Markdown quote, if every line of the answer has one."""
    lines = [line for line in text.split("\n") if line.strip()]
    quoted = len(lines) > 1 and all(line.lstrip().startswith(">") for line in lines)
    return _QUOTED_LINE.sub("", text) if quoted else text


def _without_loop(lines: list[str]) -> tuple[list[str], str]:
    """The lines up to the end of the first copy of what is repeated at the end, and what is repeated, if
    anything: lines, or signs within the last one (which stay)."""
    solid = [number for number, line in enumerate(lines) if line and not line.isspace()]
    said = [lines[number].strip() for number in solid]
    if end := _first_copy(said):
        return lines[: solid[end - 1] + 1], _LINES
    tail = said[-1][-12 * _LONGEST_LOOP :] if said else ""
    return lines, _SIGNS if _first_copy(tail, _SHORTEST_TAIL) else ""


def _first_copy(said: Sequence[str], shortest: int = 1) -> int:
    """Where the first copy ends of what the end repeats (the last copy may be cut); 0 if nothing."""
    for period in range(1, min(_LONGEST_LOOP, len(said) // _COPIES) + 1):
        end = len(said)
        if not said[end - 1 - period].startswith(said[end - 1]):
            continue
        start = end - 1
        while start > period and said[start - 1] == said[start - 1 - period]:
            start -= 1
        start -= period
        if end - start >= max(_COPIES * period, shortest):
            return start + period
    return 0
