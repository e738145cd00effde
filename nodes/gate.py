"""Reward Gate: pass on images that reach the thresholds; block, reroute or stop at the others."""

from __future__ import annotations

from comfy_api.latest import io

from ..rr_models.judgement.aspect_numbers import thresholds as parse_thresholds
from ..rr_models.judgement.thresholds import Thresholds
from .common import display
from .common.candidates import (
    Candidates,
    candidates_input,
    scalar_inputs,
    selected_outputs,
    selected_results,
)
from .common.inputs import aspect_thresholds_input, min_overall_input, threshold_input
from .common.results import node_output
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY

NAME = "Reward Gate"
REROUTE, BLOCK, STOP = ON_FAIL = "reroute", "block", "stop the run"
EACH, ALL, ANY = BATCH_MODES = "each image", "all must pass", "one is enough"


class RationalRewardsGate(io.ComfyNode):
    """Pass on what is good enough."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsGate",
            display_name=NAME,
            category=CATEGORY,
            description="Passes on images that reach the thresholds. If none does, the nodes after the pass "
            "outputs do not run. The others leave by the fail outputs, are blocked, or stop the run with a "
            "message. An incomplete critique never passes.",
            is_output_node=True,
            hidden=[io.Hidden.dynprompt],
            search_aliases=["reward", "gate", "threshold", "filter", "block", "stop", "quality check", "if"],
            # Failed images are taken out of a list: core would otherwise block every node that takes the
            # list as a whole.
            is_input_list=True,
            inputs=[
                candidates_input("The judged images, from Critique Image: a batch, or a list of batches."),
                threshold_input(
                    "Every aspect that applies must reach this score, 1 (worst) to 4 (best). 1: only the "
                    "other thresholds count."
                ),
                io.Combo.Input(
                    "on_fail",
                    options=list(ON_FAIL),
                    default=REROUTE,
                    tooltip="What to do with images below the threshold. reroute: they leave by the fail "
                    "outputs. block: they leave nowhere. stop the run: an error says what they missed, and "
                    "the run ends.",
                ),
                io.Combo.Input(
                    "batch_mode",
                    options=list(BATCH_MODES),
                    default=EACH,
                    tooltip="each image: every image passes or fails by itself. all must pass: if one fails, "
                    "all fail. one is enough: if one passes, all pass.",
                ),
                aspect_thresholds_input(),
                min_overall_input(),
            ],
            outputs=[
                *selected_outputs("pass", "The images that pass, in their order."),
                *selected_outputs("fail", "With reroute: the images that fail."),
                io.Int.Output(display_name="passed", tooltip="Number of images that pass."),
                io.String.Output(
                    display_name="report",
                    tooltip="One line per image: whether it passes, and which thresholds it misses.",
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    @scalar_inputs("threshold", "on_fail", "batch_mode", "aspect_thresholds", "min_overall")
    def execute(
        cls,
        candidates: list[Candidates],
        threshold: float,
        on_fail: str = REROUTE,
        batch_mode: str = EACH,
        aspect_thresholds: str = "",
        min_overall: float = 0.0,
    ) -> io.NodeOutput:
        thresholds = Thresholds(threshold, parse_thresholds(aspect_thresholds), min_overall)
        missed = [thresholds.missed(one.judged) for bundle in candidates for one in bundle]
        passes = _passes(missed, batch_mode)
        report = _report(passes, missed)
        if on_fail == STOP and not all(passes):
            raise ValueError(f"{NAME} stopped the run, because on_fail is '{STOP}'.\n{report}")
        failing = [not ok and on_fail != BLOCK for ok in passes]
        results = {
            **selected_results("pass", _where(candidates, passes)),
            **selected_results("fail", _where(candidates, failing)),
            "passed": sum(passes),
            "report": report,
        }
        shown = display.selection(sum(passes), len(passes), report, passing=True)
        return node_output(cls, results, ui=shown)


def _where(bundles: list[Candidates], wanted: list[bool]) -> list[Candidates]:
    """The bundles with only the candidates that are wanted; empty ones are left out."""
    flags = iter(wanted)
    parts = [tuple(one for one in bundle if next(flags)) for bundle in bundles]
    return [part for part in parts if part]


def _passes(missed: list[tuple[str, ...]], batch_mode: str) -> list[bool]:
    """Whether each image passes, by the thresholds that each one misses."""
    alone = [not names for names in missed]
    if batch_mode == EACH:
        return alone
    return [all(alone) if batch_mode == ALL else any(alone)] * len(alone)


def _report(passes: list[bool], missed: list[tuple[str, ...]]) -> str:
    lines = [
        ", ".join([f"Image {number}: {'pass' if ok else 'fail'}", *names])
        for number, (ok, names) in enumerate(zip(passes, missed, strict=True), 1)
    ]
    return "\n".join(lines)
