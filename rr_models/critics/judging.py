"""Critiques and comparisons by any critic, written once over `Critic.judge`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import CriticError
from ..judgement.answer_format import FULL, SCORES
from ..judgement.aspects import Aspect
from ..judgement.critique import INCOMPLETE, MISSING, TRUNCATED, Critique, check_weights, unjudged
from ..judgement.ranking import rank
from ..judgement.task import Task
from ..judgement.verdict import Verdict, averaged, of_critiques
from .base import (
    Critic,
    Held,
    Image,
    Progress,
    ProgressCallback,
    Question,
    ReportsProgress,
    Resumes,
)
from .options import BEST, JudgeOptions

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

AUTO, BOTH_ORDERS, SINGLE_ORDER, INDEPENDENT = "auto", "both orders", "single order", "independent"
COMPARISONS = (BOTH_ORDERS, SINGLE_ORDER, INDEPENDENT)
"""How two images can be compared."""

Images: TypeAlias = "Sequence[Image | torch.Tensor] | torch.Tensor"
Judge = Callable[[Sequence[Question], JudgeOptions, "ProgressCallback | None"], "list[Any]"]


def critique(
    critic: Critic,
    images: Images,
    request: str,
    task: Task | str | None = None,
    sources: Images = (),
    *,
    weights: Mapping[str, float] | None = None,
    ask_again: bool = True,
    on_progress: ProgressCallback | None = None,
    detail: str = FULL,
    **options: Any,
) -> list[Critique]:
    """Judge images of one request, for an edit all against the same sources.

    `task` follows from the sources if it is not given. `weights`: how much aspects count in the overall
    score, by key. `detail`: as for JudgeOptions, or "best": scores of all, the full critique of the best one.
    `options` are the other fields of JudgeOptions.

    `ask_again`: a free answer (`constrained` False) that lacks a score is asked for once more, constrained,
    so that it is complete; its notes and `source["attempts"]` say so. A refusal is left as it is.
    """
    if not len(images):
        raise ValueError("images must hold at least one image; this batch is empty.")
    shared = tuple(map(Image.of, sources))
    task = Task.parse(task) if task else Task.of(sources=bool(shared))
    questions = [Question(task, request, (image,), shared) for image in map(Image.of, images)]
    _check_weights(weights or {}, critic.profile.aspects(task))
    best_only = detail == BEST
    chosen = JudgeOptions(detail=SCORES if best_only else detail, ask_again=ask_again, **options)
    ask = _weighted(_ask_twice(critic) if ask_again else critic.judge, weights)
    with held(critic):
        judged = ask(questions, chosen, on_progress)
        if best_only and judged[best := rank(judged)[0]].overall is not None:
            judged[best] = _in_full(critic, ask, questions[best], chosen, on_progress, weights)
    return judged


def try_critique(
    critic: Critic, images: Images, request: str, sources: Images = (), task: Task | str | None = None, **more
) -> list[Critique]:
    """As `critique`; if the critic fails (CriticError), incomplete critiques that say why. So that a loop can
    still return its best image."""
    try:
        return critique(critic, images, request, task, sources, **more)
    except CriticError as error:
        log.error("%s could not judge: %s", critic.name, error)
        task, profile = Task.parse(task) if task else Task.of(sources=bool(len(sources))), critic.profile
        failed = unjudged(task, request, profile.aspects(task), str(error), critic.name, profile.scale)
        return [failed] * len(images)


def compare(
    critic: Critic,
    a: Image | torch.Tensor,
    b: Image | torch.Tensor,
    request: str,
    sources: Images = (),
    *,
    comparison: str = BOTH_ORDERS,
    tie_margin: float = 0.0,
    weights: Mapping[str, float] | None = None,
    on_progress: ProgressCallback | None = None,
    **options: Any,
) -> Verdict:
    """Compare two images of one request; a margin of up to `tie_margin` points is a tie.

    `comparison` is "both orders" (shown as A, B and as B, A, and averaged), "single order" (A, B only),
    "independent" (each judged alone, for critics that cannot compare) or "auto" (see `choose_comparison`).
    Other options as for `critique`.
    """
    comparison = choose_comparison(comparison, critic)
    if not tie_margin >= 0:
        raise ValueError(f"tie_margin must be 0 or more points, not {tie_margin}.")
    if comparison == INDEPENDENT:
        judged = critique(
            critic, [a, b], request, sources=sources, weights=weights, on_progress=on_progress, **options
        )
        return of_critiques(*judged, tie_margin=tie_margin)
    shared = tuple(map(Image.of, sources))
    task = Task.of(sources=bool(shared), pair=True)
    _check_weights(weights or {}, critic.profile.aspects(task))
    a, b = Image.of(a), Image.of(b)
    orders = [(a, b), (b, a)] if comparison == BOTH_ORDERS else [(a, b)]
    questions = [Question(task, request, order, shared) for order in orders]
    verdicts = _weighted(critic.judge, weights)(questions, JudgeOptions(**options), on_progress)
    if comparison == BOTH_ORDERS:
        return averaged(*verdicts, tie_margin=tie_margin)
    return replace(verdicts[0], tie_margin=tie_margin)


def choose_comparison(comparison: str, critic: Critic) -> str:
    """The comparison to use: "auto" is both orders, or independent for a critic that cannot compare."""
    if comparison == AUTO:
        return BOTH_ORDERS if can_judge(critic, Task.T2I_PAIR) else INDEPENDENT
    if comparison not in COMPARISONS:
        raise ValueError(f"comparison must be one of {', '.join((AUTO, *COMPARISONS))}, not {comparison!r}.")
    return comparison


def can_judge(critic: Critic, task: Task) -> bool:
    return task in getattr(critic, "tasks", tuple(Task))


def progress_of(critic: Critic) -> Progress:
    """How far the critic's current call is, if it says."""
    return critic.progress() if isinstance(critic, ReportsProgress) else Progress()


