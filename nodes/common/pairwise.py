"""Inputs of the nodes that compare images in pairs."""

from __future__ import annotations

from comfy_api.latest import io

from ...rr_models.critics.judging import AUTO, COMPARISONS


def comparison_input(**more) -> io.Input:
    """The input that says how two images are shown to the critic."""
    return io.Combo.Input(
        "comparison",
        options=[AUTO, *COMPARISONS],
        default=AUTO,
        tooltip="both orders: shown as A, B and as B, A, and averaged. single order: half the time, but "
        "blind to position bias. independent: each image judged alone. auto: both orders; independent for "
        "the built-in critic, which cannot compare.",
        advanced=True,
        **more,
    )


def tie_margin_input(tooltip: str, **more) -> io.Input:
    """The margin up to which two images tie."""
    return io.Float.Input(
        "tie_margin", default=0.0, min=0.0, max=3.0, step=0.05, tooltip=tooltip, advanced=True, **more
    )
