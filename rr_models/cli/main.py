"""The commands, and what their exit status means.

Exit status: 0 everything was judged; 1 a judgement could not be made; 2 bad input; 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from ..errors import CriticError, RationalRewardsError
from . import judge, rank, show, text
from .common import BAD_INPUT, OK, STOPPED, UNJUDGED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may know no Chinese
            stream.reconfigure(encoding="utf-8", errors="replace")
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except CriticError as error:
        return _complain(error, UNJUDGED)
    except (RationalRewardsError, ValueError) as error:
        return _complain(error, BAD_INPUT)
    except KeyboardInterrupt:
        return _complain("stopped", STOPPED)
    except BrokenPipeError:  # the reader has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _complain(error: object, status: int) -> int:
    print(f"rational-rewards: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rational-rewards",
        description="Critique, compare and rank images; read saved critiques and raw answers.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (judge, text, show, rank):
        module.add(commands)
    return parser