def held(critic: Critic) -> AbstractContextManager:
    """A context around several calls of `judge` that belong together."""
    return critic.hold() if isinstance(critic, Held) else nullcontext()


def _check_weights(weights: Mapping[str, float], aspects: Sequence[Aspect]) -> None:
    check_weights(weights, [aspect.key for aspect in aspects])
    if not any(weights.get(aspect.key, 1) > 0 for aspect in aspects if not aspect.optional):
        raise ValueError("weights: at least one aspect that always applies must weigh more than 0.")


def _in_full(critic: Critic, ask: Judge, question, scored: JudgeOptions, on_progress, weights) -> Critique:
    """The full critique of a question whose scores have just been written."""
    full = replace(scored, detail=FULL)
    # a free answer cannot be continued without being told how it goes on; of several samples, which one?
    if isinstance(critic, Resumes) and full.constrained and full.samples == 1:
        return replace(critic.resume(question, full, on_progress), weights=dict(weights or {}))
    return ask([question], full, on_progress)[0]


def _weighted(judge: Judge, weights: Mapping[str, float] | None) -> Judge:
    """The same judgements with these aspect weights."""

    def weighted(questions, options, on_progress) -> list[Any]:
        judged = judge(questions, options, on_progress)
        return [replace(judgement, weights=dict(weights or {})) for judgement in judged]

    return weighted


def _ask_twice(critic: Critic) -> Judge:
    """As `critic.judge`; then the free answers that lack a score once more, constrained."""

    def judge(questions, options: JudgeOptions, on_progress) -> list[Any]:
        judged = critic.judge(questions, options, on_progress)
        lacking = [index for index, first in enumerate(judged) if first.status in (INCOMPLETE, TRUNCATED)]
        if options.constrained or not lacking:
            return judged
        log.warning(
            "%s: %d of %d answers lack a score; asking again, constrained.",
            critic.name,
            len(lacking),
            len(judged),
        )
        again = [questions[index] for index in lacking]
        second = critic.judge(again, replace(options, constrained=True, ask_again=False), on_progress)
        for index, judgement in zip(lacking, second, strict=True):
            missing = ", ".join(a.name for a in judged[index].aspects if a.status == MISSING)
            note = f"asked twice: the first answer, not constrained, was {judged[index].status}"
            note += f" (no {missing})" if missing else ""
            source = {**judgement.source, "attempts": 2}
            judged[index] = replace(judgement, notes=(*judgement.notes, note), source=source)
        return judged

    return judge
