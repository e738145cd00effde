"""The true critique of a rendering: what the Shapes critic is trained on, and what it is measured against.

Each sentence states what was requested and what is shown side by side before it gives a verdict: a small
critic learns to compare neighbouring words long before it learns to look things up.
"""

from __future__ import annotations

from ..judgement.aspects import RATIONAL_REWARDS
from ..judgement.critique import COMPLETE, NOT_APPLICABLE, SCORED, AspectScore, Critique
from ..judgement.task import Task
from .phrasing import demands
from .scene import POSITIONS, Fault, Figure, Rendering, Scene, differences, flaws, location, word_faults

_SCORES_BY_FAULT_COUNT = {
    "text_faithfulness": (4.0, 2.8, 2.2, 1.6, 1.0),
    "image_faithfulness": (4.0, 2.8, 2.2, 1.6, 1.0),
    "physical_quality": (4.0, 2.6, 1.8, 1.0),
}
_WORD_SCORES = {"letters": 2.4, "word": 1.8, "no word": 1.0}


def critique_t2i(request: str, wanted: Scene, rendering: Rendering) -> Critique:
    """The true critique of a rendering for a request."""
    faults = {
        "text_faithfulness": differences(wanted, rendering.scene),
        "physical_quality": flaws(rendering),
        "text_rendering": word_faults(wanted.word, rendering),
    }
    positions = ", ".join(position for position in POSITIONS if wanted.at(position))
    word = f', and the word "{wanted.word}".' if wanted.word else "."
    compared = [_compare_to_request(position, wanted, rendering.scene) for position in POSITIONS]
    justifications = {"text_faithfulness": " ".join(compared)}
    analysis = f"Shapes wanted: {positions}{word}"
    return _critique(Task.T2I, request, analysis, wanted, rendering, faults, justifications)


def critique_edit(request: str, source: Scene, wanted: Scene, rendering: Rendering) -> Critique:
    """The true critique of an edit that should turn `source` into `wanted`, which differ at one position."""
    (edited,) = (position for position in POSITIONS if source.at(position) != wanted.at(position))
    others = tuple(position for position in POSITIONS if position != edited)
    faults = {
        "text_faithfulness": differences(wanted, rendering.scene, (edited,)),
        "image_faithfulness": differences(wanted, rendering.scene, others),
        "physical_quality": flaws(rendering),
        "text_rendering": (),
    }
    kept = [_compare_to_source(position, source, rendering.scene) for position in others]
    justifications = {
        "text_faithfulness": _compare_to_request(edited, wanted, rendering.scene, source),
        "image_faithfulness": " ".join(kept),
    }
    analysis = _change(edited, source.at(edited), wanted.at(edited))
    return _critique(Task.EDIT, request, analysis, wanted, rendering, faults, justifications)


def _critique(
    task: Task,
    request: str,
    analysis: str,
    wanted: Scene,
    rendering: Rendering,
    faults: dict[str, tuple[Fault, ...]],
    justifications: dict[str, str],
) -> Critique:
    justifications["physical_quality"] = _describe_quality(faults["physical_quality"])
    justifications["text_rendering"] = _describe_word(wanted.word, rendering, faults["text_rendering"])
    scores = []
    aspects = RATIONAL_REWARDS.aspects(task)
    for aspect in aspects:
        key, justification, own = aspect.key, justifications[aspect.key], faults[aspect.key]
        if key == "text_rendering" and not wanted.word:
            scores.append(AspectScore(key, aspect.name, NOT_APPLICABLE, None, justification))
            continue
        if key == "text_rendering":
            score = _WORD_SCORES[own[0].kind] if own else 4.0
        else:
            by_count = _SCORES_BY_FAULT_COUNT[key]
            score = by_count[min(len(own), len(by_count) - 1)]
        scores.append(AspectScore(key, aspect.name, SCORED, score, justification))
    every = tuple(fault for aspect in aspects for fault in faults[aspect.key])
    return Critique(
        task,
        request,
        tuple(scores),
        COMPLETE,
        analysis=analysis,
        summary="Not everything is correct." if every else "Everything is correct.",
        refinement_comments=f"To mend: {', '.join(map(_name, every))}." if every else "Nothing to mend.",
        refined_request=f"{request.rstrip('.')}. {demands(every, wanted)}".rstrip(),
    )


def _change(position: str, old: Figure | None, new: Figure | None) -> str:
    """What an edit should do, in one sentence."""
    if new is None:
        return f"The {position} shape should go."
    if old is None:
        return f"{str(new).capitalize()} should come {location(position)}."
    (attribute,) = (name for name in ("color", "shape", "size") if getattr(old, name) != getattr(new, name))
    return f"The {position} shape should change its {attribute} to {getattr(new, attribute)}."


def _compare_to_request(position: str, wanted: Scene, drawn: Scene, source: Scene | None = None) -> str:
    """What was there (for an edit), what is wanted, what is shown, and the verdict."""
    before = f"was {source.at(position) or 'nothing'}, " if source else ""
    verdict = _verdict(position, wanted, drawn) or "correct"
    shown = f"wanted {wanted.at(position) or 'nothing'}, shows {drawn.at(position) or 'nothing'}"
    return f"{position.capitalize()}: {before}{shown}, {verdict}."


def _compare_to_source(position: str, source: Scene, drawn: Scene) -> str:
    """What was there, what is shown, and whether it was kept."""
    verdict = _verdict(position, source, drawn) or "kept"
    shown = f"was {source.at(position) or 'nothing'}, shows {drawn.at(position) or 'nothing'}"
    return f"{position.capitalize()}: {shown}, {verdict}."


def _verdict(position: str, wanted: Scene, drawn: Scene) -> str:
    """What is wrong at one position; empty if nothing is."""
    kinds = [fault.kind for fault in differences(wanted, drawn, (position,))]
    if kinds and kinds[0] in ("missing", "extra"):
        return kinds[0]
    return ", ".join(f"wrong {kind}" for kind in kinds)


def _describe_quality(faults: tuple[Fault, ...]) -> str:
    sentences = {"noise": "The picture is noisy.", "blur": "The picture is blurred."}
    described = [sentences.get(fault.kind) or f"The {fault.position} shape is cut off." for fault in faults]
    return " ".join(described) or "The picture is clean, sharp and whole."


def _describe_word(word: str | None, rendering: Rendering, faults: tuple[Fault, ...]) -> str:
    if not word:
        return "No word is asked for."
    kind = faults[0].kind if faults else None
    shown = {
        None: f'reads "{word}", correct.',
        "no word": "shows no word, missing.",
        "word": f'reads "{rendering.scene.word}", wrong.',
        "letters": "shows broken letters, wrong.",
    }[kind]
    return f'Wanted "{word}", {shown}'


def _name(fault: Fault) -> str:
    """A fault in two words."""
    if fault.kind in ("word", "letters", "no word"):
        return "word"
    return f"{fault.position} {fault.kind}" if fault.position else fault.kind
