"""Inputs that several nodes declare: seed, sampling, token limit, score mode."""

from __future__ import annotations

from comfy_api.latest import io

from ...rr_models.critics.from_trace import SCORE_MODES, WRITTEN
from ...rr_models.loop.state import SEEDS

MAX_SEED = SEEDS - 1


def aspect_thresholds_input() -> io.Input:
    """The input of bars of single aspects, read by rr_models.bars.read."""
    return io.String.Input(
        "aspect_thresholds",
        default="",
        optional=True,
        tooltip="Bars of single aspects in place of threshold, such as text_faithfulness=3.5, "
        "physical_quality=2.5.",
        advanced=True,
    )


def seed_input(tooltip: str, **more) -> io.Input:
    return io.Int.Input("seed", default=0, min=0, max=MAX_SEED, tooltip=tooltip, **more)


def chance_inputs() -> list[io.Input]:
    """The inputs `temperature` and `seed` of a critic's answer."""
    return [
        io.Float.Input(
            "temperature",
            default=0.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="0: always the same answer to the same picture. Above 0 the wording and the scores vary "
            "with the seed; RationalRewards was published with 0.1.",
            advanced=True,
        ),
        seed_input(
            "Seed of the critic's own chance; without effect at temperature 0.",
            control_after_generate=io.ControlAfterGenerate.fixed,
            advanced=True,
        ),
    ]


def max_new_tokens_input(cut_off: str) -> io.Input:
    """How long an answer may be; `cut_off` says what becomes of one that is cut off."""
    return io.Int.Input(
        "max_new_tokens",
        default=2048,
        min=64,
        max=20480,
        tooltip=f"Longest answer, in tokens (about 4 letters each). An answer that is cut off {cut_off}; "
        "raise this if the report says truncated.",
        advanced=True,
    )


def score_mode_input() -> io.Input:
    return io.Combo.Input(
        "score_mode",
        options=list(SCORE_MODES),
        default=WRITTEN,
        tooltip="written: the score in the answer. expected: the mean of all scores the critic might have "
        "written, by its own probabilities; finer, for ranking. Needs guided.",
        optional=True,
        advanced=True,
    )
