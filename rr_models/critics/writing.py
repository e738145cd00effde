"""How a local critic answers: questions and wishes -> jobs for decode/, and what they wrote -> critiques."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from .. import guide, written
from ..critique import MISSING, Critique
from ..decode.loop import LINES, Decoder, columns_of
from ..decode.rows import Job, NotANumber, Prompt
from ..decode.script import Script
from ..errors import CriticError
from ..parse import parse, parse_pair
from ..verdict import Verdict
from ..wording import Wording
from . import PAIR_TASKS, Question
from .layout import Layout
from .prompts import Eyes, Prompts
from .room import ROOM, Room, out_of_memory, room

log = logging.getLogger(__name__)

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Wish:
    """How answers are to be written; see `LocalCritic.judge`."""

    guided: bool = True
    detail: str = guide.FULL
    score_mode: str = written.WRITTEN
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0
    max_new_tokens: int = 2048
    batch_size: int = 8
    invariant: bool | None = None
    graphs: bool | None = None

    def __post_init__(self):
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be 0 (greedy) or more, not {self.temperature}.")
        for name in ("max_new_tokens", "batch_size", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if self.detail not in guide.DETAILS:
            raise ValueError(f"detail must be one of {', '.join(guide.DETAILS)}, not {self.detail!r}.")
        if self.score_mode not in written.SCORE_MODES:
            modes = ", ".join(written.SCORE_MODES)
            raise ValueError(f"score_mode must be one of {modes}, not {self.score_mode!r}.")
        if self.score_mode == written.EXPECTED and not self.guided:
            raise ValueError(
                "score_mode 'expected' needs guided writing: only there it is known where a score stands. "
                "Switch guided on, or take the written scores."
            )
        if self.samples > 1 and not self.temperature:
            raise ValueError(
                f"samples is {self.samples}, but at temperature 0 every pass is the same. Set a temperature, "
                "such as 0.7, or samples to 1."
            )


@dataclass
class Answer:
    """One answer: what was asked, the job that writes it, and for a guided one its form and record."""

    question: Question
    job: Job
    form: tuple[guide.Part, ...] = ()
    record: guide.Record = field(default_factory=guide.Record)


@dataclass
class Work:
    """What the last call took: forwards of the text half (a prompt counts as one), runs of the vision tower,
    tokens written, and how many of those were said and not decoded."""

    forwards: int = 0
    looks: int = 0
    tokens: int = 0
    said: int = 0


@dataclass(frozen=True)
class SoFar:
    """Answers in the making: tokens that stand, how many answers there are and are done, and of the one that
    is furthest of the others the scores that stand, by aspect (one each, or A's and B's; None is N/A).
    `names` are the aspects' names by key."""

    tokens: int = 0
    answers: int = 0
    done: int = 0
    scores: Mapping[str, list[float | None]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


class Writer:
    """Writes answers with one model, in one wording. `name` is the critic's, for messages."""

    def __init__(self, name: str, model: torch.nn.Module, tokenizer, wording: Wording, layout: Layout):
        self.name, self.model, self.wording = name, model, wording
        self.lexicon = guide.Lexicon(tokenizer, model.generation_config.eos_token_id)
        self.eyes = Eyes(model, layout)
        self.layout = layout
        self.work = Work()
        self.under_way: Sequence[Answer] = ()

    def write(
        self, questions: Sequence[Question], hashes: Mapping[int, str], wish: Wish, watch: Watch | None
    ) -> list[list[Answer]]:
        """All answers, `wish.samples` to each question."""
        self.work = Work()
        prompts = Prompts(self.layout, self.eyes, hashes)
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

    def finish(self, answer: Answer, hashes: Mapping[int, str], wish: Wish, watch: Watch | None) -> Answer:
        """The same answer, written up to its last score, with all that `wish` asks for behind it."""
        prompts = Prompts(self.layout, self.eyes, hashes)
        longer = self._answer(answer.question, prompts, hashes, wish, 0)
        start, before = len(answer.form), list(answer.job.written.ids)
        if before[-1] == self.lexicon.newline:
            before.pop()  # it is said with the next heading

        def prompt() -> Prompt:
            return prompts.prompt(answer.question).followed_by(before)

        def script() -> Script:
            longer.record = _copied(answer.record)
            return guide.guided(longer.form, self.lexicon, self._scale, longer.record, start)

        job = longer.job
        job.prompt, job.script = prompt, script
        job.length, job.budget = job.length + len(before), job.budget - len(before)
        self._run([longer], hashes, wish, watch)
        job.written.ids[:0] = before
        return longer

    def room(self, questions: Sequence[Question], wish: Wish) -> Room:
        """Memory that these answers take."""
        prompts = Prompts(self.layout, self.eyes, {})
        lengths = [prompts.length(question) for question in questions]
        pictures = [prompts.pictures(question) for question in questions]
        columns = max(
            columns_of(length, self._form(question, wish)[1])
            for length, question in zip(lengths, questions, strict=True)
        )
        return room(self.model, max(lengths), max(map(max, pictures)), max(map(sum, pictures)), columns)

    def read(self, answer: Answer, wish: Wish) -> Critique | Verdict:
        """What has been written."""
        question, profile = answer.question, self.wording.profile
        text, cut = self.lexicon.decode(answer.job.written.ids), answer.job.written.cut
        pair = question.task in PAIR_TASKS
        if not wish.guided:
            read = parse_pair if pair else parse
            return read(text, question.task, question.request, truncated=cut, profile=profile)
        read = written.verdict if pair else written.critique
        return read(answer.record, question.task, question.request, profile, text, cut, wish.score_mode)

    def so_far(self) -> SoFar:
        """What stands of the answers that are being written; to be called by a watch."""
        if not self.under_way:
            return SoFar()
        tokens = sum(len(answer.job.written.ids) for answer in self.under_way)
        waiting = [answer for answer in self.under_way if not answer.job.written.done]
        furthest = max(waiting, key=lambda answer: len(answer.job.written.ids), default=self.under_way[-1])
        question = furthest.question
        scores: dict[str, list[float | None]] = {}
        if furthest.form:
            for (key, *rest), _ in furthest.record.choices.items():
                if rest and rest[0].startswith("score"):
                    scores.setdefault(key, []).append(furthest.record.scores.get((key, *rest)))
        else:
            pair = question.task in PAIR_TASKS
            read = parse_pair if pair else parse
            text = self.lexicon.decode(furthest.job.written.ids)
            profile = self.wording.profile
            for aspect in read(
                text, question.task, question.request, truncated=True, profile=profile
            ).aspects:
                if aspect.status != MISSING:
                    scores[aspect.key] = [aspect.score_a, aspect.score_b] if pair else [aspect.score]
        names = {aspect.key: aspect.name for aspect in self.wording.profile.aspects(question.task)}
        done = len(self.under_way) - len(waiting)
        return SoFar(tokens, len(self.under_way), done, scores, names)

    @property
    def _scale(self) -> tuple[float, float]:
        return self.wording.profile.scale

    def _answer(
        self, question: Question, prompts: Prompts, hashes: Mapping[int, str], wish: Wish, sample: int
    ) -> Answer:
        seed = str(wish.seed) if not sample else f"{wish.seed}.{sample}"
        pictures = [hashes[id(picture)] for picture in question.images]
        form, budget = self._form(question, wish)

        def script() -> Script:
            if wish.temperature:  # here, so that a second try has the same chance
                job.draw = _Draw(wish.temperature, " ".join([seed, *pictures]))
            if not wish.guided:
                return _free(self.lexicon, self._enough(question, wish.detail))
            answer.record = guide.Record()
            return guide.guided(form, self.lexicon, self._scale, answer.record)

        job = Job(lambda: prompts.prompt(question), script, prompts.length(question), budget)
        answer = Answer(question, job, form)
        return answer

    def _form(self, question: Question, wish: Wish) -> tuple[tuple[guide.Part, ...], int]:
        """The form of a guided answer, and the most tokens that it may take."""
        limit = wish.max_new_tokens
        if not wish.guided:
            return (), limit
        whole = guide.parts(question.task, self.wording.profile, self.wording.style)
        form = guide.asked(guide.fitted(whole, self.lexicon, limit), wish.detail)
        return form, min(limit, guide.budget(form, self.lexicon))

    def _enough(self, question: Question, detail: str) -> Callable[[str], bool] | None:
        """Whether a free answer holds what was asked for, so that it may stop."""
        if detail == guide.FULL:
            return None
        read = parse_pair if question.task in PAIR_TASKS else parse

        def enough(text: str) -> bool:
            found = read(text, question.task, question.request, truncated=True, profile=self.wording.profile)
            scored = all(aspect.status != MISSING for aspect in found.aspects)
            return scored and (detail == guide.SCORES or bool(found.summary))

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
        self, answers: Sequence[Answer], hashes: Mapping[int, str], wish: Wish, watch: Watch | None
    ) -> None:
        """Write all of them; with fewer rows where memory runs out."""
        jobs = [answer.job for answer in answers]
        total = sum(job.budget for job in jobs)
        done = 0

        def tell() -> None:
            nonlocal done
            if watch is not None:
                told = (job.budget if job.written.done else len(job.written.ids) for job in jobs)
                done = max(done, sum(told))
                watch(done, total)

        invariant = wish.invariant
        if invariant is None:
            invariant = self.model.dtype != torch.float32
        rows, looks = wish.batch_size, self.eyes.looks
        lines = max(rows, LINES) if invariant else 0
        graphs = self._graphs(wish.graphs, invariant)
        self.under_way = answers
        tell()
        try:
            while waiting := [job for job in jobs if not job.written.done]:
                waits = {id(job) for job in waiting}
                self.eyes.expect(
                    [hashes[id(p)] for a in answers if id(a.job) in waits for p in a.question.pictures]
                )
                decoder = Decoder(self.model, rows, lines, graphs)
                try:
                    decoder.run(waiting, tell)
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    rows = min(rows, len(waiting)) // 2
                    if not rows:
                        where = self.model.device
                        raise CriticError(f"{self.name} ran out of memory on {where}. {ROOM}") from error
                    log.warning("%s ran out of memory: %d picture(s) at once from here on", self.name, rows)
                except NotANumber:
                    precision = str(self.model.dtype).removeprefix("torch.")
                    raise CriticError(
                        f"{self.name} computes NaN or infinity in {precision}. Load it in bf16 or fp32; if "
                        "it does so there too, its weights are damaged: download the model again."
                    ) from None
                finally:
                    self.work.forwards += decoder.forwards
        finally:
            self.eyes.rest()
            self.under_way = ()  # they hold on to their pictures
        tell()
        self.work.looks += self.eyes.looks - looks
        self.work.tokens += sum(len(job.written.ids) for job in jobs)
        self.work.said += sum(job.written.said for job in jobs)


def _free(lexicon: guide.Lexicon, enough: Callable[[str], bool] | None) -> Script:
    """The critic's own words to their end, or until a line has been ended and it is enough."""
    ids: list[int] = []
    while True:
        token = yield lexicon.free
        if token in lexicon.ends:
            return
        ids.append(token)
        if enough and "\n" in lexicon.text(token) and enough(lexicon.decode(ids)):
            return


def _copied(record: guide.Record) -> guide.Record:
    return replace(
        record,
        texts=dict(record.texts),
        choices=dict(record.choices),
        scores=dict(record.scores),
        closed=dict(record.closed),
    )


class _Draw:
    """Draws an index of logits; a generator an answer, so neighbours and global state do not matter."""

    def __init__(self, temperature: float, seed: str):
        number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little", signed=True)
        self.temperature = temperature
        self.generator = torch.Generator().manual_seed(number)

    def __call__(self, logits: torch.Tensor) -> int:
        chances = torch.softmax(logits.float() / self.temperature, -1).cpu()
        return int(torch.multinomial(chances, 1, generator=self.generator))
