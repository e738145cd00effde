"""The command line: judge pictures, compare two, read answers and what was saved, show what is asked.

Exit status: 0 all was judged; 1 a judgement could not be made; 2 the input was bad; 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .cli import rank as rank_command
from .cli import show
from .errors import CriticError, RationalRewardsError
from .judgement import aspect_numbers, aspects_json
from .judgement.answer_format import CARD, STYLES
from .judgement.aspects import RATIONAL_REWARDS
from .judgement.critique import COMPLETE, report
from .judgement.ranking import rank
from .judgement.task import Task
from .parsing.parse import parse, parse_pair, summary_dict
from .prompting.wording import choose

OK, UNJUDGED, BAD_INPUT, STOPPED = 0, 1, 2, 130
SHAPES = "shapes"
PRECISIONS = ("auto", "bf16", "fp16", "fp32", "fp8", "int8", "4-bit")
ATTENTIONS = ("sdpa", "flash_attention_2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows console may know no Chinese
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
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _complain(error: object, status: int) -> int:
    print(f"rational-rewards: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rational-rewards", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    critique = _command(commands, "critique", _critique, "judge pictures of one request, best first")
    critique.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    _asking(critique, ("scores", "critique", "full", "best"))
    critique.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="ASPECT=NUMBER",
        help="how much an aspect counts in the overall score (default 1 each); may be given several times",
    )

    compare = _command(commands, "compare", _compare, "compare two pictures of one request")
    compare.add_argument("images", nargs=2, type=Path, metavar=("A", "B"))
    _asking(compare, ("scores", "critique", "full"))
    compare.add_argument("--tie", type=float, default=0.0, help="margin up to which it is a tie (default 0)")
    compare.add_argument(
        "--how",
        choices=("both-orders", "one-order", "one-by-one"),
        help="both-orders (default): shown as A, B and as B, A; one-order: half the time, and blind to "
        "position bias; one-by-one: each judged alone (default of the built-in critic, which knows no pairs)",
    )

    read = _command(commands, "parse", _parse, "read an answer that a critic has written")
    read.add_argument("file", metavar="FILE", help="the answer's file, or - for standard input")
    read.add_argument("--task", choices=[str(task) for task in Task], default="t2i")
    read.add_argument("--truncated", action="store_true", help="its length limit has cut the answer off")
    read.add_argument("--aspects", type=Path, help="JSON file with aspects of your own")

    asked = _command(commands, "messages", _messages, "show what a critic is asked, as chat messages")
    asked.add_argument("--task", choices=[str(task) for task in Task], default="t2i")
    asked.add_argument("--request", required=True, help="what was asked for")
    asked.add_argument("--model-dir", type=Path, help="model folder whose card may bring its wording")
    asked.add_argument("--sources", type=int, default=1, help="how many pictures an edit starts from")
    _wording(asked)
    show.add(commands)
    rank_command.add(commands, _asking, _load, _asked)
    return parser


def _command(commands, name: str, run: Callable, does: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _wording(command: argparse.ArgumentParser) -> None:
    command.add_argument("--style", choices=STYLES, default=CARD)
    command.add_argument("--template", type=Path, help="JSON file with a wording of your own")
    command.add_argument("--aspects", type=Path, help="JSON file with aspects of your own")


def _asking(command: argparse.ArgumentParser, details: Sequence[str], request: bool = True) -> None:
    """The options of commands that ask a critic."""
    wanted = "what was asked for" + ("" if request else " (default: a .txt beside each, or its metadata)")
    command.add_argument("--request", required=request, help=wanted)
    command.add_argument(
        "--source",
        action="append",
        default=[],
        type=Path,
        help="judge an edit: the picture before it; may be given several times",
    )
    command.add_argument(
        "--critic",
        default=SHAPES,
        help=f"a model folder, the name of one under --models, or {SHAPES!r}, which is built in and knows "
        "pictures of coloured shapes only (default)",
    )
    command.add_argument(
        "--models",
        action="append",
        type=Path,
        help="folder of model folders (default: models/LLM of the ComfyUI that this pack is in); the "
        "Hugging Face cache is searched too",
    )
    _wording(command)
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps ... (default auto)")
    command.add_argument("--precision", choices=PRECISIONS, default="auto")
    command.add_argument(
        "--attention",
        choices=ATTENTIONS,
        default=ATTENTIONS[0],
        help="of the vision tower: sdpa (default), or flash_attention_2, which takes the package flash-attn",
    )
    command.add_argument("--max-pixels", type=int, help="larger pictures are scaled down to this many pixels")
    command.add_argument("--temperature", type=float, default=0.0, help="0 (default): always the same answer")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--max-new-tokens", type=int, default=2048)
    command.add_argument(
        "--guided",
        choices=("on", "off"),
        default="on",
        help="on (default): every answer keeps to the form and is whole; off: the critic's own words alone, "
        "and guided once more where a score is missing in them",
    )
    command.add_argument(
        "--detail",
        choices=details,
        default="full",
        help="scores: up to the last score; critique: with the summary; full (default): a better request "
        "too; best: scores of all, the whole critique of the best alone",
    )
    command.add_argument("--batch-size", type=int, default=8, help="pictures judged at a time (default 8)")


def _critique(options) -> int:
    weights = aspect_numbers.weights(",".join(options.weight))
    pictures, sources = _pictures(options.images), _pictures(options.source)
    task = Task.of(sources=bool(sources))
    critic = _load(options)
    critiques = critic.critique(pictures, options.request, task, sources, weights=weights, **_asked(options))
    order = rank(critiques)
    if options.json:
        judged = zip(options.images, critiques, strict=True)
        said = [{"image": str(path), **found.to_dict()} for path, found in judged]
        _print_json({"images": said, "ranking": [str(options.images[index]) for index in order]})
    else:
        print("\n\n".join(f"{options.images[i]}: {report(critiques[i])}" for i in order))
    return OK if all(found.status == COMPLETE for found in critiques) else UNJUDGED


def _compare(options) -> int:
    a, b = _pictures(options.images)
    sources = _pictures(options.source)
    how = options.how or ("one-by-one" if options.critic == SHAPES else "both-orders")
    critic = _load(options)
    verdict = critic.compare(
        a,
        b,
        options.request,
        Task.of(sources=bool(sources), pair=True),
        sources,
        how=how.replace("-", " "),
        tie=options.tie,
        **_asked(options),
    )
    if options.json:
        names = {"a": str(options.images[0]), "b": str(options.images[1])}
        _print_json(names | verdict.to_dict())
    else:
        print(report(verdict))
    return OK if verdict.winner is not None else UNJUDGED


def _parse(options) -> int:
    profile = aspects_json.read(options.aspects) if options.aspects else RATIONAL_REWARDS
    read = parse_pair if Task.parse(options.task).is_pair else parse
    found = read(_text(options.file), options.task, "", truncated=options.truncated, profile=profile)
    if options.json:
        _print_json(summary_dict(found))
    else:
        print(report(found))
    return OK if found.status == COMPLETE else UNJUDGED


def _messages(options) -> int:
    if not options.request.strip():
        raise ValueError("the request is empty: say what was asked for.")
    wording = _chosen(options, options.model_dir)
    if options.model_dir and not options.model_dir.is_dir():
        raise ValueError(f"--model-dir: there is no folder {options.model_dir}.")
    for notice in wording.notices:
        print(f"rational-rewards: {notice}", file=sys.stderr)
    _print_json(wording.messages(options.task, options.request, options.sources))
    return OK


def _chosen(options, folder: Path | None):
    profile = aspects_json.read(options.aspects) if options.aspects else RATIONAL_REWARDS
    return choose(folder, options.template, options.style, profile)


def _load(options):
    from .critics import local  # torch takes seconds to import, and parse and messages need none of it

    folder = _folder(options)
    return local.load(
        folder,
        options.device,
        options.precision,
        options.max_pixels,
        name="Shapes critic" if options.critic == SHAPES else "",
        wording=_chosen(options, folder),
        attention=options.attention,
    )


def _folder(options) -> Path:
    from .checkpoints import catalog, model_folder

    if options.critic == SHAPES:
        print(
            "rational-rewards: the built-in Shapes critic judges pictures of coloured shapes only; name "
            "another with --critic.",
            file=sys.stderr,
        )
        return model_folder.SHAPES_CRITIC
    if Path(options.critic).is_dir():
        return Path(options.critic)
    searched = options.models or [Path(__file__).resolve().parents[3] / "models" / "LLM"]
    found = catalog.available_models(searched)
    if folder := catalog.locate(options.critic, found):
        return folder
    known = ", ".join(name for name, folder in found.items() if folder) or "none"
    raise ValueError(
        f"--critic: {options.critic!r} is neither a folder nor a Qwen3-VL model under "
        f"{', '.join(map(str, searched))} or in the Hugging Face cache (there: {known}). Give its folder, or "
        "its name with --models."
    )


def _asked(options) -> dict:
    """What `judge` is told beside the pictures; progress is shown where somebody can see it."""
    said = {
        "temperature": options.temperature,
        "seed": options.seed,
        "max_new_tokens": options.max_new_tokens,
        "batch_size": options.batch_size,
        "guided": options.guided == "on",
        "detail": options.detail,
    }
    if not sys.stderr.isatty():
        return said
    from tqdm import tqdm

    bar = tqdm(unit=" tokens", leave=False)

    def watch(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return said | {"watch": watch}


def _pictures(files: Sequence[Path]) -> list:
    from .images import load_image

    return [load_image(file) for file in files]


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror or error}).") from error
    text = data.decode("utf-8-sig", errors="replace")
    if b"\0" in data or text.count("\ufffd") * 10 > len(text):
        raise ValueError(f"{file} is no text in UTF-8. Give the answer as the critic wrote it.")
    return text


def _print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    sys.exit(main())
