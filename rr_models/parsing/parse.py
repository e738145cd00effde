"""A critic's answer as text -> Critique or Verdict. Knows nothing of models or images.

cleanup.py removes thinking and loops, answer_reader.py decides which value counts; here the readings become
scores, a status and notes. No text raises an error, and time is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..judgement.answer_format import Key
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
from .answer_reader import AnswerReader
from .cleanup import LINES, plain_lines, without_loop, without_quote_marks, without_thinking
from .json_answer import json_within, read_json, whole_json
from .places import Opening, Place
from .readings import CUT_OFF, AspectReading, ScoreSlot
from .refined_prompt import prompt, refuses

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
    return read_answer(text, task, request, truncated=truncated, profile=profile).judgement


@dataclass(frozen=True)
class AnswerReading:
    """A judgement, and where it stands in the answer. Lines are counted from 0.

    `value_lines`: the line of each score and winner, readable or not. `openings`: the lines that open an
    aspect or a section, first to last. Both are empty for an answer whose lines do not end in "\\n" or
    "\\r\\n", and for JSON.
    """

    judgement: Any
    value_lines: Mapping[Key, int]
    openings: tuple[Opening, ...]


def read_answer(
    text: str,
    task: Task | str,
    request: str,
    *,
    truncated: bool = False,
    profile: Profile = RATIONAL_REWARDS,
) -> AnswerReading:
    """As `parse_answer`, with the places of what was read."""
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
        "analysis": reader.texts.of(Place.ANALYSIS) or reader.texts.of(Place.PREAMBLE),
        "summary": reader.texts.of(Place.SUMMARY),
        "text": text,
        "notes": tuple(notes),
        "scale": profile.scale,
    }
    if task.is_pair:
        judgement: Critique | Verdict = Verdict(**common)
    else:
        judgement = Critique(
            **common,
            refinement_comments=reader.texts.of(Place.COMMENTS),
            refined_request=prompt(reader.texts.of(Place.REFINED)),
        )
    if not reader.walked or plain_lines(text) != text.replace("\r\n", "\n"):
        return AnswerReading(judgement, {}, ())
    return AnswerReading(judgement, _value_lines(readings), tuple(reader.openings))


def summary_dict(judgement: Critique | Verdict) -> dict[str, Any]:
    """What was read, as plain data for JSON, without the answer's text and its source."""
    if isinstance(judgement, Verdict):
        names = ("overall_a", "overall_b", "winner")
        scores = ("score_a", "score_b", "winner")
        texts = ("summary",)
    else:
        names = ("overall", "reward")
        scores = ("score",)
        texts = ("summary", "refinement_comments", "refined_request")
    summary = {name: getattr(judgement, name) for name in ("status", *names)}
    summary["aspects"] = {
        aspect.key: {name: getattr(aspect, name) for name in ("status", *scores, "justification")}
        for aspect in judgement.aspects
    }
    summary |= {name: getattr(judgement, name) for name in texts}
    return summary | {"notes": list(judgement.notes)}


def _check_task(task: Task | str, pair: bool) -> None:
    if Task.parse(task).is_pair != pair:
        usable = ", ".join(other for other in Task if other.is_pair == pair)
        raise ValueError(f"task must be one of {usable}, not '{task}'.")


def _read(text: str, task: Task, truncated: bool, profile: Profile) -> tuple[AnswerReader, list[str]]:
    """The reader of one answer, and notes about the answer as a whole."""
    answer = without_quote_marks(without_thinking(plain_lines(text)))
    notes = []
    if text.strip() and not answer.strip():
        notes.append("there is nothing but thinking")
    data = whole_json(answer)
    if isinstance(data, str):
        answer = data  # the whole answer as one JSON text
    elif data:
        return read_json(data, profile, task), notes
    lines, loop = without_loop(answer.split("\n"))
    # what comes before a loop was written to its end
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
        notes.append("a second answer after the first is left out")
    if loop:
        notes.append("the answer repeats itself at its end; the repetition is left out")
    if truncated:
        notes.append("the answer was cut off by its length limit")
    elif not loop and (_half_a_number(reader) or _breaks_off(reader, lines)):
        notes.append("the answer breaks off")
        reader.truncated = True
    if reader.place is Place.REFINED and reader.truncated and loop != LINES:
        if prompt(reader.texts.of(Place.REFINED)):
            notes.append("the unfinished refined request is left out")
        reader.texts.drop(Place.REFINED)
    return reader, notes


def _value_lines(readings: Sequence[AspectReading]) -> dict[Key, int]:
    parts = {"a": "score_a", "b": "score_b"}
    return {
        (reading.aspect.key, parts.get(name, name)): slot.line
        for reading in readings
        for name, slot in reading.slots.items()
        if reading.aspect and slot.line is not None
    }


def _status(reader: AnswerReader, missing: list[str], notes: list[str]) -> str:
    if not missing:
        return COMPLETE
    notes.append(f"no score for: {', '.join(missing)}")
    opening = reader.texts.of(Place.PREAMBLE) or reader.texts.of(Place.ANALYSIS)
    if not reader.readings.current and refuses(opening):
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


def _pair_score(reading: AspectReading, all_notes: list[str]) -> PairScore:
    aspect = reading.aspect
    assert aspect is not None
    a, b, winner = (reading.slots[name] for name in ("a", "b", "winner"))
    notes = list(dict.fromkeys(f"{side}{note}" for side, slot in _sides(a, b) for note in slot.notes))
    justification = "\n".join(reading.lines).strip()
    score = PairScore(aspect.key, aspect.name, justification=justification)
    statuses = {a.status, b.status}
    if statuses == {SCORED}:
        by_scores = winner_of(a.score - b.score, 0.0)
        named = winner.winner if winner.status == SCORED else by_scores
        if winner.status != SCORED:
            notes += [note for note in winner.notes if note != CUT_OFF]
            notes.append(f"no winner could be read; by the scores it is {by_scores}")
        elif named != by_scores:
            notes.append(f"the winner is named as {named}; by the scores it is {by_scores}")
        score = PairScore(aspect.key, aspect.name, SCORED, a.score, b.score, named, justification)
    elif statuses == {NOT_APPLICABLE} or (
        aspect.optional and winner.status == NOT_APPLICABLE and not (a.judged or b.judged)
    ):
        score = PairScore(aspect.key, aspect.name, NOT_APPLICABLE, justification=justification)
        if winner.status == SCORED:
            notes.append(f"the winner is named as {winner.value}, but neither has a score")
    elif len(statuses) > 1:
        notes.append("its scores do not make a pair")
    all_notes += [f"{aspect.name}: {note}" for note in notes]
    return score


def _sides(a: ScoreSlot, b: ScoreSlot) -> list[tuple[str, ScoreSlot]]:
    """Both slots, each with the prefix of its notes: none if both have the same notes."""
    return [("", a), ("", b)] if a.notes == b.notes else [("A: ", a), ("B: ", b)]


def _half_a_number(reader: AnswerReader) -> bool:
    """Whether the text ends in a number that may go on: a "3" in an answer that is incomplete, or that writes
    "3.5" elsewhere."""
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
    if reading is None or not reading.aspect or reading.judged:
        return False
    end = next((line for line in reversed(lines) if line.strip()), "")
    return not end.rstrip().endswith(tuple(_ENDED))
