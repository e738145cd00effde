"""Revise Prompt: adapt the critic's refined request to the user's generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import io

from ..rr_models.judgement.ranking import rank
from ..rr_models.prompt_revision import revise
from ..rr_models.prompt_revision.protected_terms import protected_terms as read_terms
from ..rr_models.prompt_revision.shorten import estimate_tokens
from .common.candidates import Candidates, candidates_input
from .common.results import node_output
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY


class RationalRewardsRevisePrompt(io.ComfyNode):
    """Make the next prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRevisePrompt",
            display_name="Revise Prompt",
            category=CATEGORY,
            description="Makes the next prompt from a critique: the refined request, with a prefix and a "
            "suffix, with terms that must not get lost, as sentences or tags, and no longer than your "
            "generator can read.",
            hidden=[io.Hidden.dynprompt],
            search_aliases=["prompt enhance", "prompt refine", "rewrite prompt", "critique", "reward"],
            inputs=[
                candidates_input("From Critique Image. Of a batch, the best critique is used."),
                io.String.Input(
                    "prefix",
                    default="",
                    multiline=True,
                    tooltip="Text before the refined request, such as a style.",
                ),
                io.String.Input(
                    "suffix", default="", multiline=True, tooltip="Text after the refined request."
                ),
                io.String.Input(
                    "protected_terms",
                    default="",
                    multiline=True,
                    tooltip="Terms that must appear word for word, such as a trigger word or a name, "
                    "separated by commas or line breaks. Those that the refined request lacks are added at "
                    "its end. Prompt syntax of the request is always protected: (weighted:1.2), <lora:x:1>, "
                    "{a|b}, __wildcards__, embedding:x.",
                ),
                io.Int.Input(
                    "max_words",
                    default=0,
                    min=0,
                    max=2000,
                    tooltip="Maximum length of the prompt, in words; 0: no limit. The sentences of the "
                    "refined request that have least to do with the request and the critic's comments are "
                    "dropped first.",
                ),
                io.Int.Input(
                    "max_tokens",
                    default=0,
                    min=0,
                    max=8192,
                    optional=True,
                    tooltip="Maximum length of the prompt, in tokens; 0: no limit. CLIP reads 75 at a time. "
                    "Counted by clip if connected, otherwise estimated for CLIP.",
                ),
                io.Combo.Input(
                    "style",
                    options=list(revise.STYLES),
                    default=revise.SENTENCES,
                    optional=True,
                    tooltip="sentences: as the critic writes. tags: the things it lists, separated by "
                    "commas, for generators trained on tags.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "mode",
                    options=list(revise.MODES),
                    default=revise.REPLACE,
                    optional=True,
                    tooltip="replace: the refined request replaces the last prompt. append: the last prompt "
                    "stays, and what is new in the refined request is added after it.",
                    advanced=True,
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The generator's text encoder, to count tokens exactly. If it has several "
                    "encoders, the largest count applies.",
                ),
                io.String.Input(
                    "last_prompt",
                    optional=True,
                    force_input=True,
                    tooltip="This round's prompt, from Refine Start, for append and difference. Not "
                    "connected: the request.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompt", tooltip="The next prompt, for next_prompt of Refine End."
                ),
                io.String.Output(
                    display_name="notes",
                    tooltip="What was protected, added or shortened, and whether the critic proposed nothing "
                    "new.",
                ),
                io.String.Output(
                    display_name="difference",
                    tooltip="What changed since the last prompt, one change per line: + new, - removed, "
                    "old → new. Empty if nothing changed.",
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        candidates: Candidates,
        protected_terms: str = "",
        clip=None,
        **options: Any,
    ) -> io.NodeOutput:
        critiques = [candidate.judged for candidate in candidates]
        revision = revise.revise(
            critiques[rank(critiques)[0]],
            protected_terms=read_terms(protected_terms),
            count_tokens=estimate_tokens if clip is None else token_counter(clip),
            **options,
        )
        notes = "\n".join(revision.notes)
        return node_output(
            cls, {"prompt": revision.prompt, "notes": notes, "difference": revision.difference}
        )


def token_counter(clip) -> Callable[[str], int]:
    """Counts the tokens of a text as its encoders see them, without padding, start and end tokens, and the
    template around the text."""

    def count_all(text: str) -> int:
        # core numbers the words of a text from 1; everything else is 0
        tokenized = clip.tokenize(text, return_word_ids=True)
        return max(
            sum(token[2] != 0 for token_batch in batches for token in token_batch)
            for batches in tokenized.values()
        )

    template = count_all("")
    return lambda text: count_all(text) - template
