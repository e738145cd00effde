"""The data of a comparison: two images, A and B, scored aspect by aspect, in one order or in both.

A critic may favour the image that it sees first. So a pair is best judged twice, as A, B and as B, A, and the
two are averaged; what is left between them is the position bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .answer_format import NOT_APPLICABLE_TEXT, TIE, WINNERS, A, B, Key
from .critique import COMPLETE, INCOMPLETE, MISSING, NOT_APPLICABLE, SCORED, AspectScore, Critique, Judgement
from .from_data import Number, Text

_WRITTEN_WINNERS = {winner: text for text, winner in WINNERS.items()} | {None: NOT_APPLICABLE_TEXT}


@dataclass(frozen=True)
class PairScore:
    """What the critic said about one aspect of both images. Scores and `winner` ("A", "B" or "tie") are
    there when `status` is "scored", else None."""

    key: Text
    name: Text
    status: Text = MISSING
    score_a: Number | None = None
    score_b: Number | None = None
    winner: Text | None = None
    justification: Text = ""

    def __post_init__(self):
        given = (self.score_a, self.score_b, self.winner)
        if (self.status == SCORED) != (None not in given) or (self.status != SCORED and given != (None,) * 3):
            raise ValueError(f"{self.name}: status {self.status!r} does not go with {given}.")
        if self.winner not in (None, A, B, TIE):
            raise ValueError(f"{self.name}: the winner is {A!r}, {B!r} or {TIE!r}, not {self.winner!r}.")

    def swapped(self) -> PairScore:
        """The same with A and B called by each other's name."""
        other = self.winner and {A: B, B: A}.get(self.winner, self.winner)
        return PairScore(
            self.key, self.name, self.status, self.score_b, self.score_a, other, self.justification
        )


