"""How a critic is to answer: the options of `Critic.judge`."""

from __future__ import annotations

from dataclasses import dataclass

from ..judgement.answer_format import DETAILS, FULL

WRITTEN, EXPECTED = "written", "expected"
SCORE_MODES = (WRITTEN, EXPECTED)
"""Which number is the score: the one that was written, or the mean of all that could have been."""

BEST = "best"
"""A detail of `judging.critique` only: scores of all images, the full critique of the best one."""
CRITIQUE_DETAILS = (*DETAILS, BEST)


@dataclass(frozen=True)
class JudgeOptions:
    """Options of `Critic.judge`.

    `constrained`: the critic's own words for as long as they can be read; an answer that lacks a score goes
    on under given headings (see answer_program.py), and the probabilities of all scores are measured.
    False: the critic's own words alone, as `generate` of transformers would write them; only a loop is ended.
    `detail`: "scores" ends after the last score, "critique" after the summary, "full" includes a better
    request.
    `score_mode`: "written" takes the score as written; "expected" the mean of all scores that could have been
    written, by the critic's own probabilities (constrained only).
    `temperature`: 0 is greedy; above 0, sampling depends on `seed` and the image, not on other images of the
    batch or on torch's global random state. `top_k` and `top_p` (0 and 1: off) then leave out unlikely
    tokens. `samples`: passes per question, averaged.
    `max_new_tokens`: limit per answer. A constrained answer that reaches it without its scores goes back to
    where the missing parts still fit; only if not even the headings do, it is cut off.
    `batch_size`: answers written at a time, fewer if memory runs out.
    `batch_invariant` (default: in 16 bit): an answer is the same to the last bit whichever others are in the
    batch; costs a little time. In 32 bit the tokens are the same in any case.
    `cuda_graphs` (default: with `batch_invariant` on NVIDIA GPUs, except for models that were saved
    quantized): decode steps are replayed from CUDA graphs, each of which is first compared with plain steps;
    same answers in less time.
    `ask_again`: a free answer that lacks a score will be asked for again (by `judging.critique`), so the
    cache may keep it.
    """

    constrained: bool = True
    detail: str = FULL
    score_mode: str = WRITTEN
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    max_new_tokens: int = 2048
    batch_size: int = 8
    batch_invariant: bool | None = None
    cuda_graphs: bool | None = None
    ask_again: bool = False

    def __post_init__(self):
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be 0 (greedy) or more, not {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1 (1: off), not {self.top_p}.")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or more, not {self.top_k}.")
        for name in ("max_new_tokens", "batch_size", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if self.detail not in DETAILS:
            raise ValueError(f"detail must be one of {', '.join(DETAILS)}, not {self.detail!r}.")
        if self.score_mode not in SCORE_MODES:
            modes = ", ".join(SCORE_MODES)
            raise ValueError(f"score_mode must be one of {modes}, not {self.score_mode!r}.")
        if self.score_mode == EXPECTED and not self.constrained:
            raise ValueError(
                "score_mode 'expected' needs constrained decoding, which knows where a score stands. "
                "Set constrained to true, or score_mode to 'written'."
            )
        if self.samples > 1 and not self.temperature:
            raise ValueError(
                f"samples is {self.samples}, but at temperature 0 every sample is the same. Set a "
                "temperature, such as 0.7, or samples to 1."
            )
