"""Ranks images of one request by pairwise comparison, and breaks ties that way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CriticError
from ..judgement.answer_format import SCORES
from ..judgement.critique import Critique
from ..judgement.ranking import RankBy, tied
from ..judgement.tournament import KNOCKOUT, Tournament, max_comparisons, play
from ..judgement.verdict import TIE, Verdict, of_critiques
from .base import Critic, Image, ProgressCallback
from .judging import AUTO, BOTH_ORDERS, INDEPENDENT, choose_comparison, compare, critique, held
from .options import EXPECTED

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Announce = Callable[[str], None]
"""Called with a sentence about what comes next."""

_PARTS = 1000  # of a progress bar, for each comparison


@dataclass
class PairwiseJudge:
    """Compares images of one request. Asks for scores only, with expected scores, which are rarely equal.

    With the comparison "independent", each image is judged once, not once per comparison. `options` are
    those of `judging.compare`.
    """

    critic: Critic
    request: str
    sources: Sequence[Image | torch.Tensor] = ()
    comparison: str = AUTO
    tie_margin: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.comparison = choose_comparison(self.comparison, self.critic)
        self.options = {"detail": SCORES, "score_mode": EXPECTED, **self.options}

    def cost(self, count: int, places: int, format: str = KNOCKOUT) -> str:
        """What ranking `count` images takes, as a sentence."""
        if self.comparison == INDEPENDENT:
            return f"{count} images, judged independently: {count} answers of the critic"
        comparisons = max_comparisons(count, places, format)
        answers = comparisons * (2 if self.comparison == BOTH_ORDERS else 1)
        return f"{count} images: at most {comparisons} comparison(s), {answers} answer(s) of the critic"

    def rank(
        self,
        images: Sequence[Image | torch.Tensor],
        places: int,
        format: str = KNOCKOUT,
        *,
        numbers: Sequence[int] | None = None,
        announce: Announce | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> tuple[tuple[int, ...], list[str]]:
        """Indices of `images`, best first, as far as the first `places` are concerned, and a line per
        comparison. Of equal images the earlier one comes first.

        `numbers` are the images' numbers in those lines, from 0. `announce` is given the cost beforehand.
        """
        images, numbers = [Image.of(image) for image in images], numbers or range(len(images))
        cost = self.cost(len(images), places, format)
        log.info("%s", cost)
        if announce:
            announce(cost)
        steps = 1 if self._independent else max_comparisons(len(images), places, format)
        lines: list[str] = []

        def margin(a: int, b: int) -> float:
            verdict = meet(a, b)
            pair = f"Image {numbers[a] + 1} against image {numbers[b] + 1}"
            if verdict.margin is None:
                lines.append(f"{pair}: undecided, {verdict.scores_line()}")
                return 0.0
            lines.append(f"{pair}: {verdict.overall_a:.2f} : {verdict.overall_b:.2f}")
            return 0.0 if verdict.winner == TIE else verdict.margin

        with held(self.critic):
            meet = self._meet(images, steps, on_progress)
            return play(Tournament(len(images), places, format), margin).ranking, lines

    @property
    def _independent(self) -> bool:
        return self.comparison == INDEPENDENT

    def _meet(
        self, images: Sequence[Image], steps: int, on_progress: ProgressCallback | None
    ) -> Callable[[int, int], Verdict]:
        """Compares the images of two indices."""
        if self._independent:
            judged = critique(
                self.critic,
                images,
                self.request,
                sources=self.sources,
                on_progress=_part(on_progress, 0, 1),
                **self.options,
            )
            return lambda a, b: of_critiques(judged[a], judged[b], self.tie_margin)
        done = 0

        def meet(a: int, b: int) -> Verdict:
            nonlocal done
            done += 1
            return compare(
                self.critic,
                images[a],
                images[b],
                self.request,
                self.sources,
                comparison=self.comparison,
                tie_margin=self.tie_margin,
                on_progress=_part(on_progress, done - 1, steps),
                **self.options,
            )

        return meet


def break_ties(
    critic: Critic,
    images: Sequence[Image | torch.Tensor],
    critiques: Sequence[Critique],
    ranking: Sequence[int],
    count: int,
    rank_by: RankBy,
    sources: Sequence[Image | torch.Tensor] = (),
    *,
    announce: Announce | None = None,
    on_progress: ProgressCallback | None = None,
) -> tuple[tuple[int, ...], list[str]]:
    """The `ranking` (indices, best first) with images of equal score put in order by pairwise comparison, as
    far as that affects the first `count`; and lines for a report."""
    settled, notes = list(ranking), []
    for equal in tied(critiques, ranking, count, rank_by):
        request = critiques[equal[0]].request
        names = ", ".join(str(index + 1) for index in equal)
        if any(critiques[index].request != request for index in equal):
            notes.append(
                f"Images {names} have equal scores but different requests; the earlier one comes first."
            )
            continue
        start = settled.index(equal[0])
        places = min(len(equal), count - start)
        judge = PairwiseJudge(critic, request, sources)
        try:
            order, lines = judge.rank(
                [images[index] for index in equal],
                places,
                numbers=equal,
                announce=announce,
                on_progress=on_progress,
            )
        except CriticError as error:
            log.error("comparing images of equal score: %s", error)
            notes.append(
                f"Images {names} have equal scores; comparing them failed, so the earlier one comes first: "
                f"{error}"
            )
            continue
        settled[start : start + len(equal)] = [equal[index] for index in order]
        notes.append(f"Images {names} have equal scores. {judge.cost(len(equal), places)}. In their order:")
        notes += lines
    return tuple(settled), notes


def _part(on_progress: ProgressCallback | None, index: int, count: int) -> ProgressCallback | None:
    """Progress of part `index` of `count` equal parts."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(
        int(_PARTS * (index + done / max(1, total))), _PARTS * max(1, count)
    )
