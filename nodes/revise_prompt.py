"""Revise Prompt: the critic's refined request made fit for one's own generator."""

from __future__ import annotations

from collections.abc import Callable

from comfy_api.latest import io

from ..rr_models.judgement.critique import Critique
from ..rr_models.judgement.ranking import rank
from ..rr_models.prompt_revision import revise
from ..rr_models.prompt_revision.protected_terms import protected_terms as read_terms
from ..rr_models.prompt_revision.shorten import estimate_tokens
from .common.round_errors import with_round_in_errors
from .common.socket_types import CATEGORY, CritiqueSocket


class RationalRewardsRevisePrompt(io.ComfyNode):
    """Make the next prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RationalRewardsRevisePrompt",
            display_name="Revise Prompt",
            category=CATEGORY,
            description="Makes the next prompt from a critique: the refined request with your own words "
            "around it, with terms that must not get lost, as sentences or tags, and no longer than your "
            "generator can read.",
            hidden=[io.Hidden.dynprompt],
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
                    "protected_terms",
                    default="",
                    multiline=True,
                    tooltip="Words that must not get lost, such as a trigger word or a name, with commas "
                    "or line breaks between them. They stand in the prompt word for word, added at the end "
                    "where the refined request lacks them. So do (weighted:1.2), <lora:x:1>, {a|b}, "
                    "__wildcards__ and embedding:x of the request, without being named here.",
                ),
                io.Int.Input(
                    "max_words",
                    default=0,
                    min=0,
                    max=2000,
                    tooltip="Longest prompt, in words; 0: no limit. The sentences of the refined request "
                    "that have least to do with the request and the critic's comments are left out first.",
                ),
                io.Int.Input(
                    "max_tokens",
                    default=0,
                    min=0,
                    max=8192,
                    optional=True,
                    tooltip="Longest prompt, in tokens; 0: no limit. 75 is what CLIP reads at once. Counted "
                    "by clip if that is connected, else estimated for CLIP.",
                ),
                io.Combo.Input(
                    "style",
                    options=list(revise.STYLES),
                    default=revise.SENTENCES,
                    optional=True,
                    tooltip="sentences: as the critic writes. tags: the things it lists, with commas, for "
                    "generators trained on tags.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(revise.MODES),
                    default=revise.REPLACE,
                    optional=True,
                    tooltip="replace: the refined request takes the last prompt's place. append: the last "
                    "prompt stays, and what is new in the refined request is put behind it.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The generator's text encoder, to count tokens as it does. With several encoders "
                    "in it, the largest count holds.",
                ),
                io.String.Input(
                    "last_prompt",
                    optional=True,
                    force_input=True,
                    tooltip="The prompt of this round, from Refine Start, for append and difference. Left "
                    "open: the request.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompt", tooltip="The next prompt, for next_prompt of Refine End."
                ),
                io.String.Output(
                    display_name="notes",
                    tooltip="What was kept, added or shortened, and whether the critic gave nothing new.",
                ),
                io.String.Output(
                    display_name="difference",
                    tooltip="What is new and what is gone against the last prompt, a line each: + new, "
                    "- gone, old → new. Empty if nothing.",
                ),
            ],
        )

    @classmethod
    @with_round_in_errors
    def execute(
        cls,
        critiques: tuple[Critique, ...],
        prefix: str = "",
        suffix: str = "",
        protected_terms: str = "",
        max_words: int = 0,
        max_tokens: int = 0,
        style: str = revise.SENTENCES,
        mode: str = revise.REPLACE,
        clip=None,
        last_prompt: str = "",
    ) -> io.NodeOutput:
        revision = revise.revise(
            critiques[rank(critiques)[0]],
            prefix=prefix,
            suffix=suffix,
            protected_terms=read_terms(protected_terms),
            max_words=max_words,
            max_tokens=max_tokens,
            count_tokens=estimate_tokens if clip is None else _counter(clip),
            style=style,
            mode=mode,
            last_prompt=last_prompt,
        )
        return io.NodeOutput(revision.prompt, "\n".join(revision.notes), revision.difference)


def _counter(clip) -> Callable[[str], int]:
    """How many tokens of a text its encoders see, without padding, ends and what is put around each."""

    def most(text: str) -> int:
        # core numbers the words of a text from 1; whatever is no word has 0
        tokenized = clip.tokenize(text, return_word_ids=True)
        return max(
            sum(token[2] != 0 for batch in batches for token in batch) for batches in tokenized.values()
        )

    around = most("")
    return lambda text: most(text) - around
