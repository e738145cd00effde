"""The data of a comparison: two pictures, A and B, scored aspect by aspect, in one order or in both.

A critic may favour the picture that it sees first. So a pair is best judged twice, as A, B and as B, A, and
the two are averaged; what is left between them is the position bias.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from .aspects import BEST, WORST
from .critique import (
    COMPLETE,
    INCOMPLETE,
    MISSING,
    NOT_APPLICABLE,
    SCORED,
    Critique,
    check_scores,
    check_weights,
    known,
    weighted_mean,
)
from .task import Task

A, B, TIE = "A", "B", "tie"


@dataclass(frozen=True)
class PairScore:
    """What the critic said about one aspect of both pictures. Scores and `winner` ("A", "B" or "tie") are
    there when `status` is "scored", else None."""

    key: str
    name: str
    status: str = MISSING
    score_a: float | None = None
    score_b: float | None = None
    winner: str | None = None
    justification: str = ""

    def __post_init__(self):
        given = (self.score_a, self.score_b, self.winner)
        if (self.status == SCORED) != (None not in given) or (self.status != SCORED and given != (None,) * 3):
            raise ValueError(f"{self.name}: status {self.status!r} does not go with {given}.")
        if self.winner not in (None, A, B, TIE):
            raise ValueError(f"{self.name}: the winner is {A!r}, {B!r} or {TIE!r}, not {self.winner!r}.")

    def swapped(self) -> PairScore:
        """The same with A and B called by each other's name."""
        other = {A: B, B: A}.get(self.winner, self.winner)
        return PairScore(
            self.key, self.name, self.status, self.score_b, self.score_a, other, self.justification
        )


@dataclass(frozen=True)
class Verdict:
    """One comparison. Only a complete verdict has overall scores, a margin and a winner.

    `orders` holds the two answers that an averaged verdict was made of, the second with A and B already
    named as in the first; it is empty for a single answer. A margin of at most `tie` is a tie.
    """

    task: Task
    request: str
    aspects: tuple[PairScore, ...]
    status: str
    analysis: str = ""
    summary: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()
    source: dict = field(default_factory=dict)
    scale: tuple[float, float] = (WORST, BEST)
    weights: dict[str, float] = field(default_factory=dict)
    tie: float = 0.0
    orders: tuple[Verdict, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "task", Task.parse(self.task))
        for score in ("score_a", "score_b"):
            check_scores({a.name: getattr(a, score) for a in self.aspects}, self.scale)
        check_weights(self.weights, [a.key for a in self.aspects])
        if not self.tie >= 0:
            raise ValueError(f"tie must be 0 or more, not {self.tie}.")

    @property
    def overall_a(self) -> float | None:
        """Weighted mean of A's scores on all aspects that apply; None unless complete."""
        return self._overall("score_a")

    @property
    def overall_b(self) -> float | None:
        """The same of B."""
        return self._overall("score_b")

    def _overall(self, score: str) -> float | None:
        if self.status != COMPLETE:
            return None
        scores = {a.key: getattr(a, score) for a in self.aspects if a.status == SCORED}
        return weighted_mean(scores, self.weights)

    @property
    def margin(self) -> float | None:
        """How much better A is than B, in points; None unless complete."""
        a, b = self.overall_a, self.overall_b
        return None if a is None or b is None else a - b

    @property
    def winner(self) -> str | None:
        """ "A", "B" or "tie", by the overall scores; None unless complete."""
        return None if self.margin is None else winner_of(self.margin, self.tie)

    @property
    def position_bias(self) -> float | None:
        """How many points a picture gains by standing first, on average: 0 for a critic that does not care.
        None unless both orders were judged completely."""
        margins = [order.margin for order in self.orders]
        return None if not margins or None in margins else (margins[0] - margins[1]) / 2

    @property
    def agreed(self) -> bool | None:
        """Whether both orders have the same winner; None unless both were judged completely."""
        winners = [order.winner for order in self.orders]
        return None if not winners or None in winners else winners[0] == winners[1]

    def swapped(self) -> Verdict:
        """The same comparison with A and B called by each other's name, as if shown in the other order."""
        named = dict(vars(self))
        named["aspects"] = tuple(a.swapped() for a in self.aspects)
        named["orders"] = tuple(order.swapped() for order in self.orders)
        return Verdict(**named)

    def scores_line(self) -> str:
        """All scores in one line, for logs and reports: "Text Faithfulness 2.8 : 3.5 (B); overall 3.1 : 3.4,
        B wins"."""
        said = []
        for a in self.aspects:
            scored = f"{a.score_a:.1f} : {a.score_b:.1f} ({a.winner})" if a.status == SCORED else ""
            said.append(f"{a.name} {scored or {NOT_APPLICABLE: 'N/A'}.get(a.status, a.status)}")
        line = ", ".join(said)
        if self.margin is None:
            return f"{line}; {self.status if self.status != COMPLETE else 'nothing applies'}"
        won = "a tie" if self.winner == TIE else f"{self.winner} wins"
        return f"{line}; overall {self.overall_a:.2f} : {self.overall_b:.2f}, {won}"

    def to_text(self) -> str:
        """The verdict in the protocol's card form, as a critic would have written it."""
        winners = {A: "Image A", B: "Image B", TIE: "It's a tie", None: "N/A"}
        lines = ["# User Request Analysis", self.analysis, "# Detailed Judgement"]
        for number, a in enumerate(self.aspects, 1):
            lines += [f"{number}. {a.name}:", f"## Justification: {a.justification}"]
            if a.status != MISSING:
                for name, score in (("A", a.score_a), ("B", a.score_b)):
                    lines.append(f"## Score {name}: {'N/A' if score is None else score}")
                lines.append(f"## Winner: {winners[a.winner]}")
        return "\n".join([*lines, f"# Summary: {self.summary}"])

    def to_dict(self) -> dict:
        """Plain data for JSON; adds what is worked out, for readers."""
        worked_out = {
            name: getattr(self, name)
            for name in ("overall_a", "overall_b", "margin", "winner", "position_bias", "agreed")
        }
        orders = [order.to_dict() for order in self.orders]
        return {**asdict(self), **worked_out, "orders": orders}

    @classmethod
    def from_dict(cls, data: dict) -> Verdict:
        """Inverse of `to_dict`; what is worked out is worked out anew, and what a later version has added is
        left out."""
        data = known(cls, data)
        data["aspects"] = tuple(PairScore(**known(PairScore, a)) for a in data["aspects"])
        data["orders"] = tuple(cls.from_dict(order) for order in data.get("orders", ()))
        data |= {name: tuple(data[name]) for name in ("notes", "scale") if name in data}
        return cls(**data)

    def __repr__(self):
        return f"Verdict({self.task}: {self.scores_line()})"


