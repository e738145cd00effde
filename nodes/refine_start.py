"""Refine Start: opens a refine loop, and every later round of it."""

from __future__ import annotations

import dataclasses
import time
import weakref
from typing import Any

from comfy_api.latest import io

from ..rr_models.judgement.aspect_numbers import thresholds as parse_thresholds
from ..rr_models.judgement.aspects import BEST, WORST
from ..rr_models.loop import settings as loop_settings
from ..rr_models.loop import state as loop_state
from ..rr_models.loop.settings import LoopSettings
from .common import display
from .common.inputs import aspect_thresholds_input, min_overall_input, seed_input, threshold_input
from .common.loop_context import LoopContext, reject_unknown_inputs
from .common.results import node_output
from .common.socket_types import CATEGORY, LoopSocket

SETTINGS = {field.name for field in dataclasses.fields(LoopSettings)}
SETTINGS -= {"aspect_thresholds", "time_limit_seconds"}
"""Inputs that are fields of LoopSettings as they are."""


class RationalRewardsRefineStart(io.ComfyNode):
    """Open a refine loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStart",
            display_name="Refine Start",
            category=CATEGORY,
            description="Opens a refine loop: generate, judge, improve the prompt, repeat. Connect prompt "
            "and seed to your generator, request to Critique Image, and loop to Refine End. All nodes in "
            "between run once per round.",
            search_aliases=["loop", "refine", "iterate", "reward", "prompt enhance", "best of n"],
            # The state of later rounds arrives through an input that is not shown.
            accept_all_inputs=True,
            inputs=[
                io.String.Input(
                    "request",
                    multiline=True,
                    tooltip="What the image should show. It is the first prompt, and every round is judged "
                    "by it.",
                ),
                seed_input("Seed of the first round.", control_after_generate=io.ControlAfterGenerate.fixed),
                io.Int.Input("rounds", default=4, min=1, max=100, tooltip="Maximum number of rounds."),
                threshold_input(
                    "Stop when every aspect that applies reaches this score, 1 (worst) to 4 (best). The "
                    "RationalRewards paper uses 3.",
                    min=WORST,
                    max=BEST,
                ),
                io.Combo.Input(
                    "seed_policy",
                    options=list(loop_settings.SEED_POLICIES),
                    default="new on stall",
                    tooltip="fixed: every round uses the same seed and only the prompt changes, as in the "
                    f"paper. new: every round adds {loop_state.SEED_STEP} to the seed, so that batches never "
                    "overlap. new on stall: the same, but only after a round without gain.",
                ),
                io.Int.Input(
                    "patience",
                    default=3,
                    min=0,
                    max=100,
                    tooltip="Stop after this many rounds in a row without gain; 0: never, recommended for "
                    "more than 4 rounds.",
                    advanced=True,
                ),
                io.Float.Input(
                    "min_gain",
                    default=0.05,
                    min=0.0,
                    max=3.0,
                    step=0.01,
                    tooltip="How much the best overall score (1 to 4) must rise for a round to count as a "
                    "gain.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "refine_from",
                    options=list(loop_settings.REFINE_FROM),
                    default="best",
                    tooltip="Which round's refined request to try next: that of the best round so far, or "
                    "the latest. If it was already tried with this seed, the other one is used.",
                    advanced=True,
                ),
                io.Int.Input(
                    "target_count",
                    default=1,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="Number of images that must reach the thresholds before the loop stops. They "
                    "come out of Refine End's accepted.",
                ),
                io.Combo.Input(
                    "prompt_policy",
                    options=list(loop_settings.PROMPT_POLICIES),
                    default="refined",
                    optional=True,
                    tooltip="refined: every round tries a better prompt. as written: every round uses the "
                    "request as its prompt, and only the seed changes; seed_policy must not be fixed.",
                ),
                aspect_thresholds_input(),
                min_overall_input(max=BEST),
                io.Float.Input(
                    "time_limit_minutes",
                    default=0.0,
                    min=0.0,
                    max=10000.0,
                    step=0.5,
                    optional=True,
                    tooltip="Time limit: no round starts if even the fastest so far would exceed it; 0: "
                    "none. A round that has started is finished.",
                    advanced=True,
                ),
                io.Int.Input(
                    "max_failed_rounds",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    tooltip="Number of rounds that may fail to be judged; 0: the first failure ends the loop "
                    "with the best image so far.",
                    advanced=True,
                ),
            ],
            # The loop's clock counts within one run of the graph.
            hidden=[io.Hidden.dynprompt],
            outputs=[
                LoopSocket.Output(display_name="loop", tooltip="Connect directly to Refine End."),
                io.String.Output(display_name="prompt", tooltip="This round's prompt, for the generator."),
                io.Int.Output(display_name="seed", tooltip="This round's seed, for the generator."),
                io.Int.Output(display_name="round", tooltip="Number of this round, from 1."),
                io.String.Output(
                    display_name="request",
                    tooltip="The request as you wrote it, for Critique Image; it never changes.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        request: str,
        seed: int,
        aspect_thresholds: str = "",
        time_limit_minutes: float = 0.0,
        carried: LoopContext | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        reject_unknown_inputs("Refine Start", settings.keys() - SETTINGS, "carried", carried, LoopContext)
        if carried is None:
            loop = LoopSettings(
                aspect_thresholds=parse_thresholds(aspect_thresholds),
                time_limit_seconds=60 * time_limit_minutes,
                **settings,
            )
            dynprompt = weakref.ref(cls.hidden.dynprompt)
            state = loop_state.start(request, seed, loop)
            carried = LoopContext(state, started=time.monotonic(), dynprompt=dynprompt)
        display.show_round(carried.state)
        return node_output(cls, {"loop": carried} | round_values(carried.state))


def round_values(state: loop_state.State) -> dict[str, Any]:
    """The outputs prompt, seed, round and request for the round to generate now."""
    return {
        "prompt": state.prompt,
        "seed": state.seed,
        "round": state.number,
        "request": state.request,
    }
