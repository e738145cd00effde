"""Inputs that several nodes declare."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io

from ...rr_models.critics.options import SCORE_MODES, WRITTEN
from ...rr_models.judgement.answer_format import FULL
from ...rr_models.judgement.aspects import Aspect
from ...rr_models.judgement.ranking import OVERALL
from ...rr_models.loop.state import SEEDS
from .socket_types import CriticSocket

MAX_SEED = SEEDS - 1


def critic_input(tooltip: str = "From Load Critic.", **more) -> io.Input:
    return CriticSocket.Input("critic", tooltip=tooltip, **more)


def request_input(more_tooltip: str = "") -> io.Input:
    return io.String.Input(
        "request",
        multiline=True,
        tooltip=f"What was asked for: the prompt, or the instruction of an edit.{more_tooltip}",
    )


def seed_input(tooltip: str, **more) -> io.Input:
    return io.Int.Input("seed", default=0, min=0, max=MAX_SEED, tooltip=tooltip, **more)


def sampling_inputs() -> list[io.Input]:
    """The inputs `temperature` and `seed` of a critic's answer."""
    return [
        io.Float.Input(
            "temperature",
            default=0.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="0: the same image always gets the same answer. Above 0, texts and scores vary with the "
            "seed; RationalRewards was published with 0.1.",
            advanced=True,
        ),
        seed_input(
            "Sampling seed; ignored at temperature 0.",
            control_after_generate=io.ControlAfterGenerate.fixed,
            advanced=True,
        ),
    ]


def max_new_tokens_input(effect: str) -> io.Input:
    """How long an answer may be; `effect` says what a truncated answer lacks."""
    return io.Int.Input(
        "max_new_tokens",
        default=2048,
        min=64,
        max=20480,
        tooltip=f"Maximum length of an answer, in tokens (about 4 letters each). A truncated answer "
        f"{effect}; raise this if the report says truncated.",
        advanced=True,
    )


def weights_input(more_tooltip: str) -> io.Input:
    """Aspect weights, read by rr_models.judgement.aspects_json.weights."""
    return io.String.Input(
        "weights",
        default="",
        tooltip="Weights of aspects in the overall score, such as text_rendering=0.5, physical_quality=2. "
        f"{more_tooltip}",
        optional=True,
        advanced=True,
    )


def constrained_input(more_tooltip: str = "") -> io.Input:
    return io.Boolean.Input(
        "constrained",
        default=True,
        tooltip="Structured output. The critic answers in its own words; where an answer lacks a score, it "
        "is taken back to that place and goes on under given headings. No score is made up: a critic that "
        f"gives none there stays incomplete. Off: its own words alone.{more_tooltip}",
        optional=True,
        advanced=True,
    )


def detail_input(options: Sequence[str], tooltip: str, default: str = FULL, **more) -> io.Input:
    return io.Combo.Input(
        "detail", options=list(options), default=default, tooltip=tooltip, optional=True, **more
    )


def score_mode_input() -> io.Input:
    return io.Combo.Input(
        "score_mode",
        options=list(SCORE_MODES),
        default=WRITTEN,
        tooltip="written: the score in the answer. expected: the mean of all possible scores, weighted by "
        "the critic's probabilities; finer, for ranking. Needs constrained.",
        optional=True,
        advanced=True,
    )


def use_cache_input(tooltip: str) -> io.Input:
    return io.Boolean.Input(
        "use_cache",
        default=True,
        tooltip=f"{tooltip} The cache survives a restart. Off: always judge again.",
        optional=True,
        advanced=True,
    )


def comparison_input(options: Sequence[str], default: str, **more) -> io.Input:
    return io.Combo.Input(
        "comparison",
        options=list(options),
        default=default,
        tooltip="both orders: shown as A, B and as B, A, and averaged. single order: half the time, but "
        "blind to position bias. independent: each image is judged alone. auto: both orders; independent for "
        "the built-in critic, which cannot compare.",
        advanced=True,
        **more,
    )


def tie_margin_input(tooltip: str, **more) -> io.Input:
    return io.Float.Input(
        "tie_margin", default=0.0, min=0.0, max=3.0, step=0.05, tooltip=tooltip, advanced=True, **more
    )


def threshold_input(tooltip: str, default: float = 3.0, min: float = 0.0, max: float = 100.0, **more):
    """A score to reach. Critics with a scale of their own may go beyond 1 to 4."""
    return io.Float.Input("threshold", default=default, min=min, max=max, step=0.1, tooltip=tooltip, **more)


def aspect_thresholds_input() -> io.Input:
    """Thresholds of single aspects, read by rr_models.judgement.thresholds.read."""
    return io.String.Input(
        "aspect_thresholds",
        default="",
        optional=True,
        tooltip="Thresholds of single aspects that replace threshold, such as text_faithfulness=3.5, "
        "physical_quality=2.5.",
        advanced=True,
    )


def min_overall_input(max: float = 100.0) -> io.Input:
    return io.Float.Input(
        "min_overall",
        default=0.0,
        min=0.0,
        max=max,
        step=0.1,
        optional=True,
        tooltip="Minimum overall score, in addition to the thresholds: 1 (worst) to 4 (best); 0: none.",
        advanced=True,
    )


def rank_by_input(aspects: Sequence[Aspect]) -> io.Input:
    return io.Combo.Input(
        "rank_by",
        options=[OVERALL, *(aspect.key for aspect in aspects)],
        default=OVERALL,
        tooltip="The score that ranks: the overall score (mean of all aspects that apply), or one aspect.",
    )


def count_input(tooltip: str, default: int = 1, max: int = 4096) -> io.Input:
    return io.Int.Input("count", default=default, min=1, max=max, tooltip=tooltip)
