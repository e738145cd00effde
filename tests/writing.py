"""Letting a scripted critic write many answers at once, and what it makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from rr_tests.natural_answers import NaturalAnswer
from rr_tests.real_vocabulary import in_style
from rr_tests.scripted import Always, Answer, Loops, RandomWords, Writes, scripted

from rr_models.critics.base import Question
from rr_models.critics.free_answer import Trace
from rr_models.critics.options import JudgeOptions
from rr_models.engine.sequence import Completion
from rr_models.judgement.critique import NOT_APPLICABLE, SCORED
from rr_models.judgement.task import Task
from rr_models.judgement.verdict import Verdict

REQUEST = "A red fox asleep on a blue chair."
MISSING = "missing"
IMAGE = torch.zeros(64, 64, 3)


@dataclass(frozen=True)
class Written:
    """A judgement, the completion that it was read from, and what happened while it was written; `meant` are
    the token ids of the answer's text, if it has one."""

    judgement: Any
    completion: Completion
    meant: list[int]
    trace: Trace


def scores(judgement: Any) -> tuple:
    """Its scores in the form of `NaturalAnswer.scores`, or MISSING."""
    pair = isinstance(judgement, Verdict)

    def read(aspect):
        if aspect.status == NOT_APPLICABLE:
            return None
        if aspect.status != SCORED:
            return MISSING
        return (aspect.score_a, aspect.score_b, aspect.winner) if pair else aspect.score

    return tuple(map(read, judgement.aspects))


def write(critic, answers: Sequence[NaturalAnswer], **options) -> list[Written]:
    """Let the critic write these texts."""
    written: dict[int, Written] = {}
    for style in sorted({answer.style for answer in answers}):
        numbers = [number for number, answer in enumerate(answers) if answer.style == style]
        texts = [Writes(critic.tokenizer, answers[number].text) for number in numbers]
        tasks = [answers[number].task for number in numbers]
        for number, one in zip(
            numbers, write_any(in_style(critic, style), texts, tasks, **options), strict=True
        ):
            written[number] = one
    return [written[number] for number in range(len(answers))]


def write_any(critic, answers: Sequence[Answer], tasks: Sequence[str], **options) -> list[Written]:
    """Let the critic write whatever follows from these functions."""
    by_request = {f"{REQUEST} ({number})": answer for number, answer in enumerate(answers)}
    questions = []
    for request, task in zip(by_request, map(Task, tasks), strict=True):
        images = (IMAGE, IMAGE) if task.is_pair else (IMAGE,)
        questions.append(Question(task, request, images, (IMAGE,) if task.has_source else ()))
    traces: list[Trace] = []

    def judgement(generation, options):
        traces.append(generation.trace)
        return read(generation, options)

    read = critic.generator.judgement
    with scripted(critic, by_request) as script, mock.patch.object(critic.generator, "judgement", judgement):
        judgements = critic.judge(questions, JudgeOptions(batch_size=32, **options))
    return [
        Written(judgement, *script.written[request], getattr(answer, "ids", [])[:-1], trace)
        for judgement, trace, (request, answer) in zip(judgements, traces, by_request.items(), strict=True)
    ]


def nonsense(critic) -> Mapping[str, Answer]:
    """What broken models write, by name. None of it holds a score."""
    tokenizer, size = critic.tokenizer, critic.model.config.get_text_config().vocab_size

    def always(text: str) -> Always:
        return Always(tokenizer(text, add_special_tokens=False).input_ids[0])

    endless = " The fox is red and the chair is green."
    endless_zh = "这张图片里有一只红色的狐狸，它睡在绿色的椅子上，光线柔和，背景干净。"
    return {
        "one sentence over and over": Loops(tokenizer, endless),
        "one line over and over": Loops(tokenizer, f"{endless}\n"),
        "Chinese without end": Loops(tokenizer, endless_zh),
        "thinking without end": Loops(tokenizer, "<think>\nHmm, let me see. "),
        "ever new words": RandomWords(len(tokenizer)),
        "always ' a'": always(" a"),
        "always a line end": always("\n"),
        "always '#'": always("#"),
        "always a blank": always(" "),
        "always '3'": always("3"),
        "always half a character": always("🦊"),
        "always <|image_pad|>": always("<|image_pad|>"),
        "always <|vision_start|>": always("<|vision_start|>"),
        "always <|im_start|>": always("<|im_start|>"),
        "always <think>": always("<think>"),
        "always a token that is none": Always(size - 1),
        "ends at once": always("<|im_end|>"),
        "ends at once, as a base model does": always("<|endoftext|>"),
        "Chinese without headings": Writes(tokenizer, endless_zh),
        "words without headings": Writes(tokenizer, endless.strip()),
        "refuses": Writes(tokenizer, "I'm sorry, but I can't assist with that request."),
        "refuses in Chinese": Writes(tokenizer, "抱歉，我无法对这张图片进行评价。"),
    }
