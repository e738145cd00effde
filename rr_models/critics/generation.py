"""Generates answers with a local model: questions and options -> requests for the engine -> judgements."""

from __future__ import annotations

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
from ..engine.scheduler import PADDED_BATCH_SIZE
from ..engine.sequence import NonFiniteLogits, Prompt, Request
from ..errors import CriticError
from ..judgement.answer_format import AnswerFormat, Section
from ..judgement.critique import MISSING, Critique
from ..judgement.verdict import PairScore, Verdict
from ..prompting.wording import Wording
from . import answer_program, free_program, from_trace
from .answer_program import Trace
from .base import Progress, ProgressCallback, Question
from .inputs import PromptBuilder
from .options import JudgeOptions
from .sampler import Sampler
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
    """One answer: the question, the engine's request, and for a constrained one its sections and trace."""

    question: Question
    request: Request
    sections: tuple[Section, ...] = ()
    trace: Trace = field(default_factory=Trace)


@dataclass(frozen=True)
class Written:
    """What a constrained answer has written so far; enough to continue it."""

    token_ids: tuple[int, ...]
    sections: int
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
        self.tokens = answer_program.TokenSets(tokenizer, model.generation_config.eos_token_id)
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
        columns = max(
            cache_width(length, self._format(question, options)[1])
            for length, question in zip(lengths, questions, strict=True)
        )
        return estimate_memory(
            self.model, max(lengths), max(map(max, images)), max(map(sum, images)), columns
        )

    def generate(
        self,
        questions: Sequence[Question],
        builder: PromptBuilder,
        options: JudgeOptions,
        on_progress: ProgressCallback | None,
    ) -> list[list[Generation]]:
        """All answers, `options.samples` for each question."""
        samples = range(options.samples)
        generations = [[self._start(q, builder, options, sample) for sample in samples] for q in questions]
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
        request, before = generation.request, list(written.token_ids)
        if before[-1] == self.tokens.newline:
            before.pop()  # it is forced with the next heading

        def prompt() -> Prompt:
            return builder.prompt(question).extended(before)

        def program() -> Program:
            generation.trace = _copied(written.trace)
            return answer_program.constrained_program(
                generation.sections, self.tokens, self._scale, generation.trace, written.sections
            )

        request.prompt, request.program = prompt, program
        request.prompt_tokens += len(before)
        request.max_new_tokens -= len(before)
        self._run([generation], options, on_progress)
        request.completion.token_ids[:0] = before
        return generation

    def written(self, generation: Generation) -> Written:
        return Written(
            tuple(generation.request.completion.token_ids), len(generation.sections), generation.trace
        )

    def judgement(self, generation: Generation, options: JudgeOptions) -> Critique | Verdict:
        """What an answer says."""
        question, completion = generation.question, generation.request.completion
        text, profile = self.tokens.decode(completion.token_ids), self.wording.profile
        if not options.constrained:
            return free_program.read(question, text, profile, completion.truncated)
        return from_trace.judgement(
            generation.trace,
            question.task,
            question.request,
            profile,
            text,
            completion.truncated,
            options.score_mode,
        )

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
        if generation.sections:
            for key, *slot in generation.trace.choices:
                if slot and slot[0].startswith("score"):
                    scores.setdefault(key, []).append(generation.trace.scores.get((key, *slot)))
            return scores
        text = self.tokens.decode(generation.request.completion.token_ids)
        question = generation.question
        for aspect in free_program.read(question, text, self.wording.profile, truncated=True).aspects:
            if aspect.status != MISSING:
                pair = isinstance(aspect, PairScore)
                scores[aspect.key] = [aspect.score_a, aspect.score_b] if pair else [aspect.score]
        return scores

    @property
    def _scale(self) -> tuple[float, float]:
        return self.wording.profile.scale

    def _start(
        self, question: Question, builder: PromptBuilder, options: JudgeOptions, sample: int
    ) -> Generation:
        seed = f"{options.seed}.{sample}" if sample else str(options.seed)
        sections, max_new_tokens = self._format(question, options)

        def program() -> Program:
            if options.temperature:  # here, so that a retry draws the same tokens
                digests = [image.digest for image in question.images]
                request.sampler = Sampler(options.temperature, " ".join([seed, *digests]))
            if not options.constrained:
                return free_program.free(question, options.detail, self.wording.profile, self.tokens)
            generation.trace = Trace()
            return answer_program.constrained_program(sections, self.tokens, self._scale, generation.trace)

        request = Request(lambda: builder.prompt(question), program, builder.length(question), max_new_tokens)
        generation = Generation(question, request, sections)
        return generation

    def _format(self, question: Question, options: JudgeOptions) -> tuple[tuple[Section, ...], int]:
        """The sections of a constrained answer, and the token limit."""
        limit = options.max_new_tokens
        if not options.constrained:
            return (), limit
        complete = AnswerFormat.of(question.task, self.wording.profile, self.wording.style)
        fitting = answer_program.fit_to_budget(complete.fields, self.tokens, limit)
        sections = fitting[: len(complete.limited(options.detail).fields)]
        return sections, min(limit, answer_program.max_answer_tokens(sections, self.tokens))

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
        """Whether steps are replayed from CUDA graphs. By default where that was tested: not with
        cudaMallocAsync, which ComfyUI chooses on most cards, nor with other packages' quantized layers."""
        possible = invariant and self.model.device.type == "cuda" and torch.version.cuda is not None
        if choice and not possible:
            raise ValueError(
                f"cuda_graphs needs an NVIDIA GPU and batch_invariant; here the device is "
                f"{self.model.device} and batch_invariant is {invariant}. Leave cuda_graphs out."
            )
        if choice is not None:
            return choice
        own_layers = getattr(self.model, "hf_quantizer", None) is None
        return possible and own_layers and torch.cuda.get_allocator_backend() == "native"


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


def _copied(trace: Trace) -> Trace:
    copies: Mapping[str, dict] = {
        name: dict(getattr(trace, name)) for name in ("texts", "choices", "scores", "closed")
    }
    return replace(trace, **copies)
