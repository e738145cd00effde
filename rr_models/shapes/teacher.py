"""The true critique of a picture whose making is known: what the Shapes critic is taught, and what it is
measured against."""

from __future__ import annotations

from ..aspects import RATIONAL_REWARDS
from ..critique import COMPLETE, NOT_APPLICABLE, SCORED, AspectScore, Critique
from .language import refine
from .world import PLACES, Fault, Picture, Scene, differences, flaws, where, word_faults

_BY_COUNT = {
    "text_faithfulness": (4.0, 2.8, 2.2, 1.6, 1.0),
    "image_faithfulness": (4.0, 2.8, 2.2, 1.6, 1.0),
    "physical_quality": (4.0, 2.6, 1.8, 1.0),
}
_WORD = {"letters": 2.4, "word": 1.8, "no word": 1.0}
_STRESS = {
    "noise": "no noise",
    "blur": "sharpness",
    "missing": "the missing shape",
    "extra": "the empty place",
}


def critique_t2i(request: str, wanted: Scene, picture: Picture) -> Critique:
    """The critique of a drawn request."""
    found = {
        "text_faithfulness": differences(wanted, picture.scene),
        "physical_quality": flaws(picture),
        "text_rendering": word_faults(wanted.word, picture),
    }
    words = {"text_faithfulness": _seen(PLACES, wanted, picture.scene)}
    return _critique("t2i", request, f"Asked for: {wanted}.", str(wanted), wanted, picture, found, words)


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
        "text_faithfulness": _seen((place,), wanted, picture.scene),
        "image_faithfulness": _seen(others, wanted, picture.scene),
    }
    analysis = f"The source shows {source}. It should become {wanted}."
    return _critique("edit", request, analysis, request.rstrip("."), wanted, picture, found, words)


def _critique(task, request, analysis, base, wanted, picture, found, words) -> Critique:
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
    wrong = [a.name for a in RATIONAL_REWARDS.aspects(task) if found[a.key]]
    return Critique(
        task,
        request,
        tuple(scores),
        COMPLETE,
        analysis=analysis,
        summary=f"Faults in {', '.join(wrong)}." if wrong else "Everything is correct.",
        refinement_comments=f"State firmly: {', '.join(_stress(f) for f in every)}."
        if every
        else "Nothing to change.",
        refined_request=refine(base, every, wanted),
    )


def _seen(places, wanted: Scene, drawn: Scene) -> str:
    said = []
    for place in places:
        kinds = [f.kind for f in differences(wanted, drawn, (place,))]
        if not kinds:
            verdict = "correct"
        elif kinds[0] in ("missing", "extra"):
            verdict = kinds[0]
        else:
            verdict = "wrong " + " and ".join(kinds)
        said.append(f"{place.capitalize()}: {drawn.at(place) or 'nothing'}, {verdict}.")
    return " ".join(said)


def _quality(faults: tuple[Fault, ...]) -> str:
    said = {"noise": "The picture is noisy.", "blur": "The picture is blurred."}
    lines = [said.get(f.kind) or f"The {f.place} shape is cut off." for f in faults]
    return " ".join(lines) or "The picture is clean and sharp, every shape is whole."


def _word(word: str | None, picture: Picture, faults: tuple[Fault, ...]) -> str:
    if not word:
        return "No word is asked for."
    if not faults:
        return f'The word reads "{word}", correct.'
    return {
        "no word": "The word is missing.",
        "word": f'The word reads "{picture.scene.word}", wrong.',
        "letters": "The word has broken letters.",
    }[faults[0].kind]


def _stress(fault: Fault) -> str:
    if fault.kind in ("noise", "blur"):
        return _STRESS[fault.kind]
    if fault.kind in ("word", "letters", "no word"):
        return "the word"
    what = _STRESS.get(fault.kind) or ("the whole shape" if fault.kind == "cut" else f"the {fault.kind}")
    return f"{what} {where(fault.place)}"