def of_critiques(a: Critique, b: Critique, tie: float = 0.0) -> Verdict:
    """A verdict from two pictures that were judged one by one: no position, so no position bias.

    An aspect is scored where both critiques score it and applies where it applies to both; else it is missing
    or not applicable.
    """
    aspects, notes = [], []
    for one, other in zip(a.aspects, b.aspects, strict=True):
        said = ((A, one.justification), (B, other.justification))
        words = "\n".join(f"{name}: {text}" for name, text in said if text)
        statuses = {one.status, other.status}
        if statuses == {SCORED}:
            winner = winner_of(one.score - other.score, tie)
            aspects.append(PairScore(one.key, one.name, SCORED, one.score, other.score, winner, words))
            continue
        if statuses == {SCORED, NOT_APPLICABLE}:
            notes.append(f"{one.name}: applied to one of the pictures only, so it is not compared")
        status = MISSING if MISSING in statuses else NOT_APPLICABLE
        aspects.append(PairScore(one.key, one.name, status, justification=words))
    return Verdict(
        task=a.task.pair,
        request=a.request,
        aspects=tuple(aspects),
        status=a.status if a.status == b.status else INCOMPLETE,
        analysis=a.analysis,
        summary="\n".join(f"{name}: {c.summary}" for name, c in ((A, a), (B, b)) if c.summary),
        text=_joined(a.text, b.text),
        notes=(*(f"{name}: {note}" for name, c in ((A, a), (B, b)) for note in c.notes), *notes),
        source=a.source | {"images": [*a.source.get("images", ()), *b.source.get("images", ())]},
        scale=a.scale,
        weights=a.weights,
        tie=tie,
    )


def _joined(*texts: str) -> str:
    return "\n\n---\n\n".join(filter(None, texts))


def winner_of(margin: float, tie: float) -> str:
    """Who wins by `margin` points for A, when up to `tie` points are a tie."""
    # scores such as 2.2 are not exact in binary: a band of 0.1 must hold 2.3 - 2.2
    return TIE if abs(margin) <= tie + 1e-9 else A if margin > 0 else B


def averaged(first: Verdict, second: Verdict, tie: float = 0.0) -> Verdict:
    """One verdict of two: `first` as shown A, B; `second` as shown B, A, with its own names ("A" is what
    stood first).

    An aspect's scores are the means of both orders. It is missing, and the verdict incomplete, unless both
    orders could be read; an aspect that applies in one order only counts with that one, which is noted.
    """
    second = second.swapped()
    aspects, notes = [], []
    for one, other in zip(first.aspects, second.aspects, strict=True):
        scored = [score for score in (one, other) if score.status == SCORED]
        words = "\n".join(score.justification for score in (one, other) if score.justification)
        if MISSING in (one.status, other.status):
            aspects.append(PairScore(one.key, one.name, justification=words))
            continue
        if not scored:
            aspects.append(PairScore(one.key, one.name, NOT_APPLICABLE, justification=words))
            continue
        if len(scored) == 1:
            notes.append(f"{one.name}: applied in one order only")
        a, b = (sum(getattr(s, name) for s in scored) / len(scored) for name in ("score_a", "score_b"))
        aspects.append(PairScore(one.key, one.name, SCORED, a, b, winner_of(a - b, tie), words))
    told = [f"{order}: {n}" for order, v in (("A, B", first), ("B, A", second)) for n in v.notes]
    statuses = {first.status, second.status}
    return Verdict(
        task=first.task,
        request=first.request,
        aspects=tuple(aspects),
        status=statuses.pop() if len(statuses) == 1 else INCOMPLETE,
        analysis=first.analysis,
        text=_joined(first.text, second.text),
        summary="\n".join(v.summary for v in (first, second) if v.summary),
        notes=(*told, *notes),
        source=first.source,
        scale=first.scale,
        weights=first.weights,
        tie=tie,
        orders=(first, second),
    )
