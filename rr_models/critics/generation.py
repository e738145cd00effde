"""Generates answers with a local model: questions and options -> requests for the engine -> judgements."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from ..devices import out_of_memory
from ..engine.engine import Engine
from ..engine.kv_cache import cache_width
from ..engine.memory import OUT_OF_MEMORY_HINT, MemoryEstimate, estimate_memory
from ..engine.program import Program
from ..engine.sampler import Sampler
from ..engine.scheduler import PADDED_BATCH_SIZE
from ..engine.sequence import Prompt, Request
from ..engine.trie_step import NonFiniteLogits
from ..errors import CriticError
from ..judgement.critique import INCOMPLETE, MISSING, TRUNCATED, Critique
from ..judgement.verdict import PairScore, Verdict
from ..prompting.wording import Wording
from .answer_program import answer_program
from .base import Progress, ProgressCallback, Question
from .free_answer import AnswerPlan, Trace
from .inputs import PromptBuilder
from .measured_scores import with_measured
from .options import JudgeOptions
from .token_sets import TokenSets
from .tokenization import PromptTokenizer
from .vision import VisionEncoder

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

log = logging.getLogger(__name__)


@dataclass
class Stats:
    """What the last call took: forward passes of the language model (a prefill counts as one), runs of the
    vision tower, generated tokens, and how many of those were forced."""

    forwards: int = 0
    encoder_runs: int = 0
    tokens: int = 0
    forced_tokens: int = 0


@dataclass
class Generation:
    """One answer: the question, the engine's request, what is to be written and what was."""

    question: Question
    request: Request
    plan: AnswerPlan
    trace: Trace = field(default_factory=Trace)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The answer, as far as it is written."""
        finished = self.trace.token_ids
        return tuple(self.request.completion.token_ids) if finished is None else finished

    @property
    def forced_tokens(self) -> int:
        """How many of its tokens the critic did not choose."""
        completion = self.request.completion
        written = self.token_ids[len(self.token_ids) - len(completion.token_ids) :]
        return completion.forced_tokens if list(written) == completion.token_ids else 0


@dataclass(frozen=True)
class Written:
    """What an answer has written so far; enough to continue it."""

    token_ids: tuple[int, ...]
    trace: Trace


class CritiqueGenerator:
    """Generates with one model in one wording. `name` is the critic's, for messages."""

    def __init__(
        self,
        name: str,
        model: Qwen3VLForConditionalGeneration,
        tokenizer,
        wording: Wording,
        prompts: PromptTokenizer,
    ):
        self.name, self.model, self.wording = name, model, wording
        self.tokens = TokenSets(tokenizer, model.generation_config.eos_token_id)
        self.vision = VisionEncoder(model, prompts)
        self.prompts = prompts
        self.engine = Engine(model)
        self.stats = Stats()
        self._running: Sequence[Generation] = ()

    def prompt_builder(self) -> PromptBuilder:
        """For one call; it renders each question once, for the memory estimate and for the model."""
        return PromptBuilder(self.prompts, self.vision)

    def estimate(
        self, questions: Sequence[Question], builder: PromptBuilder, options: JudgeOptions
    ) -> MemoryEstimate:
        """Memory that these answers take."""
        lengths = [builder.length(question) for question in questions]
        images = [builder.image_tokens(question) for question in questions]
        columns = max(cache_width(length, options.max_new_tokens) for length in lengths)
        return estimate_memory(
            self.model, max(lengths), max(map(max, images)), max(map(sum, images)), columns
        )

    def generate(
        self,
        questions: Sequence[Question],
        builder: PromptBuilder,
        options: JudgeOptions,
        on_progress: ProgressCallback | None,
        guesses: Mapping[Question, tuple[int, ...]] | None = None,
    ) -> list[list[Generation]]:
        """All answers, `options.samples` for each question. `guesses`: tokens that the answers will probably
        begin with; wrong ones cost a little time and change nothing."""
        guesses = guesses or {}
        samples = range(options.samples)
        generations = [
            [self._start(question, builder, options, sample, guesses.get(question, ())) for sample in samples]
            for question in questions
        ]
        # what shares a prefix runs one after the other; an answer does not depend on its turn
        turns = [(builder.shared_key(g.question), g) for several in generations for g in several]
        turns.sort(key=lambda turn: turn[0])
        self._run([generation for _, generation in turns], options, on_progress)
        return generations

    def resume(
        self,
        question: Question,
        written: Written,
        builder: PromptBuilder,
        options: JudgeOptions,
        on_progress: ProgressCallback | None,
    ) -> Generation:
        """The answer that begins as `written`, up to its last score, with all that `options` asks for."""
        generation = self._start(question, builder, options, 0)
        request, before = generation.request, written.token_ids

        def prompt() -> Prompt:
            return builder.prompt(question).extended(before)

        def program() -> Program:
            generation.trace = copy.deepcopy(written.trace)
            generation.trace.token_ids = None
            generation.trace.truncated = generation.trace.gave_up = False
            request.sampler = self._sampler(question, options, f"{options.seed} resumed")
            return answer_program(generation.plan, self.tokens, generation.trace, before)

        request.prompt, request.program = prompt, program
        request.prompt_tokens += len(before)
        request.max_new_tokens -= len(before)
        self._run([generation], options, on_progress)
        return generation

    def written(self, generation: Generation) -> Written:
        return Written(generation.token_ids, generation.trace)

    def judgement(self, generation: Generation, options: JudgeOptions) -> Critique | Verdict:
        """What an answer says."""
        trace = generation.trace
        cut_off = trace.truncated or generation.request.completion.truncated
        reading = generation.plan.read(self.tokens.decode(generation.token_ids), cut_off)
        judgement = with_measured(reading, trace.measured, options.score_mode)
        if trace.gave_up and judgement.status == TRUNCATED:
            judgement = replace(judgement, status=INCOMPLETE)  # more tokens would not have helped
        return replace(judgement, notes=(*judgement.notes, *trace.notes))

    def progress(self) -> Progress:
        """How far the current call is; to be called from a progress callback."""
        if not self._running:
            return Progress()
        count = len(self._running)
        tokens = sum(len(generation.request.completion.token_ids) for generation in self._running)
        unfinished = [g for g in self._running if not g.request.completion.finished]
        furthest = max(
            unfinished, key=lambda g: len(g.request.completion.token_ids), default=self._running[-1]
        )
        names = {aspect.key: aspect.name for aspect in self.wording.profile.aspects(furthest.question.task)}
        return Progress(tokens, count, count - len(unfinished), self._scores_so_far(furthest), names)

    def _scores_so_far(self, generation: Generation) -> dict[str, list[float | None]]:
        scores: dict[str, list[float | None]] = {}
        text = self.tokens.decode(generation.request.completion.token_ids)
        for aspect in generation.plan.read(text, truncated=True).judgement.aspects:
            if aspect.status != MISSING:
                pair = isinstance(aspect, PairScore)
                scores[aspect.key] = [aspect.score_a, aspect.score_b] if pair else [aspect.score]
        return scores

    def _start(
        self,
        question: Question,
        builder: PromptBuilder,
        options: JudgeOptions,
        sample: int,
        guess: tuple[int, ...] = (),
    ) -> Generation:
        seed = f"{options.seed}.{sample}" if sample else str(options.seed)
        plan = AnswerPlan(
            question.task,
            question.request,
            self.wording.profile,
            self.wording.style,
            options.detail,
            options.constrained,
            options.max_new_tokens,
            guess,
        )

        def program() -> Program:
            request.sampler = self._sampler(question, options, seed)  # here: a retry draws the same tokens
            generation.trace = Trace()
            return answer_program(plan, self.tokens, generation.trace)

        length = builder.length(question)
        request = Request(lambda: builder.prompt(question), program, length, options.max_new_tokens)
        generation = Generation(question, request, plan)
        return generation

    @staticmethod
    def _sampler(question: Question, options: JudgeOptions, seed: str) -> Sampler | None:
        if not options.temperature:
            return None
        seeded = " ".join([seed, *(image.digest for image in question.images)])
        return Sampler(options.temperature, seeded, options.top_p, options.top_k)

    def _run(
        self,
        generations: Sequence[Generation],
        options: JudgeOptions,
        on_progress: ProgressCallback | None,
    ) -> None:
        """Run all of them; with fewer sequences at a time if memory runs out."""
        requests = [generation.request for generation in generations]
        report = _progress_reporter(requests, on_progress)
        batch_size, runs_before = options.batch_size, self.vision.encoder_runs
        self.stats = Stats()
        self._running = generations
        report()
        try:
            while waiting := [g for g in generations if not g.request.completion.finished]:
                self.vision.expect(image for g in waiting for image in g.question.all_images)
                forwards = self.engine.forwards
                try:
                    self._run_engine([g.request for g in waiting], batch_size, options, report)
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    batch_size = min(batch_size, len(waiting)) // 2
                    if not batch_size:
                        raise CriticError(
                            f"{self.name} ran out of memory on {self.model.device}. {OUT_OF_MEMORY_HINT}"
                        ) from error
                    log.warning(
                        "%s ran out of memory: %d image(s) at a time from here on", self.name, batch_size
                    )
                except NonFiniteLogits:
                    precision = str(self.model.dtype).removeprefix("torch.")
                    raise CriticError(
                        f"{self.name} computes NaN or infinity in {precision}. Load it in bf16 or fp32; if "
                        "it does so there too, its weights are damaged: download the model again."
                    ) from None
                finally:
                    self.stats.forwards += self.engine.forwards - forwards
        finally:
            self.vision.release()
            self._running = ()  # they hold on to their images
        report()
        self.stats.encoder_runs = self.vision.encoder_runs - runs_before
        self.stats.tokens = sum(len(request.completion.token_ids) for request in requests)
        self.stats.forced_tokens = sum(request.completion.forced_tokens for request in requests)

    def _run_engine(
        self,
        requests: Sequence[Request],
        batch_size: int,
        options: JudgeOptions,
        on_step: Callable[[], None],
    ) -> None:
        invariant = options.batch_invariant
        if invariant is None:
            invariant = self.model.dtype != torch.float32
        padded = max(batch_size, PADDED_BATCH_SIZE) if invariant else 0
        graphs = self._cuda_graphs(options.cuda_graphs, invariant)
        self.engine.run(requests, batch_size, padded, graphs, on_step)

    def _cuda_graphs(self, choice: bool | None, invariant: bool) -> bool:
        """Whether steps are replayed from CUDA graphs, once those have proven equal. By default not with
        other packages' quantized layers: a layer that cannot be captured may end the process."""
        possible = invariant and self.model.device.type == "cuda" and torch.version.cuda is not None
        if choice and not possible:
            raise ValueError(
                f"cuda_graphs needs an NVIDIA GPU and batch_invariant; here the device is "
                f"{self.model.device} and batch_invariant is {invariant}. Leave cuda_graphs out."
            )
        if choice is not None:
            return choice
        return possible and getattr(self.model, "hf_quantizer", None) is None


def _progress_reporter(requests: Sequence[Request], on_progress: ProgressCallback | None):
    """Calls `on_progress` with tokens done and in total; a finished answer counts with its limit, and a retry
    never goes back."""
    total = sum(request.max_new_tokens for request in requests)
    most = 0

    def report() -> None:
        nonlocal most
        if on_progress is not None:
            most = max(most, sum(map(_tokens_done, requests)))
            on_progress(most, total)

    return report


def _tokens_done(request: Request) -> int:
    completion = request.completion
    return request.max_new_tokens if completion.finished else len(completion.token_ids)
