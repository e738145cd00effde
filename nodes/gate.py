"""Reward Gate: let pictures through that reach the bar, and block, reroute or stop at the others."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..rr_models.judgement.aspect_numbers import thresholds as parse_thresholds
from ..rr_models.judgement.critique import Critique
from ..rr_models.judgement.thresholds import Thresholds
from .common.image_items import ImageItem, aligned_outputs, collect, outputs, provenance_inputs, single_value
from .common.inputs import aspect_thresholds_input
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, CritiqueSocket

REROUTE, BLOCK, STOP = "reroute", "block", "stop the run"
BELOW = (REROUTE, BLOCK, STOP)
SINGLY, ALL, ANY = "each image", "all must pass", "one is enough"
TOGETHER = (SINGLY, ALL, ANY)


class RationalRewardsGate(io.ComfyNode):
    """Let through what is good enough."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        passed = aligned_outputs("those that pass", "each that passes")
        failed = aligned_outputs("those that fail", "each that fails", "fail_")
        return io.Schema(
            node_id="RationalRewardsGate",
            display_name="Reward Gate",
            category=CATEGORY,
            description="Lets pictures through that reach the bar, each with its latent, mask, prompt and "
            "seed. Nothing runs behind the pass side if none does; the others come out of the fail side, are "
            "blocked, or stop the run with a message. A critique that is not complete never passes.",
            hidden=[io.Hidden.dynprompt],
            search_aliases=["reward", "gate", "threshold", "filter", "block", "stop", "quality check", "if"],
            # What does not pass leaves a list: core would otherwise block all that takes the list as a whole.
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="The pictures that were judged: a batch, or a list."),
                CritiqueSocket.Input("critiques", tooltip="From Critique Image, for these very pictures."),
                io.Float.Input(
                    "threshold",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Every aspect that applies must reach this score, 1 (worst) to 4 (best). 1: no "
                    "bar but those below.",
                ),
                io.Combo.Input(
                    "on_fail",
                    options=list(BELOW),
                    default=REROUTE,
                    tooltip="What becomes of those below the bar. reroute: they come out of the fail "
                    "outputs. block: they come out nowhere. stop the run: an error says what they missed, "
                    "and nothing runs on.",
                ),
                io.Combo.Input(
                    "batch_mode",
                    options=list(TOGETHER),
                    default=SINGLY,
                    tooltip="each image: every one passes or fails for itself. all must pass: one below "
                    "the bar fails all. one is enough: one that reaches it lets all pass.",
                ),
                aspect_thresholds_input(),
                io.Float.Input(
                    "min_overall",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    optional=True,
                    tooltip="The overall score must reach this too, 1 (worst) to 4 (best); 0: no bar.",
                    advanced=True,
                ),
                io.Latent.Input("latent", optional=True, tooltip="Their latents, to go along."),
                io.Mask.Input("mask", optional=True, tooltip="Their masks, to go along."),
                *provenance_inputs(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="pass",
                    is_output_list=True,
                    tooltip="The pictures that reach the bar, in their order. Nothing runs behind it if "
                    "there is none.",
                ),
                io.Image.Output(
                    display_name="fail",
                    is_output_list=True,
                    tooltip="With reroute: those below the bar. Nothing runs behind it if there is none.",
                ),
                io.Int.Output(display_name="passed", tooltip="How many pictures pass."),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per picture: whether it passes, and what it missed.",
                ),
                *passed[:2],
                CritiqueSocket.Output(
                    display_name="critiques", is_output_list=True, tooltip="The critiques of those that pass."
                ),
                *passed[2:],
                *failed[:2],
                CritiqueSocket.Output(
                    display_name="fail_critiques",
                    is_output_list=True,
                    tooltip="The critiques of those that fail, for another try.",
                ),
                *failed[2:],
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        image: list[torch.Tensor],
        critiques: list[tuple[Critique, ...]],
        threshold: list[float],
        on_fail: list[str] = (REROUTE,),
        batch_mode: list[str] = (SINGLY,),
        aspect_thresholds: list[str] = ("",),
        min_overall: list[float] = (0.0,),
        latent: list[dict] | None = None,
        mask: list[torch.Tensor] | None = None,
        prompts: list[str] | None = None,
        seeds: list[int] | None = None,
    ) -> io.NodeOutput:
        goal = Thresholds(
            single_value(threshold, "threshold"),
            parse_thresholds(single_value(aspect_thresholds, "aspect_thresholds")),
            single_value(min_overall, "min_overall"),
        )
        entries = collect(image, critiques, latent, mask, prompts, seeds)
        missed = [goal.missed(entry.critique) for entry in entries]
        together = single_value(batch_mode, "batch_mode")
        good = [not words for words in missed]
        if together != SINGLY:
            good = [all(good) if together == ALL else any(good)] * len(good)
        report = "\n".join(
            ", ".join([f"Image {number}: {'pass' if passes else 'fail'}", *words])
            for number, (passes, words) in enumerate(zip(good, missed, strict=True), 1)
        )
        if single_value(on_fail, "on_fail") == STOP and not all(good):
            raise ValueError(f"Reward Gate stops the run, as it was told to.\n{report}")
        passed = [entry for entry, passes in zip(entries, good, strict=True) if passes]
        failed = [entry for entry, passes in zip(entries, good, strict=True) if not passes]
        if single_value(on_fail, "on_fail") == BLOCK:
            failed = []
        through, back = (_batches(part, len(image)) for part in (passed, failed))
        through, back = outputs(through, "Reward Gate", None), outputs(back, "Reward Gate", None)
        return io.NodeOutput(
            through.pop("image"), back.pop("image"), len(passed), report, *through.values(), *back.values()
        )


def _batches(entries: list[ImageItem], count: int) -> list[list[ImageItem]]:
    """The entries in the batches they came in; what is left of none goes."""
    batches = [[entry for entry in entries if entry.batch == batch] for batch in range(count)]
    return [batch for batch in batches if batch]
