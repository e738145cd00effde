"""Refine Start: opens a refine loop, and opens each of its later rounds again."""

from __future__ import annotations

import time
import weakref

from comfy_api.latest import io

from ..rr_models.judgement.aspect_numbers import thresholds as parse_thresholds
from ..rr_models.judgement.aspects import BEST, WORST
from ..rr_models.loop import settings as loop_settings
from ..rr_models.loop import state as loop_state
from .common import display
from .common.inputs import aspect_thresholds_input, seed_input
from .common.loop_context import LoopContext, reject_unknown_inputs
from .common.socket_types import CATEGORY, LoopSocket


class RationalRewardsRefineStart(io.ComfyNode):
    """Open a refine loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStart",
            display_name="Refine Start",
            category=CATEGORY,
            description="Opens a refine loop: generate, judge, improve the prompt, again. Connect prompt "
            "and seed to your generator, request to Critique Image, loop to Refine End. All nodes in "
            "between run once per round.",
            search_aliases=["loop", "refine", "iterate", "reward", "prompt enhance", "best of n"],
            # The next round's state comes as an input that no one should have to see.
            accept_all_inputs=True,
            inputs=[
                io.String.Input(
                    "request",
                    multiline=True,
                    tooltip="What the picture should show. The first round's prompt, and what every round "
                    "is judged by.",
                ),
                seed_input("Seed of the first round.", control_after_generate=io.ControlAfterGenerate.fixed),
                io.Int.Input(
                    "rounds", default=4, min=1, max=100, tooltip="Most rounds to run, the first one counted."
                ),
                io.Float.Input(
                    "threshold",
                    default=3.0,
                    min=WORST,
                    max=BEST,
                    step=0.1,
                    tooltip="Stop once every aspect that applies reaches this score, 1 (worst) to 4 "
                    "(best). 3 is what the RationalRewards paper uses.",
                ),
                io.Combo.Input(
                    "seed_policy",
                    options=list(loop_settings.SEED_POLICIES),
                    default="new on stall",
                    tooltip="fixed: every round has the same seed, only the prompt changes, as in the "
                    f"paper. new: the seed rises by {loop_state.SEED_STEP} each round, so that batches never "
                    "overlap. new on stall: it rises after a round without gain.",
                ),
                io.Int.Input(
                    "patience",
                    default=3,
                    min=0,
                    max=100,
                    tooltip="Stop after this many rounds in a row without gain; 0: never, best for more "
                    "than 4 rounds.",
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
                    tooltip="Whose refined request is tried next: that of the best round so far or of the "
                    "latest. If it was tried before with the same seed, that of the other.",
                    advanced=True,
                ),
                io.Int.Input(
                    "target_count",
                    default=1,
                    min=1,
                    max=100,
                    optional=True,
                    tooltip="How many pictures must reach the bar before the loop stops; they come out of "
                    "Refine End's accepted.",
                ),
                io.Combo.Input(
                    "prompt_policy",
                    options=list(loop_settings.PROMPT_POLICIES),
                    default="refined",
                    optional=True,
                    tooltip="refined: each round has a better prompt. as written: the request is the prompt "
                    "of every round and only the seed changes; needs the seed policy new or new on stall.",
                ),
                aspect_thresholds_input(),
                io.Float.Input(
                    "min_overall",
                    default=0.0,
                    min=0.0,
                    max=BEST,
                    step=0.1,
                    optional=True,
                    tooltip="The overall score must reach this too, 1 (worst) to 4 (best); 0: no bar.",
                    advanced=True,
                ),
                io.Float.Input(
                    "time_limit_minutes",
                    default=0.0,
                    min=0.0,
                    max=10000.0,
                    step=0.5,
                    optional=True,
                    tooltip="Start no round that would end later, even if as quick as the quickest so "
                    "far; 0: no limit. A round that has begun is finished.",
                    advanced=True,
                ),
                io.Int.Input(
                    "max_failed_rounds",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    tooltip="How many rounds that could not be judged are passed over; 0: the first ends the "
                    "loop with the best picture so far.",
                    advanced=True,
                ),
            ],
            # When the loop began counts in this run of the graph only.
            hidden=[io.Hidden.dynprompt],
            outputs=[
                LoopSocket.Output(display_name="loop", tooltip="Connect straight to Refine End."),
                io.String.Output(display_name="prompt", tooltip="This round's prompt, for the generator."),
                io.Int.Output(display_name="seed", tooltip="This round's seed, for the generator."),
                io.Int.Output(display_name="round", tooltip="Number of this round, from 1."),
                io.String.Output(
                    display_name="request",
                    tooltip="The request as you wrote it, for Critique Image: it never changes.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        request: str,
        seed: int,
        rounds: int = 4,
        threshold: float = 3.0,
        seed_policy: str = "new on stall",
        patience: int = 3,
        min_gain: float = 0.05,
        refine_from: str = "best",
        target_count: int = 1,
        prompt_policy: str = "refined",
        aspect_thresholds: str = "",
        min_overall: float = 0.0,
        time_limit_minutes: float = 0.0,
        max_failed_rounds: int = 0,
        carried: LoopContext | None = None,
        **others: object,
    ) -> io.NodeOutput:
        reject_unknown_inputs("Refine Start", others, "carried", carried, LoopContext)
        if carried is None:
            settings = loop_settings.LoopSettings(
                rounds=rounds,
                threshold=threshold,
                seed_policy=seed_policy,
                patience=patience,
                min_gain=min_gain,
                refine_from=refine_from,
                aspect_thresholds=parse_thresholds(aspect_thresholds),
                min_overall=min_overall,
                target_count=target_count,
                prompt_policy=prompt_policy,
                time_limit_seconds=60 * time_limit_minutes,
                max_failed_rounds=max_failed_rounds,
            )
            run = weakref.ref(cls.hidden.dynprompt)
            carried = LoopContext(loop_state.start(request, seed, settings), began=time.monotonic(), run=run)
        state = carried.state
        display.tell_round(state)
        return io.NodeOutput(carried, state.prompt, state.seed, state.number, state.request)
