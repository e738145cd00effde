"""Refine Start: opens a refine loop, and every later round of it."""

from __future__ import annotations

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
from .common.loop_wiring import check_loops
from .common.results import node_output
from .common.socket_types import CATEGORY, LoopSocket

SETTINGS = {"rounds", "threshold", "min_overall", "max_failed_rounds"}
"""Inputs that are fields of LoopSettings as they are."""
COLLECT, CUSTOM = "collect", "custom"
CHOICES = (*loop_settings.PRESETS, CUSTOM)


class RationalRewardsRefineStart(io.ComfyNode):
    """Open a refine loop."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRefineStart",
            display_name="Refine Start",
            category=CATEGORY,
            description="Opens a refine loop: generate, judge, improve the prompt, repeat. Connect prompt "
            "and seed to your generator, and loop to Refine End. All nodes in between run once per round.",
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
                io.DynamicCombo.Input(
                    "preset",
                    options=[
                        *(
                            io.DynamicCombo.Option(
                                name, [_target_count(default=4)] if name == COLLECT else []
                            )
                            for name in loop_settings.PRESETS
                        ),
                        io.DynamicCombo.Option(CUSTOM, _custom_inputs()),
                    ],
                    tooltip="How the loop searches. balanced: better prompts, and a new seed after a round "
                    "without gain. fast: stops at the first round without gain. careful: uses all rounds. "
                    "collect: keeps your prompt and draws new seeds until enough images are good. custom: "
                    "you set everything.",
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
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            outputs=[
                LoopSocket.Output(display_name="loop", tooltip="Connect directly to Refine End."),
                io.String.Output(display_name="prompt", tooltip="This round's prompt, for the generator."),
                io.Int.Output(display_name="seed", tooltip="This round's seed, for the generator."),
                io.Int.Output(display_name="round", tooltip="Number of this round, from 1."),
                io.String.Output(
                    display_name="request",
                    tooltip="The request as you wrote it, which never changes; for Critique Image, if you "
                    "use it between the two.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, request: str | None, preset: dict[str, Any] | str | None = None) -> bool | str:
        # core gives None for an input that is connected; it does not check what is named here itself
        chosen = preset["preset"] if isinstance(preset, dict) else preset
        if chosen is not None and chosen not in CHOICES:
            return f"preset must be one of {', '.join(CHOICES)}, not {chosen!r}."
        return (
            request is None or bool(request.strip()) or "request is empty: type what the image should show."
        )

    @classmethod
    def execute(
        cls,
        request: str,
        seed: int,
        preset: dict[str, Any] | None = None,
        aspect_thresholds: str = "",
        time_limit_minutes: float = 0.0,
        carried: LoopContext | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        reject_unknown_inputs("Refine Start", settings.keys() - SETTINGS, "carried", carried, LoopContext)
        if carried is None:
            dynprompt = cls.hidden.dynprompt
            check_loops(dynprompt, cls.hidden.unique_id)
            loop = LoopSettings(
                aspect_thresholds=parse_thresholds(aspect_thresholds),
                time_limit_seconds=60 * time_limit_minutes,
                **settings,
                **_preset_settings(preset or {}),
            )
            state = loop_state.start(request, seed, loop)
            carried = LoopContext(state, started=time.monotonic(), dynprompt=weakref.ref(dynprompt))
        display.show_round(carried.state)
        return node_output(cls, {"loop": carried} | round_values(carried.state))


def _preset_settings(preset: dict[str, Any]) -> dict[str, Any]:
    """The fields of LoopSettings for the value of the input `preset`; those of the defaults without one."""
    given = dict(preset)
    return {**loop_settings.PRESETS.get(given.pop("preset", CUSTOM), {}), **given}


def round_values(state: loop_state.State) -> dict[str, Any]:
    """The outputs prompt, seed, round and request for the round to generate now."""
    return {
        "prompt": state.prompt,
        "seed": state.seed,
        "round": state.number,
        "request": state.request,
    }


def _target_count(default: int) -> io.Input:
    return io.Int.Input(
        "target_count",
        default=default,
        min=1,
        max=100,
        tooltip="Number of images that must reach the thresholds before the loop stops. They come out of "
        "Refine End's accepted.",
    )


def _custom_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "seed_policy",
            options=list(loop_settings.SEED_POLICIES),
            default="new on stall",
            tooltip="fixed: every round uses the same seed and only the prompt changes, as in the paper. "
            f"new: every round adds {loop_state.SEED_STEP} to the seed, so that batches never overlap. new "
            "on stall: the same, but only after a round without gain.",
        ),
        io.Int.Input(
            "patience",
            default=3,
            min=0,
            max=100,
            tooltip="Stop after this many rounds in a row without gain; 0: never, recommended for more than "
            "4 rounds.",
        ),
        io.Float.Input(
            "min_gain",
            default=0.05,
            min=0.0,
            max=3.0,
            step=0.01,
            tooltip="How much the best overall score (1 to 4) must rise for a round to count as a gain.",
        ),
        io.Combo.Input(
            "refine_from",
            options=list(loop_settings.REFINE_FROM),
            default="best",
            tooltip="Which round's refined request to try next: that of the best round so far, or the "
            "latest. If it was already tried with this seed, the other one is used.",
        ),
        io.Combo.Input(
            "prompt_policy",
            options=list(loop_settings.PROMPT_POLICIES),
            default="refined",
            tooltip="refined: every round tries a better prompt. as written: every round uses the request as "
            "its prompt, and only the seed changes; seed_policy must not be fixed.",
        ),
        _target_count(default=1),
    ]
