"""rational-rewards show: prints the judgements saved in images, histories and logs."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from ..judgement.critique import COMPLETE, Critique, report
from ..loop.state import State
from ..records.record import Record, read
from .common import OK, UNJUDGED


def add(commands) -> None:
    show = commands.add_parser(
        "show",
        help="show the critique in an image, a history or a log",
        description="Show what Save Image with Critique, Refine End or --json have saved.",
    )
    show.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=".png, .webp, .jpg, .json or .jsonl"
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    show.add_argument("--card", type=Path, metavar="IMAGE", help="draw a scorecard into this file")
    show.add_argument("--theme", choices=("light", "dark"), default="light", help="of the scorecard")
    show.add_argument(
        "--language",
        choices=("auto", "en", "zh"),
        default="auto",
        help="of the scorecard; auto: of the request",
    )
    show.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Prints all records of the files; 1 if one of them is not a complete judgement."""
    if options.card and options.card.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ValueError(f"--card: {options.card} is not a .png, .jpg or .webp file.")
    found = [(file, record) for file in options.files for record in read(file)]
    if options.json:
        print(json.dumps([{"file": str(file), **record.to_dict()} for file, record in found], indent=1))
    else:
        print("\n\n".join(_text_of(file, record) for file, record in found))
    if options.card:
        try:
            _card(found, options.theme, options.language).save(options.card)
        except OSError as error:
            raise ValueError(
                f"--card: {options.card} cannot be written: {error.strerror or error}."
            ) from error
    return OK if all(_judged(record) for _, record in found) else UNJUDGED


def _card(found: list[tuple[Path, Record]], theme: str, language: str):
    """The scorecard of one record, or of several critiques as a contact sheet."""
    from .. import scorecard  # text output needs no Pillow

    records = [record for _, record in found]
    dates = {record.saved[:10] for record in records}
    date = dates.pop() if len(dates) == 1 else ""
    if len(found) == 1:
        (file, record) = found[0]
        seeds = [record.seed] if isinstance(record.content, Critique) else []
        images = _images_of(file, record)
        return scorecard.draw(record.content, images, seeds=seeds, date=date, theme=theme, language=language)
    critiques = [record.content for record in records if isinstance(record.content, Critique)]
    if len(critiques) < len(records):
        raise ValueError(
            "--card: one file, or several critiques; a comparison or a history is drawn by itself."
        )
    images = [_open(file) for file, _ in found]
    seeds = [record.seed for record in records]
    return scorecard.draw(critiques, images, seeds=seeds, date=date, theme=theme, language=language)


def _images_of(file: Path, record: Record):
    if not isinstance(record.content, State):
        return [_open(file)] if isinstance(record.content, Critique) else []
    # as Refine End writes them beside history.json
    rounds = {
        past.number: _open(file.with_name(f"round_{past.number:02}.png")) for past in record.content.history
    }
    return {number: image for number, image in rounds.items() if image}


def _open(file: Path):
    """The image in a file; None if there is none."""
    from PIL import Image

    if file.suffix.lower() in (".json", ".jsonl") or not file.is_file():
        return None
    with Image.open(file) as image:
        return image.convert("RGB")


def _judged(record: Record) -> bool:
    found = record.critique if isinstance(record.content, State) else record.content
    return found is not None and found.status == COMPLETE


def _text_of(file: Path, record: Record) -> str:
    """One record as text: what was judged, then the critique."""
    found = record.content
    facts = {"request": found.request}
    if record.prompt and record.prompt != found.request:
        facts["prompt"] = record.prompt
    if record.seed is not None:
        number = "" if record.batch_index is None else f", image {record.batch_index + 1} of its batch"
        facts["seed"] = f"{record.seed}{number}"
    source = {} if isinstance(found, State) else found.source
    facts |= {name: source[name] for name in ("critic", "prompt_id") if source.get(name)}
    if record.saved:
        facts["saved"] = record.saved
    lines = [f"{file}", *(f"  {name}: {' '.join(str(fact).split())}" for name, fact in facts.items())]
    if record.image_changed:
        lines.append("  The image was changed after it was judged.")
    if isinstance(found, State):
        lines += ["", found.report()]
    judged = record.critique if isinstance(found, State) else found
    return "\n".join([*lines, "", report(judged)] if judged else lines)
