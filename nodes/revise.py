"""Revise Prompt: the critic's refined request made fit for one's own generator."""

from __future__ import annotations

from comfy_api.latest import io

from ..rr_models import revise
from ..rr_models.critique import Critique
from ..rr_models.select import rank
from .sockets import CATEGORY, CritiqueSocket


class RationalRewardsRevisePrompt(io.ComfyNode):
    """Make the next prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRevisePrompt",
            display_name="Revise Prompt",
            category=CATEGORY,
            description="Makes the next prompt from a critique: the refined request with your own words "
            "around it, with terms that must not get lost, and no longer than your generator can read.",
            search_aliases=["prompt enhance", "prompt refine", "rewrite prompt", "critique", "reward"],
            inputs=[
                CritiqueSocket.Input(
                    "critiques", tooltip="From Critique Image. The best of a batch is used."
                ),
                io.String.Input(
                    "prefix",
                    default="",
                    multiline=True,
                    tooltip="Put before the refined request, such as a style.",
                ),
                io.String.Input(
                    "suffix", default="", multiline=True, tooltip="Put after the refined request."
                ),
                io.String.Input(
                    "kept_terms",
                    default="",
                    multiline=True,
                    tooltip="Words that must not get lost, such as a trigger word or a name, with commas "
                    "or line breaks between them. Any that the refined request lacks are added at its "
                    "end, word for word.",
                ),
                io.Int.Input(
                    "max_words",
                    default=0,
                    min=0,
                    max=2000,
                    tooltip="Longest prompt, in words; 0: no limit. The refined request is shortened at "
                    "the end of a sentence where that is possible. About 50 fit the 77 tokens of CLIP.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompt", tooltip="The next prompt, for next_prompt of Refine End."
                ),
                io.String.Output(
                    display_name="notes", tooltip="What was added, shortened or missing; empty if nothing."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        critiques: tuple[Critique, ...],
        prefix: str = "",
        suffix: str = "",
        kept_terms: str = "",
        max_words: int = 0,
    ) -> io.NodeOutput:
        best = critiques[rank(critiques)[0]]
        terms = revise.kept_terms(kept_terms)
        revision = revise.revise(best, prefix=prefix, suffix=suffix, keep=terms, max_words=max_words)
        return io.NodeOutput(revision.prompt, "\n".join(revision.notes))
