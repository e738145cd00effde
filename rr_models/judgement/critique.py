"""The data that everything else passes around: one score per aspect, and a whole critique of one picture.

Knows nothing of models, prompts, pictures or ComfyUI. All classes are frozen; `to_dict` and `from_dict` are
exact inverses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

from .aspects import BEST, WORST, Aspect
from .task import Task

SCORED, NOT_APPLICABLE, MISSING = "scored", "not_applicable", "missing"
COMPLETE, INCOMPLETE, TRUNCATED, REFUSED = "complete", "incomplete", "truncated", "refused"


@dataclass(frozen=True)
class AspectScore:
    """What the critic said about one aspect.

    `score` lies on the critique's scale when `status` is "scored", else it is None. `written` is the number
    that stood in the answer, where that had to be mended to make the score. `expected` and `spread` are mean
    and standard deviation of the scores that the critic might have written, by its own probabilities (guided
    answers only): finer than the score, and how sure it was.
    """

    key: str
    name: str
    status: str = MISSING
    score: float | None = None
    justification: str = ""
    written: float | None = None
    expected: float | None = None
    spread: float | None = None

    def __post_init__(self):
        if (self.status == SCORED) != (self.score is not None):
            raise ValueError(f"{self.name}: status {self.status!r} does not go with score {self.score!r}.")


@dataclass(frozen=True)
class Critique:
    """One judgement of one picture. Only a complete critique has an `overall` and a `reward`.

    `text` is the critic's raw answer; `notes` say what was mended or went wrong; `source` says where it came
    from (critic, wording, style, sampling, seed, image hash). `scale` is the worst and the best score there
    is. `weights` say how much an aspect (by key) counts in `overall`, 1 where nothing is said.
    """

    task: Task
    request: str
    aspects: tuple[AspectScore, ...]
    status: str
    analysis: str = ""
    summary: str = ""
    refinement_comments: str = ""
    refined_request: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()
    source: dict = field(default_factory=dict)
    scale: tuple[float, float] = (WORST, BEST)
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "task", Task.parse(self.task))
        check_scores({a.name: a.score for a in self.aspects}, self.scale)
        check_weights(self.weights, [a.key for a in self.aspects])

    @property
    def overall(self) -> float | None:
        """Weighted mean of all aspects that apply, on `scale` (paper, eq. 13, has equal weights). None unless
        complete: a gap never counts as a number. None too if nothing that counts applies."""
        if self.status != COMPLETE:
            return None
        return weighted_mean({a.key: a.score for a in self.aspects if a.score is not None}, self.weights)

    @property
    def reward(self) -> float | None:
        """`overall` brought to 0-1."""
        worst, best = self.scale
        return None if self.overall is None else (self.overall - worst) / (best - worst)

    def aspect(self, key: str) -> AspectScore:
        """The score of one aspect; KeyError names the aspects there are."""
        for found in self.aspects:
            if found.key == key:
                return found
        raise KeyError(f"{key!r} is not judged here; there are: {', '.join(a.key for a in self.aspects)}")

    def reaches(self, bar: float | Mapping[str, float]) -> bool:
        """Whether the critique is complete and every aspect that applies stands at `bar` or above (paper,
        section 5). Bars by key hold for those aspects only."""
        bars = bar if isinstance(bar, Mapping) else {a.key: bar for a in self.aspects}
        scored = (a for a in self.aspects if a.score is not None)
        return self.status == COMPLETE and all(a.score >= bars.get(a.key, -math.inf) for a in scored)

    def scores_line(self) -> str:
        """All scores in one line, for logs and reports: "Text Faithfulness 2.8, Text Rendering N/A; overall
        3.4"."""
        words = {NOT_APPLICABLE: "N/A", MISSING: "missing"}
        line = ", ".join(f"{a.name} {words.get(a.status) or format(a.score, '.1f')}" for a in self.aspects)
        return f"{line}; overall {self.overall:.2f}" if self.overall is not None else f"{line}; {self.status}"

    def to_text(self) -> str:
        """The critique in the protocol's card form, as a critic would have written it."""
        words = {NOT_APPLICABLE: "N/A"}
        lines = ["# User Request Analysis", self.analysis, "# Detailed Judgement"]
        for number, a in enumerate(self.aspects, 1):
            lines += [f"{number}. {a.name}:", f"## Justification: {a.justification}"]
            if a.status != MISSING:
                lines.append(f"## Score: {words.get(a.status) or a.score}")
        lines += [
            f"# Summary: {self.summary}",
            "# User Request Refinement:",
            f"## Refinement Comments: {self.refinement_comments}",
            f"## Refined Request: {self.refined_request}",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Plain data for JSON; adds `overall` and `reward` for readers."""
        return {**asdict(self), "overall": self.overall, "reward": self.reward}

    @classmethod
    def from_dict(cls, data: dict) -> Critique:
        """Inverse of `to_dict`; `overall` and `reward` are worked out anew, never believed. What a later
        version has added is left out."""
        data = known(cls, data)
        data["aspects"] = tuple(AspectScore(**known(AspectScore, a)) for a in data["aspects"])
        data |= {name: tuple(data[name]) for name in ("notes", "scale") if name in data}
        return cls(**data)

    def __repr__(self):
        return f"Critique({self.task}: {self.scores_line()})"


def unjudged(
    task: str,
    request: str,
    aspects: Sequence[Aspect],
    why: str,
    critic: str = "",
    scale: tuple[float, float] = (WORST, BEST),
) -> Critique:
    """The critique of a picture that the critic could not judge: no score, and `why` in its notes."""
    missing = tuple(AspectScore(aspect.key, aspect.name) for aspect in aspects)
    return Critique(task, request, missing, INCOMPLETE, notes=(why,), source={"critic": critic}, scale=scale)


def report(found) -> str:
    """A critique or a verdict for people to read: scores, notes and the whole answer."""
    notes = "".join(f"\nNote: {note}" for note in found.notes)
    # an answer that could not be read is shown as it came: there is nothing else to learn from
    body = found.to_text() if found.status == COMPLETE else found.text
    return f"{found.scores_line()}{sure(found)}{notes}\n\n{body}".rstrip()


def sure(found) -> str:
    """How sure the critic was, as a line for the report: by aspect the score it expects and the standard
    deviation of all it might have written, or of several passes. Empty where that is not known."""
    said = []
    for aspect in found.aspects:
        spread = getattr(aspect, "spread", None)  # a verdict's aspects have none
        if spread is not None and aspect.score is not None:
            mean = aspect.score if aspect.expected is None else aspect.expected
            said.append(f"{aspect.name} {mean:.2f} ± {spread:.2f}")
    return "\nExpected: " + ", ".join(said) if said else ""


def known(kind: type, data: Mapping) -> dict:
    """What of `data` the class `kind` has a field for."""
    names = {f.name for f in fields(kind)}
    return {key: value for key, value in data.items() if key in names}


def weighted_mean(scores: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    """The mean of `scores` with `weights` by the same keys (1 where there is none); None of nothing."""
    total = sum(weights.get(key, 1.0) for key in scores)
    return sum(weights.get(key, 1.0) * score for key, score in scores.items()) / total if total else None


def check_scores(scores: Mapping[str, float | None], scale: tuple[float, float]) -> None:
    """ValueError unless every score there is lies on the scale."""
    for name, score in scores.items():
        if score is not None and not scale[0] <= score <= scale[1]:
            raise ValueError(f"{name}: a score lies between {scale[0]:g} and {scale[1]:g}, not at {score}.")


def check_weights(weights: Mapping[str, float], keys: list[str]) -> None:
    """ValueError unless all are 0 or more and name aspects that are judged."""
    for key, weight in weights.items():
        if key not in keys:
            raise ValueError(f"weights: {key!r} is not judged here; there are: {', '.join(keys)}.")
        if not 0 <= weight < math.inf:
            raise ValueError(f"weights: {key} must weigh 0 or more, not {weight}.")
