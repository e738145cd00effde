"""How a local critic answers: questions and wishes -> jobs for decode/, and what they wrote -> critiques."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..devices import out_of_memory
from ..engine.engine import Engine
from ..engine.kv_cache import cache_width
from ..engine.memory import OUT_OF_MEMORY_HINT, MemoryEstimate, estimate_memory
from ..engine.program import Program
from ..engine.scheduler import PADDED_BATCH_SIZE
from ..engine.sequence import NonFiniteLogits, Prompt, Request
from ..errors import CriticError
from ..judgement.answer_format import FULL, SCORES, AnswerFormat, Section
from ..judgement.critique import MISSING, Critique
from ..judgement.verdict import Verdict
from ..parsing.parse import parse_answer
from ..prompting.wording import Wording
from . import answer_program, from_trace
from .base import Question
from .inputs import PromptBuilder
from .options import JudgeOptions, Progress, ProgressCallback, Stats
from .tokenization import PromptTokenizer
from .vision import VisionEncoder

log = logging.getLogger(__name__)


@dataclass
class Generation:
    """One answer: what was asked, the job that writes it, and for a guided one its form and record."""

    question: Question
    job: Request
    form: tuple[Section, ...] = ()
    record: answer_program.Trace = field(default_factory=answer_program.Trace)


class CritiqueGenerator:
    """Writes answers with one model, in one wording. `name` is the critic's, for messages."""

    def __init__(
        self, name: str, model: torch.nn.Module, tokenizer, wording: Wording, layout: PromptTokenizer
    ):
        self.name, self.model, self.wording = name, model, wording
        self.lexicon = answer_program.TokenSets(tokenizer, model.generation_config.eos_token_id)
        self.eyes = VisionEncoder(model, layout)
        self.layout = layout
        self.engine = Engine(model)
        self.work = Stats()
        self.under_way: Sequence[Generation] = ()

    def write(
        self,
        questions: Sequence[Question],
        hashes: Mapping[int, str],
        wish: JudgeOptions,
        watch: ProgressCallback | None,
    ) -> list[list[Generation]]:
        """All answers, `wish.samples` to each question."""
        self.work = Stats()
        prompts = PromptBuilder(self.layout, self.eyes, hashes)
        answers = [
            [self._answer(question, prompts, hashes, wish, sample) for sample in range(wish.samples)]
            for question in questions
        ]
        # what shares a prefix goes in one row after the other; an answer does not depend on its turn
        turns = sorted(
            ((prompts.shared(answer.question), answer) for several in answers for answer in several),
            key=lambda turn: turn[0],
        )
        self._run([answer for _, answer in turns], hashes, wish, watch)
        return answers

    def finish(
        self,
        answer: Generation,
        hashes: Mapping[int, str],
        wish: JudgeOptions,
        watch: ProgressCallback | None,
    ) -> Generation:
        """The same answer, written up to its last score, with all that `wish` asks for behind it."""
        prompts = PromptBuilder(self.layout, self.eyes, hashes)
        longer = self._answer(answer.question, prompts, hashes, wish, 0)
        start, before = len(answer.form), list(answer.job.completion.token_ids)
        if before[-1] == self.lexicon.newline:
            before.pop()  # it is said with the next heading

        def prompt() -> Prompt:
            return prompts.prompt(answer.question).extended(before)

        def script() -> Program:
            longer.record = _copied(answer.record)
            return answer_program.constrained_program(
                longer.form, self.lexicon, self._scale, longer.record, start
            )

        job = longer.job
        job.prompt, job.program = prompt, script
        job.prompt_tokens, job.max_new_tokens = (
            job.prompt_tokens + len(before),
            job.max_new_tokens - len(before),
        )
        self._run([longer], hashes, wish, watch)
        job.completion.token_ids[:0] = before
        return longer

    def room(self, questions: Sequence[Question], wish: JudgeOptions) -> MemoryEstimate:
        """Memory that these answers take."""
        prompts = PromptBuilder(self.layout, self.eyes, {})
        lengths = [prompts.length(question) for question in questions]
        pictures = [prompts.pictures(question) for question in questions]
        columns = max(
            cache_width(length, self._form(question, wish)[1])
            for length, question in zip(lengths, questions, strict=True)
        )
        return estimate_memory(
            self.model, max(lengths), max(map(max, pictures)), max(map(sum, pictures)), columns
        )

    def read(self, answer: Generation, wish: JudgeOptions) -> Critique | Verdict:
        """What has been written."""
        question, profile = answer.question, self.wording.profile
        text, cut = self.lexicon.decode(answer.job.completion.token_ids), answer.job.completion.truncated
        if not wish.guided:
            return parse_answer(text, question.task, question.request, truncated=cut, profile=profile)
        return from_trace.judgement(
            answer.record, question.task, question.request, profile, text, cut, wish.score_mode
        )

    def so_far(self) -> Progress:
        """What stands of the answers that are being written; to be called by a watch."""
        if not self.under_way:
            return Progress()
        tokens = sum(len(answer.job.completion.token_ids) for answer in self.under_way)
        waiting = [answer for answer in self.under_way if not answer.job.completion.finished]
        furthest = max(
            waiting, key=lambda answer: len(answer.job.completion.token_ids), default=self.under_way[-1]
        )
        question = furthest.question
        scores: dict[str, list[float | None]] = {}
        if furthest.form:
            for (key, *rest), _ in furthest.record.choices.items():
                if rest and rest[0].startswith("score"):
                    scores.setdefault(key, []).append(furthest.record.scores.get((key, *rest)))
        else:
            pair = question.task.is_pair
            text = self.lexicon.decode(furthest.job.completion.token_ids)
            profile = self.wording.profile
            for aspect in parse_answer(
                text, question.task, question.request, truncated=True, profile=profile
            ).aspects:
                if aspect.status != MISSING:
                    scores[aspect.key] = [aspect.score_a, aspect.score_b] if pair else [aspect.score]
        names = {aspect.key: aspect.name for aspect in self.wording.profile.aspects(question.task)}
        done = len(self.under_way) - len(waiting)
        return Progress(tokens, len(self.under_way), done, scores, names)

    @property
    def _scale(self) -> tuple[float, float]:
        return self.wording.profile.scale

    def _answer(
        self,
        question: Question,
        prompts: PromptBuilder,
        hashes: Mapping[int, str],
        wish: JudgeOptions,
        sample: int,
    ) -> Generation:
        seed = str(wish.seed) if not sample else f"{wish.seed}.{sample}"
        pictures = [hashes[id(picture)] for picture in question.images]
        form, budget = self._form(question, wish)

        def script() -> Program:
            if wish.temperature:  # here, so that a second try has the same chance
                job.sampler = _Sampler(wish.temperature, " ".join([seed, *pictures]))
            if not wish.guided:
                return _free(self.lexicon, self._enough(question, wish.detail))
            answer.record = answer_program.Trace()
            return answer_program.constrained_program(form, self.lexicon, self._scale, answer.record)

        job = Request(lambda: prompts.prompt(question), script, prompts.length(question), budget)
        answer = Generation(question, job, form)
        return answer

    def _form(self, question: Question, wish: JudgeOptions) -> tuple[tuple[Section, ...], int]:
        """The sections of a constrained answer, and the most tokens that it may take."""
        limit = wish.max_new_tokens
        if not wish.guided:
            return (), limit
        whole = AnswerFormat.of(question.task, self.wording.profile, self.wording.style)
        fitted = answer_program.fit_to_budget(whole.fields, self.lexicon, limit)
        form = fitted[: len(whole.limited(wish.detail).fields)]
        return form, min(limit, answer_program.max_answer_tokens(form, self.lexicon))

    def _enough(self, question: Question, detail: str) -> Callable[[str], bool] | None:
        """Whether a free answer holds what was asked for, so that it may stop."""
        if detail == FULL:
            return None

        def enough(text: str) -> bool:
            found = parse_answer(
                text, question.task, question.request, truncated=True, profile=self.wording.profile
            )
            scored = all(aspect.status != MISSING for aspect in found.aspects)
            return scored and (detail == SCORES or bool(found.summary))

        return enough

    def _graphs(self, choice: bool | None, invariant: bool) -> bool:
        """Whether steps are replayed from CUDA graphs. Unless it is said, where that was tried: not beside
        cudaMallocAsync, which ComfyUI chooses on most cards, nor with other packages' quantised layers."""
        can = invariant and self.model.device.type == "cuda" and torch.version.cuda is not None
        if choice and not can:
            raise ValueError(
                f"graphs: they need an NVIDIA card and the invariant way; here are {self.model.device} and "
                f"invariant {invariant}. Leave graphs out."
            )
        if choice is not None:
            return choice
        own = getattr(self.model, "hf_quantizer", None) is None
        return can and own and torch.cuda.get_allocator_backend() == "native"

    def _run(
        self,
        answers: Sequence[Generation],
        hashes: Mapping[int, str],
        wish: JudgeOptions,
        watch: ProgressCallback | None,
    ) -> None:
        """Write all of them; with fewer rows where memory runs out."""
        jobs = [answer.job for answer in answers]
        total = sum(job.max_new_tokens for job in jobs)
        done = 0

        def tell() -> None:
            nonlocal done
            if watch is not None:
                told = (
                    job.max_new_tokens if job.completion.finished else len(job.completion.token_ids)
                    for job in jobs
                )
                done = max(done, sum(told))
                watch(done, total)

        invariant = wish.invariant
        if invariant is None:
            invariant = self.model.dtype != torch.float32
        rows, looks = wish.batch_size, self.eyes.looks
        lines = max(rows, PADDED_BATCH_SIZE) if invariant else 0
        graphs = self._graphs(wish.graphs, invariant)
        self.under_way = answers
        tell()
        try:
            while waiting := [job for job in jobs if not job.completion.finished]:
                waits = {id(job) for job in waiting}
                self.eyes.expect(
                    [hashes[id(p)] for a in answers if id(a.job) in waits for p in a.question.pictures]
                )
                forwards = self.engine.forwards
                try:
                    self.engine.run(waiting, rows, lines, graphs, tell)
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    rows = min(rows, len(waiting)) // 2
                    if not rows:
                        where = self.model.device
                        raise CriticError(
                            f"{self.name} ran out of memory on {where}. {OUT_OF_MEMORY_HINT}"
                        ) from error
                    log.warning("%s ran out of memory: %d picture(s) at once from here on", self.name, rows)
                except NonFiniteLogits:
                    precision = str(self.model.dtype).removeprefix("torch.")
                    raise CriticError(
                        f"{self.name} computes NaN or infinity in {precision}. Load it in bf16 or fp32; if "
                        "it does so there too, its weights are damaged: download the model again."
                    ) from None
                finally:
                    self.work.forwards += self.engine.forwards - forwards
        finally:
            self.eyes.rest()
            self.under_way = ()  # they hold on to their pictures
        tell()
        self.work.looks += self.eyes.looks - looks
        self.work.tokens += sum(len(job.completion.token_ids) for job in jobs)
        self.work.said += sum(job.completion.forced_tokens for job in jobs)


def _free(lexicon: answer_program.TokenSets, enough: Callable[[str], bool] | None) -> Program:
    """The critic's own words to their end, or until a line has been ended and it is enough."""
    ids: list[int] = []
    while True:
        token = yield lexicon.free
        if token in lexicon.eos:
            return
        ids.append(token)
        if enough and "\n" in lexicon.text(token) and enough(lexicon.decode(ids)):
            return


def _copied(record: answer_program.Trace) -> answer_program.Trace:
    return replace(
        record,
        texts=dict(record.texts),
        choices=dict(record.choices),
        scores=dict(record.scores),
        closed=dict(record.closed),
    )


class _Sampler:
    """Draws an index of logits; a generator an answer, so neighbours and global state do not matter."""

    def __init__(self, temperature: float, seed: str):
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little", signed=True)
        self.temperature = temperature
        self.generator = torch.Generator().manual_seed(number)

    def __call__(self, logits: torch.Tensor) -> int:
        chances = torch.softmax(logits.float() / self.temperature, -1).cpu()
        return int(torch.multinomial(chances, 1, generator=self.generator))
