"""The data that everything else passes around: one score per aspect, and a whole critique of one image.

Knows nothing of models, prompts, images or ComfyUI. All classes are frozen; `to_dict` and `from_dict` are
exact inverses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from .answer_format import NOT_APPLICABLE_TEXT, AnswerFormat, Key, score_text
from .aspects import BEST, WORST, Aspect
from .from_data import Number, Text, from_data
from .task import Task

SCORED, NOT_APPLICABLE, MISSING = "scored", "not_applicable", "missing"
COMPLETE, INCOMPLETE, TRUNCATED, REFUSED = "complete", "incomplete", "truncated", "refused"


@dataclass(frozen=True)
class AspectScore:
    """What the critic said about one aspect.

    `score` lies on the critique's scale when `status` is "scored", else it is None. `written` is the number
    in the answer, if the score is another one. `expected` and `std` are mean and standard deviation of the
    scores that the critic might have written, by its own probabilities (constrained answers only): finer than
    the score, and how sure it was. `form_mass`, 0 to 1, is the probability that it gave to all scores (and
    N/A) together where this one stands: near 1, unless it would rather have written something else.
    """

    key: Text
    name: Text
    status: Text = MISSING
    score: Number | None = None
    justification: Text = ""
    written: Number | None = None
    expected: Number | None = None
    std: Number | None = None
    form_mass: Number | None = None

    def __post_init__(self):
        if (self.status == SCORED) != (self.score is not None):
            raise ValueError(f"{self.name}: status {self.status!r} does not go with score {self.score!r}.")


@dataclass(frozen=True)
class Judgement:
    """What a critique of one image and a verdict on two have in common.

    `text` is the critic's raw answer; `notes` say what was corrected or went wrong; `source` says where it
    came from (critic, prompt, style, sampling, seed, image hash). `scale` is the worst and the best possible
    score. `weights` say how much an aspect (by key) counts in the overall score; the default is 1.
    """

    COMPUTED: ClassVar[tuple[str, ...]] = ()  # properties that `to_dict` adds for readers
    SCORES: ClassVar[tuple[str, ...]] = ()  # the scores of an aspect

    task: Task
    request: Text
    aspects: tuple[Any, ...]
    status: Text
    analysis: Text = ""
    summary: Text = ""
    text: Text = field(default="", kw_only=True)
    notes: tuple[Text, ...] = field(default=(), kw_only=True)
    source: dict[Text, Any] = field(default_factory=dict, kw_only=True)
    scale: tuple[Number, Number] = field(default=(WORST, BEST), kw_only=True)
    weights: dict[Text, Number] = field(default_factory=dict, kw_only=True)

    def __post_init__(self):
        object.__setattr__(self, "task", Task.parse(self.task))
        if not self.scale[0] < self.scale[1]:
            raise ValueError(f"scale must rise from the worst to the best score, not {self.scale}.")
        for score in self.SCORES:
            check_scores({a.name: getattr(a, score) for a in self.aspects}, self.scale)
        check_weights(self.weights, [a.key for a in self.aspects])

    def scores_line(self) -> str:
        """All scores in one line, for logs and reports."""
        raise NotImplementedError

    def values(self) -> dict[Key, str]:
        """The texts and scores by their sections in an answer. A missing score is left out."""
        values: dict[Key, str] = {("analysis",): self.analysis, ("summary",): self.summary}
        for aspect in self.aspects:
            values[aspect.key, "justification"] = aspect.justification
            if aspect.status != MISSING:
                scores = {part: getattr(aspect, part) for part in self.SCORES}
                for part, score in scores.items():
                    values[aspect.key, part] = NOT_APPLICABLE_TEXT if score is None else score_text(score)
        return values

    def to_text(self, empty_headings: bool = True) -> str:
        """The answer in the protocol's card form, as a critic would have written it.

        With `empty_headings`, those of texts that the critic did not write are there too: an incomplete
        judgement needs them to be read back equal, or it would seem cut off.
        """
        names = {aspect.key: aspect.name for aspect in self.aspects}
        values = {key: value for key, value in self.values().items() if value or empty_headings}
        return AnswerFormat.for_aspects(self.task, names).text(values)

    def to_dict(self) -> dict:
        """Plain data for JSON; adds the computed properties for readers."""
        return asdict(self) | {name: getattr(self, name) for name in self.COMPUTED}

    @classmethod
    def from_dict(cls, data: Any) -> Any:
        """Inverse of `to_dict`; computed properties are computed again. ValueError names a field that is
        unknown, missing or wrong."""
        return from_data(cls, cls._stored(data), cls.__name__.lower())

    @classmethod
    def _stored(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if name not in cls.COMPUTED}

    def _overall(self, score: str) -> float | None:
        """Weighted mean of one of the scores. None unless complete: a gap never counts as a number."""
        if self.status != COMPLETE:
            return None
        scores = {a.key: getattr(a, score) for a in self.aspects if a.status == SCORED}
        return weighted_mean(scores, self.weights)

    def __repr__(self):
        return f"{type(self).__name__}({self.task}: {self.scores_line()})"


@dataclass(frozen=True, repr=False)
class Critique(Judgement):
    """One judgement of one image. Only a complete critique has an `overall` and a `reward`."""

    COMPUTED = ("overall", "reward")
    SCORES = ("score",)

    aspects: tuple[AspectScore, ...]
    refinement_comments: Text = ""
    refined_request: Text = ""

    @property
    def overall(self) -> float | None:
        """Weighted mean of all aspects that apply, on `scale` (paper, eq. 13, has equal weights). None unless
        complete, or if nothing that counts applies."""
        return self._overall("score")

    @property
    def reward(self) -> float | None:
        """`overall` mapped to 0-1."""
        worst, best = self.scale
        return None if self.overall is None else (self.overall - worst) / (best - worst)

    def aspect(self, key: str) -> AspectScore:
        """The score of one aspect; KeyError lists the keys."""
        for aspect in self.aspects:
            if aspect.key == key:
                return aspect
        raise KeyError(f"{key!r} is not judged here; there are: {', '.join(a.key for a in self.aspects)}")

    def reaches(self, threshold: float | Mapping[str, float]) -> bool:
        """Whether the critique is complete and every aspect that applies has at least the score `threshold`
        (paper, section 5). Thresholds by key apply to those aspects only."""
        thresholds = threshold if isinstance(threshold, Mapping) else {a.key: threshold for a in self.aspects}
        return self.status == COMPLETE and all(
            a.score >= thresholds.get(a.key, -math.inf) for a in self.aspects if a.score is not None
        )

    def scores_line(self) -> str:
        """All scores in one line: "Text Faithfulness 2.8, Text Rendering N/A; overall 3.4"."""
        words = {NOT_APPLICABLE: NOT_APPLICABLE_TEXT, MISSING: "missing"}
        line = ", ".join(f"{a.name} {words.get(a.status) or format(a.score, '.1f')}" for a in self.aspects)
        return f"{line}; overall {self.overall:.2f}" if self.overall is not None else f"{line}; {self.status}"

    def values(self) -> dict[Key, str]:
        return super().values() | {
            ("refinement_comments",): self.refinement_comments,
            ("refined_request",): self.refined_request,
        }


def unjudged(
    task: str,
    request: str,
    aspects: Sequence[Aspect],
    why: str,
    critic: str = "",
    scale: tuple[float, float] = (WORST, BEST),
) -> Critique:
    """The critique of an image that the critic could not judge: no score, and `why` in its notes."""
    missing = tuple(AspectScore(aspect.key, aspect.name) for aspect in aspects)
    return Critique(
        Task.parse(task), request, missing, INCOMPLETE, notes=(why,), source={"critic": critic}, scale=scale
    )


def report(judgement: Judgement) -> str:
    """A critique or a verdict for people to read: scores, notes and the whole answer."""
    notes = "".join(f"\nNote: {note}" for note in judgement.notes)
    # an answer that could not be read is shown as it came: there is nothing else to learn from
    body = judgement.to_text(empty_headings=False) if judgement.status == COMPLETE else judgement.text
    return f"{judgement.scores_line()}{uncertainty(judgement)}{notes}\n\n{body}".rstrip()


def uncertainty(judgement: Judgement) -> str:
    """How sure the critic was, as a line for the report: for each aspect the expected score and the standard
    deviation of all it might have written, or of several passes; and the probability that it gave to scores
    at all, where that is not nearly all. Empty if not known."""
    expected = []
    for aspect in judgement.aspects:
        std = getattr(aspect, "std", None)  # a verdict's aspects have none
        if std is not None and aspect.score is not None:
            mean = aspect.score if aspect.expected is None else aspect.expected
            mass = getattr(aspect, "form_mass", None)
            rest = f" (scores got {mass:.0%} of its probability)" if mass is not None and mass < 0.9 else ""
            expected.append(f"{aspect.name} {mean:.2f} ± {std:.2f}{rest}")
    return "\nExpected: " + ", ".join(expected) if expected else ""


def known(kind: type, data: Mapping) -> dict:
    """What of `data` the class `kind` has a field for."""
    names = {f.name for f in fields(kind)}
    return {key: value for key, value in data.items() if key in names}


def weighted_mean(scores: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    """The mean of `scores` with `weights` by the same keys (default 1); None if nothing counts."""
    total = sum(weights.get(key, 1.0) for key in scores)
    return sum(weights.get(key, 1.0) * score for key, score in scores.items()) / total if total else None


def check_scores(scores: Mapping[str, float | None], scale: tuple[float, float]) -> None:
    """ValueError unless every score lies on the scale; None is no score."""
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
