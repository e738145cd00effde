"""The data that everything else passes around: what is judged, one score per aspect, and a whole critique.

Knows nothing of models, prompts, pictures or ComfyUI. All classes are frozen; `to_dict` and `from_dict` are
exact inverses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

WORST, BEST = 1.0, 4.0

SCORED, NOT_APPLICABLE, MISSING = "scored", "not_applicable", "missing"
COMPLETE, INCOMPLETE, TRUNCATED, REFUSED = "complete", "incomplete", "truncated", "refused"


@dataclass(frozen=True)
class Aspect:
    """One thing a picture is judged on.

    `levels` says what the scores 1, 2, 3 and 4 mean, in that order. An `optional` aspect may be answered N/A.
    """

    key: str
    name: str
    question: str
    levels: tuple[str, str, str, str]
    optional: bool = False


TEXT_FAITHFULNESS = Aspect(
    "text_faithfulness",
    "Text Faithfulness",
    "does the result show what the request says?",
    (
        "it shows something else.",
        "important parts are missing or wrong.",
        "the main things are right, a detail is not.",
        "everything asked for is there and right.",
    ),
)
IMAGE_FAITHFULNESS = Aspect(
    "image_faithfulness",
    "Image Faithfulness",
    "is everything that the edit should not touch still as it was in the source?",
    (
        "the source can hardly be recognised.",
        "important parts were changed or lost.",
        "a detail was changed without need.",
        "all that should stay has stayed.",
    ),
)
PHYSICAL_QUALITY = Aspect(
    "physical_quality",
    "Physical and Visual Quality",
    "is it well made: light, geometry, anatomy, clean and sharp, nothing broken?",
    (
        "broken throughout.",
        "faults that catch the eye at once.",
        "small faults on a closer look.",
        "no fault to be found.",
    ),
)
TEXT_RENDERING = Aspect(
    "text_rendering",
    "Text Rendering",
    "is the writing that the request asks for there, spelled right and legible? N/A if it asks for none.",
    (
        "missing or unreadable.",
        "wrong words or broken letters.",
        "readable with a small flaw.",
        "exactly as asked.",
    ),
    optional=True,
)

ASPECTS: dict[str, tuple[Aspect, ...]] = {
    "t2i": (TEXT_FAITHFULNESS, PHYSICAL_QUALITY, TEXT_RENDERING),
    "edit": (TEXT_FAITHFULNESS, IMAGE_FAITHFULNESS, PHYSICAL_QUALITY, TEXT_RENDERING),
}
"""The aspects of each task, in the order the critic is asked for them (paper, section 3)."""


@dataclass(frozen=True)
class AspectScore:
    """What the critic said about one aspect. `score` is 1.0-4.0 when `status` is "scored", else None."""

    key: str
    name: str
    status: str = MISSING
    score: float | None = None
    justification: str = ""
    confidence: float | None = None

    def __post_init__(self):
        if (self.status == SCORED) != (self.score is not None):
            raise ValueError(f"{self.name}: status {self.status!r} does not go with score {self.score!r}.")
        if self.score is not None and not WORST <= self.score <= BEST:
            raise ValueError(f"{self.name}: a score lies between {WORST} and {BEST}, not at {self.score}.")


@dataclass(frozen=True)
class Critique:
    """One judgement of one picture. Only a complete critique has an `overall` and a `reward`.

    `text` is the critic's raw answer; `notes` say what was mended or went wrong; `source` says where it came
    from (critic, wording, style, sampling, seed, image hash).
    """

    task: str
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

    @property
    def overall(self) -> float | None:
        """Mean of all aspects that apply, 1-4 (paper, eq. 13); None unless complete: a gap never counts as a
        number."""
        scores = [a.score for a in self.aspects if a.score is not None]
        return sum(scores) / len(scores) if self.status == COMPLETE and scores else None

    @property
    def reward(self) -> float | None:
        """`overall` brought to 0-1."""
        return None if self.overall is None else (self.overall - WORST) / (BEST - WORST)

    def aspect(self, key: str) -> AspectScore:
        """The score of one aspect; KeyError names the aspects there are."""
        for found in self.aspects:
            if found.key == key:
                return found
        raise KeyError(f"{key!r} is not judged here; there are: {', '.join(a.key for a in self.aspects)}")

    def reaches(self, bar: float) -> bool:
        """Whether the critique is complete and every aspect that applies stands at `bar` or above (paper,
        section 5)."""
        return self.status == COMPLETE and all(a.score >= bar for a in self.aspects if a.score is not None)

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
        data = _known(cls, data)
        data["aspects"] = tuple(AspectScore(**_known(AspectScore, a)) for a in data["aspects"])
        data["notes"] = tuple(data.get("notes", ()))
        return cls(**data)

    def __repr__(self):
        return f"Critique({self.task}: {self.scores_line()})"


def _known(kind: type, data: dict) -> dict:
    names = {f.name for f in fields(kind)}
    return {key: value for key, value in data.items() if key in names}