@dataclass(frozen=True, repr=False)
class Verdict(Judgement):
    """One comparison. Only a complete verdict has overall scores, a margin and a winner.

    `orders` holds the two answers that an averaged verdict was made of, the second with A and B already
    named as in the first; it is empty for a single answer. A margin of at most `tie_margin` is a tie.
    """

    COMPUTED = ("overall_a", "overall_b", "margin", "winner", "position_bias", "agreed")
    SCORES = ("score_a", "score_b")

    aspects: tuple[PairScore, ...]
    tie_margin: Number = field(default=0.0, kw_only=True)
    orders: tuple[Verdict, ...] = field(default=(), kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if not self.tie_margin >= 0:
            raise ValueError(f"tie_margin must be 0 or more, not {self.tie_margin}.")

    @property
    def overall_a(self) -> float | None:
        """Weighted mean of A's scores on all aspects that apply; None unless complete."""
        return self._overall("score_a")

    @property
    def overall_b(self) -> float | None:
        """The same of B."""
        return self._overall("score_b")

    @property
    def margin(self) -> float | None:
        """How much better A is than B, in points; None unless complete."""
        a, b = self.overall_a, self.overall_b
        return None if a is None or b is None else a - b

    @property
    def winner(self) -> str | None:
        """ "A", "B" or "tie", by the overall scores; None unless complete."""
        return None if self.margin is None else winner_of(self.margin, self.tie_margin)

    @property
    def position_bias(self) -> float | None:
        """How many points an image gains by being shown first, on average: 0 for a fair critic.
        None unless both orders were judged completely."""
        margins = [order.margin for order in self.orders if order.margin is not None]
        return (margins[0] - margins[1]) / 2 if len(margins) == 2 else None

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
        """All scores in one line: "Text Faithfulness 2.8 : 3.5 (B); overall 3.1 : 3.4, B wins"."""
        words, texts = {NOT_APPLICABLE: NOT_APPLICABLE_TEXT}, []
        for a in self.aspects:
            scored = f"{a.score_a:.1f} : {a.score_b:.1f} ({a.winner})" if a.status == SCORED else ""
            texts.append(f"{a.name} {scored or words.get(a.status, a.status)}")
        line = ", ".join(texts)
        if self.margin is None:
            return f"{line}; {self.status if self.status != COMPLETE else 'nothing applies'}"
        won = "a tie" if self.winner == TIE else f"{self.winner} wins"
        return f"{line}; overall {self.overall_a:.2f} : {self.overall_b:.2f}, {won}"

    def values(self) -> dict[Key, str]:
        winners = {
            (aspect.key, "winner"): _WRITTEN_WINNERS[aspect.winner]
            for aspect in self.aspects
            if aspect.status != MISSING
        }
        return super().values() | winners

    def to_dict(self) -> dict:
        return super().to_dict() | {"orders": [order.to_dict() for order in self.orders]}

    @classmethod
    def _stored(cls, data: Any) -> Any:
        stored = super()._stored(data)
        if isinstance(stored, Mapping) and isinstance(stored.get("orders"), (list, tuple)):
            stored = {**stored, "orders": [cls._stored(order) for order in stored["orders"]]}
        return stored


def of_critiques(a: Critique, b: Critique, tie_margin: float = 0.0) -> Verdict:
    """A verdict from the critiques of two images, judged independently: no order, so no position bias.

    An aspect is scored if both critiques score it, and not applicable if it applies to one image or to none;
    otherwise it is missing.
    """
    notes: list[str] = []
    aspects = [_of_scores(*pair, tie_margin, notes) for pair in zip(a.aspects, b.aspects, strict=True)]
    named = ((A, a), (B, b))
    return Verdict(
        task=a.task.pair,
        request=a.request,
        aspects=tuple(aspects),
        status=a.status if a.status == b.status else INCOMPLETE,
        analysis=a.analysis,
        summary="\n".join(f"{name}: {critique.summary}" for name, critique in named if critique.summary),
        text=_joined(a.text, b.text),
        notes=(*(f"{name}: {note}" for name, critique in named for note in critique.notes), *notes),
        source=a.source | {"images": [*a.source.get("images", ()), *b.source.get("images", ())]},
        scale=a.scale,
        weights=a.weights,
        tie_margin=tie_margin,
    )


def _of_scores(a: AspectScore, b: AspectScore, tie_margin: float, notes: list[str]) -> PairScore:
    """The scores of one aspect from two critiques."""
    named = ((A, a.justification), (B, b.justification))
    justification = "\n".join(f"{name}: {text}" for name, text in named if text)
    if a.score is not None and b.score is not None:
        winner = winner_of(a.score - b.score, tie_margin)
        return PairScore(a.key, a.name, SCORED, a.score, b.score, winner, justification)
    statuses = {a.status, b.status}
    if statuses == {SCORED, NOT_APPLICABLE}:
        notes.append(f"{a.name}: applied to one of the images only, so it is not compared")
    status = MISSING if MISSING in statuses else NOT_APPLICABLE
    return PairScore(a.key, a.name, status, justification=justification)


def winner_of(margin: float, tie_margin: float) -> str:
    """Who wins if A is `margin` points better and up to `tie_margin` points are a tie."""
    # scores such as 2.2 are not exact in binary: a tie margin of 0.1 must include 2.3 - 2.2
    return TIE if abs(margin) <= tie_margin + 1e-9 else A if margin > 0 else B


def averaged(first: Verdict, second: Verdict, tie_margin: float = 0.0) -> Verdict:
    """One verdict from both orders: `first` was shown as A, B; `second` as B, A, with its own names ("A" is
    the image shown first).

    The scores of an aspect are the means of both orders. It is missing, and the verdict incomplete, unless
    both orders could be read. An aspect that applies in one order only has the scores of that order, and a
    note.
    """
    second = second.swapped()
    notes = [f"{order}: {n}" for order, v in (("A, B", first), ("B, A", second)) for n in v.notes]
    pairs = zip(first.aspects, second.aspects, strict=True)
    aspects = [_average(*pair, tie_margin, notes) for pair in pairs]
    return Verdict(
        task=first.task,
        request=first.request,
        aspects=tuple(aspects),
        status=first.status if first.status == second.status else INCOMPLETE,
        analysis=first.analysis,
        text=_joined(first.text, second.text),
        summary="\n".join(verdict.summary for verdict in (first, second) if verdict.summary),
        notes=tuple(notes),
        source=first.source,
        scale=first.scale,
        weights=first.weights,
        tie_margin=tie_margin,
        orders=(first, second),
    )


def _average(first: PairScore, second: PairScore, tie_margin: float, notes: list[str]) -> PairScore:
    """The mean scores of one aspect in both orders."""
    both = (first, second)
    justification = "\n".join(score.justification for score in both if score.justification)
    scored = [score for score in both if score.status == SCORED]
    if not scored or MISSING in (first.status, second.status):
        status = MISSING if MISSING in (first.status, second.status) else NOT_APPLICABLE
        return PairScore(first.key, first.name, status, justification=justification)
    if len(scored) == 1:
        notes.append(f"{first.name}: applied in one order only")
    a, b = (sum(getattr(score, name) for score in scored) / len(scored) for name in ("score_a", "score_b"))
    winner = winner_of(a - b, tie_margin)
    return PairScore(first.key, first.name, SCORED, a, b, winner, justification)


def _joined(*texts: str) -> str:
    return "\n\n---\n\n".join(filter(None, texts))
