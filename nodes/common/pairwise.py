"""Duels between pictures of one request, fought before a critic: what they cost, and who comes out where."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from comfy_api.latest import io

from ...rr_models.critics.from_trace import EXPECTED
from ...rr_models.critics.local import BOTH_ORDERS, HOW, ONE_BY_ONE
from ...rr_models.judgement.answer_format import SCORES
from ...rr_models.judgement.task import Task
from ...rr_models.judgement.tournament import KNOCKOUT, Tournament, duels, play
from ...rr_models.judgement.verdict import TIE, of_critiques
from .critique_cache import cached
from .display import tell
from .model_memory import ManagedCritic, progress_watch

log = logging.getLogger(__name__)

AUTO = "auto"


def comparison_input(**more) -> io.Input:
    """The input that says how two pictures are shown to the critic, as `chosen` takes it."""
    return io.Combo.Input(
        "comparison",
        options=[AUTO, *HOW],
        default=AUTO,
        tooltip="both orders: shown as A, B and as B, A. single order: half the time, and blind to "
        "position bias. independent: each judged alone. auto: both orders; independent for the "
        "built-in critic, which knows no pairs.",
        advanced=True,
        **more,
    )


def tie_margin_input(tooltip: str, **more) -> io.Input:
    """The margin up to which two pictures tie."""
    return io.Float.Input(
        "tie_margin", default=0.0, min=0.0, max=3.0, step=0.05, tooltip=tooltip, advanced=True, **more
    )


def chosen(how: str, critic: ManagedCritic) -> str:
    """What "auto" comes to for this critic; any other way as it is."""
    if how != AUTO:
        return how
    return ONE_BY_ONE if critic.critic.learned else BOTH_ORDERS


@dataclass
class Ring:
    """Where pictures meet. Each duel asks for scores alone, and takes the expected ones, which are seldom
    equal.

    Judged one by one, every picture is judged once and not once a duel.
    """

    critic: ManagedCritic
    request: str
    sources: Sequence[torch.Tensor] = ()
    how: str = AUTO
    tie: float = 0.0
    options: dict = field(default_factory=dict)
    remember: bool = True

    def __post_init__(self):
        self.how = chosen(self.how, self.critic)
        self.judge = cached(self.critic, self.remember)
        self.options = {"detail": SCORES, "score_mode": EXPECTED, "max_new_tokens": 2048} | self.options

    def cost(self, count: int, places: int, form: str = KNOCKOUT) -> str:
        """What ranking so many takes, in words."""
        if self.how == ONE_BY_ONE:
            return f"{count} pictures, judged one by one: {count} answers of the critic"
        most = duels(count, places, form)
        answers = most * (2 if self.how == BOTH_ORDERS else 1)
        return f"{count} pictures: at most {most} duel(s), {answers} answer(s) of the critic"

    def fight(
        self,
        images: Sequence[torch.Tensor],
        places: int,
        form: str = KNOCKOUT,
        node: str | None = None,
        names: Sequence[int] | None = None,
    ) -> tuple[tuple[int, ...], list[str]]:
        """Places of the `images` [H, W, C], best first, and what happened in each duel. Of equals the earlier
        one is in front. Progress and the cost beforehand show on `node`; `names` are the numbers, from 0, by
        which the pictures are told of."""
        names = names or range(len(images))
        cost = self.cost(len(images), places, form)
        log.info("%s", cost)
        tell(cost, node)
        told: list[str] = []
        if self.how == ONE_BY_ONE:
            watch = pieces(1)
            task = Task.of(sources=bool(self.sources))
            judged = self.judge.critique(
                list(images), self.request, task, sources=self.sources, watch=watch(0), **self.options
            )
        else:
            watch = pieces(duels(len(images), places, form))

        def meet(a: int, b: int) -> float:
            if self.how == ONE_BY_ONE:
                verdict = of_critiques(judged[a], judged[b], self.tie)
            else:
                verdict = self.judge.compare(
                    images[a],
                    images[b],
                    self.request,
                    Task.of(sources=bool(self.sources), pair=True),
                    sources=self.sources,
                    how=self.how,
                    tie=self.tie,
                    watch=watch(len(told)),
                    **self.options,
                )
            named = f"Image {names[a] + 1} against image {names[b] + 1}"
            if verdict.winner is None:
                told.append(f"{named}: not decided, {verdict.scores_line()}")
                return 0.0
            told.append(f"{named}: {verdict.overall_a:.2f} : {verdict.overall_b:.2f}")
            return 0.0 if verdict.winner == TIE else verdict.margin

        ranking = play(Tournament(len(images), places, form), meet).ranking
        return ranking, told


_PARTS = 1000  # of the bar, for each piece of work


def pieces(count: int) -> Callable[[int], Callable[[int, int], None]]:
    """One progress bar for `count` pieces of work: gives a `watch(done, total)` for the piece of a number."""
    move = progress_watch()

    def piece(number: int) -> Callable[[int, int], None]:
        def watch(done: int, total: int) -> None:
            move(int(_PARTS * (number + done / max(1, total))), _PARTS * max(1, count))

        return watch

    return piece
