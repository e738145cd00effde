"""rational-rewards parse and messages: what needs no model."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from ..judgement.critique import COMPLETE, report
from ..judgement.task import Task
from ..parsing.parse import parse_answer, summary_dict
from . import common
from .common import OK, UNJUDGED


def add(commands) -> None:
    tasks = [str(task) for task in Task]
    read = common.add_command(commands, "parse", run_parse, "read an answer that a critic has written")
    read.add_argument("file", metavar="FILE", help="the answer's file, or - for standard input")
    read.add_argument("--task", choices=tasks, default="t2i")
    read.add_argument("--truncated", action="store_true", help="the token limit has cut the answer off")
    read.add_argument("--aspects", type=Path, help="JSON file with your own aspects")

    messages = common.add_command(commands, "messages", run_messages, "show the prompt as chat messages")
    messages.add_argument("--task", choices=tasks, default="t2i")
    messages.add_argument("--request", required=True, help="what was asked for")
    messages.add_argument("--model-dir", type=Path, help="model folder whose card may hold the prompt")
    messages.add_argument("--sources", type=int, default=1, help="number of source images of an edit")
    common.add_wording_options(messages)


def run_parse(options: Namespace) -> int:
    text, profile = _read_text(options.file), common.profile(options)
    judgement = parse_answer(text, options.task, "", truncated=options.truncated, profile=profile)
    if options.json:
        common.print_json(summary_dict(judgement))
    else:
        print(report(judgement))
    return OK if judgement.status == COMPLETE else UNJUDGED


def run_messages(options: Namespace) -> int:
    if not options.request.strip():
        raise ValueError("--request is empty: say what was asked for.")
    wording = common.wording(options, options.model_dir)
    if options.model_dir and not options.model_dir.is_dir():
        raise ValueError(f"--model-dir: there is no folder {options.model_dir}.")
    for notice in wording.notices:
        print(f"rational-rewards: {notice}", file=sys.stderr)
    common.print_json(wording.messages(options.task, options.request, options.sources))
    return OK


def _read_text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror or error}).") from error
    text = data.decode("utf-8-sig", errors="replace")
    if b"\0" in data or text.count("\ufffd") * 10 > len(text):
        raise ValueError(f"{file} is not UTF-8 text. Give the answer as the critic wrote it.")
    return text
