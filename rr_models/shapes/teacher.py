"""The true critique of a picture whose making is known: what the Shapes critic is taught, and what it is
measured against.

What was asked for and what is shown stand side by side before a verdict falls: a small critic learns to
compare neighbours long before it learns to look things up.
"""

from __future__ import annotations

from ..judgement.aspects import RATIONAL_REWARDS
from ..judgement.critique import COMPLETE, NOT_APPLICABLE, SCORED, AspectScore, Critique
from ..judgement.task import Task
from .language import demands
from .world import PLACES, Fault, Picture, Scene, Thing, differences, flaws, where, word_faults

_BY_COUNT = {
    "text_faithfulness": (4.0, 2.8, 2.2, 1.6, 1.0),
    "image_faithfulness": (4.0, 2.8, 2.2, 1.6, 1.0),
    "physical_quality": (4.0, 2.6, 1.8, 1.0),
}
_WORD = {"letters": 2.4, "word": 1.8, "no word": 1.0}


def critique_t2i(request: str, wanted: Scene, picture: Picture) -> Critique:
    """The critique of a drawn request."""
    found = {
        "text_faithfulness": differences(wanted, picture.scene),
        "physical_quality": flaws(picture),
        "text_rendering": word_faults(wanted.word, picture),
    }
    places = ", ".join(place for place in PLACES if wanted.at(place))
    asked = f"Shapes wanted: {places}" + (f', and the word "{wanted.word}".' if wanted.word else ".")
    words = {"text_faithfulness": _compared(PLACES, wanted, picture.scene)}
    return _critique(Task.T2I, request, asked, wanted, picture, found, words)


def critique_edit(request: str, source: Scene, wanted: Scene, picture: Picture) -> Critique:
    """The critique of an edit that should turn `source` into `wanted`, which differ at exactly one place."""
    (place,) = (p for p in PLACES if source.at(p) != wanted.at(p))
    others = tuple(p for p in PLACES if p != place)
    found = {
        "text_faithfulness": differences(wanted, picture.scene, (place,)),
        "image_faithfulness": differences(wanted, picture.scene, others),
        "physical_quality": flaws(picture),
        "text_rendering": (),
    }
    words = {
        "text_faithfulness": _compared((place,), wanted, picture.scene, source),
        "image_faithfulness": _compared(others, None, picture.scene, source),
    }
    asked = _change(place, source.at(place), wanted.at(place))
    return _critique(Task.EDIT, request, asked, wanted, picture, found, words)


def _critique(task, request, analysis, wanted, picture, found, words) -> Critique:
    words["physical_quality"] = _quality(found["physical_quality"])
    words["text_rendering"] = _word(wanted.word, picture, found["text_rendering"])
    scores = []
    for aspect in RATIONAL_REWARDS.aspects(task):
        if aspect.key == "text_rendering" and not wanted.word:
            scores.append(AspectScore(aspect.key, aspect.name, NOT_APPLICABLE, None, words[aspect.key]))
            continue
        faults = found[aspect.key]
        if aspect.key == "text_rendering":
            score = _WORD[faults[0].kind] if faults else 4.0
        else:
            score = _BY_COUNT[aspect.key][min(len(faults), len(_BY_COUNT[aspect.key]) - 1)]
        scores.append(AspectScore(aspect.key, aspect.name, SCORED, score, words[aspect.key]))
    every = tuple(f for aspect in RATIONAL_REWARDS.aspects(task) for f in found[aspect.key])
    firm = demands(every, wanted)
    return Critique(
        task,
        request,
        tuple(scores),
        COMPLETE,
        analysis=analysis,
        summary="Not everything is correct." if every else "Everything is correct.",
        refinement_comments=f"To mend: {', '.join(map(_name, every))}." if every else "Nothing to mend.",
        refined_request=f"{request.rstrip('.')}. {firm}".rstrip(),
    )


def _change(place: str, old: Thing | None, new: Thing | None) -> str:
    """What an edit is to do, in one sentence."""
    if new is None:
        return f"The {place} shape should go."
    if old is None:
        return f"{str(new).capitalize()} should come {where(place)}."
    (kind,) = (k for k in ("color", "shape", "size") if getattr(old, k) != getattr(new, k))
    return f"The {place} shape should change its {kind} to {getattr(new, kind)}."


def _compared(places, wanted: Scene | None, drawn: Scene, source: Scene | None = None) -> str:
    """Place by place: what was there, what is asked for (None: that it stays), what is shown, the verdict."""
    said = []
    for place in places:
        goal = wanted or source
        kinds = [f.kind for f in differences(goal, drawn, (place,))]
        if not kinds:
            verdict = "correct" if wanted else "kept"
        elif kinds[0] in ("missing", "extra"):
            verdict = kinds[0]
        else:
            verdict = ", ".join(f"wrong {kind}" for kind in kinds)
        was = f"was {source.at(place) or 'nothing'}, " if source else ""
        asked = f"wanted {wanted.at(place) or 'nothing'}, " if wanted else ""
        said.append(f"{place.capitalize()}: {was}{asked}shows {drawn.at(place) or 'nothing'}, {verdict}.")
    return " ".join(said)


def _quality(faults: tuple[Fault, ...]) -> str:
    said = {"noise": "The picture is noisy.", "blur": "The picture is blurred."}
    lines = [said.get(f.kind) or f"The {f.place} shape is cut off." for f in faults]
    return " ".join(lines) or "The picture is clean, sharp and whole."


def _word(word: str | None, picture: Picture, faults: tuple[Fault, ...]) -> str:
    if not word:
        return "No word is asked for."
    kind = faults[0].kind if faults else None
    shown = {
        None: f'reads "{word}", correct.',
        "no word": "shows no word, missing.",
        "word": f'reads "{picture.scene.word}", wrong.',
        "letters": "shows broken letters, wrong.",
    }[kind]
    return f'Wanted "{word}", {shown}'


def _name(fault: Fault) -> str:
    """A fault in two words."""
    if fault.kind in ("word", "letters", "no word"):
        return "word"
    return f"{fault.place} {fault.kind}" if fault.place else fault.kind
