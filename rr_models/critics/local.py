"""A critic that runs here: any Qwen3-VL folder that transformers 4.57 or 5 loads, on the CPU or one GPU."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

from ..checkpoints import fingerprint, hf_config
from ..checkpoints import model_folder as files
from ..checkpoints.loading import meta_model, weights_of
from ..checkpoints.precision import Precision, choose_precision
from ..checkpoints.weights import Weights
from ..devices import choose_device, out_of_memory
from ..engine.engine import Engine
from ..engine.memory import OUT_OF_MEMORY_HINT, MemoryEstimate
from ..errors import CriticError
from ..images import Preprocessing
from ..judgement.answer_format import SCORES
from ..judgement.aspects import Profile
from ..judgement.consensus import averaged_passes
from ..judgement.critique import INCOMPLETE, TRUNCATED, Critique
from ..judgement.task import Task
from ..judgement.verdict import Verdict
from ..prompting.wording import Wording, choose
from .base import Progress, ProgressCallback, Question
from .generation import CritiqueGenerator, Generation, Written
from .options import JudgeOptions
from .residency import AlwaysLoaded, Residency
from .tokenization import PromptTokenizer

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

log = logging.getLogger(__name__)


def load(
    folder: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str = "auto",
    max_pixels: int | None = None,
    name: str = "",
    wording: Wording | None = None,
    on_progress: ProgressCallback | None = None,
    attention: str = hf_config.SDPA,
) -> LocalCritic:
    """Load a model folder, after checking that it is complete.

    `device`: "auto" is the GPU if there is one. `dtype`: "auto" or one of precision.NAMES. `max_pixels` caps
    the images (see images.py). `name`: recorded as the critic of each judgement, by default the folder's
    name. `wording`: how it is asked, by default as its model card says, else in this project's words (see
    wording.py). `on_progress(done, total)` counts bytes. `attention`: of the vision tower, "sdpa" or, if the
    package flash-attn is installed, "flash_attention_2".
    """
    device = choose_device(device)
    critic = prepare(folder, device, dtype, max_pixels, name, wording, attention)
    try:
        critic.weights.load(device, on_progress)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise CriticError(f"{critic.name} does not fit on {device}. {OUT_OF_MEMORY_HINT}") from error
    log.info("critic loaded: %r", critic)
    return critic


def prepare(
    folder: Path | str,
    device: torch.device,
    dtype: torch.dtype | str | Precision = "auto",
    max_pixels: int | None = None,
    name: str = "",
    wording: Wording | None = None,
    attention: str = hf_config.SDPA,
) -> LocalCritic:
    """As `load`, but the weights stay in their files until `critic.weights.load(device)`."""
    folder = Path(folder)
    files.check(folder)
    precision = dtype if isinstance(dtype, Precision) else choose_precision(dtype, device, folder)
    log.info("%s is loaded in %s", name or folder.name, precision)
    preprocessing = Preprocessing.read(files.preprocessing(folder), max_pixels)
    model = meta_model(folder, precision, hf_config.check_attention(attention, device, precision.dtype))
    from transformers import GenerationConfig

    tokenizer = hf_config.load_tokenizer(folder)
    ends = hf_config.eos_token_ids(folder, tokenizer, model.config)
    # a folder's own settings may sample, and transformers prefers them to what a call leaves at its default
    model.generation_config = GenerationConfig(
        eos_token_id=ends,
        pad_token_id=ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
    )
    wording = wording or choose(folder)
    for notice in wording.notices:
        log.warning("%s", notice)
    weights = weights_of(folder, model)
    critic = LocalCritic(
        name or folder.name,
        model,
        weights,
        device,
        precision.label,
        tokenizer,
        preprocessing,
        wording,
        files.trained_wordings(folder),
        fingerprint.folder_fingerprint(folder),
    )
    weights.on_leave.append(critic.engine.release)
    return critic


class LocalCritic:
    """A Qwen3-VL that judges images, while its `weights` are on `device`.

    `trained_wordings`: prompt ids by task, for a critic that knows no others. `folder_digest` is the
    fingerprint of the folder that the weights come from (see fingerprint.py), "" if there is none: then
    answers are not cached. `residency` sees to it that the weights are loaded when it judges.
    """

    def __init__(
        self,
        name: str,
        model: Qwen3VLForConditionalGeneration,
        weights: Weights,
        device: torch.device,
        precision: str,
        tokenizer,
        preprocessing: Preprocessing,
        wording: Wording | None = None,
        trained_wordings: Mapping[str, str] | None = None,
        folder_digest: str = "",
    ):
        self.name = name
        self.model = model
        self.weights = weights
        self.device = device
        self.precision = precision
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.wording = wording or Wording()
        self.trained_wordings = trained_wordings
        self.folder_digest = folder_digest
        self.residency: Residency = AlwaysLoaded()
        prompts = PromptTokenizer(tokenizer, preprocessing, self.wording, model.config.image_token_id)
        self.generator = CritiqueGenerator(name, model, tokenizer, self.wording, prompts)
        self._written: WeakKeyDictionary[Question, Written] = WeakKeyDictionary()
        self._lacking: WeakKeyDictionary[Question, tuple[int, ...]] = WeakKeyDictionary()  # free answers

    def __repr__(self):
        facts = [self.name, str(self.model.device), self.precision, self.engine.graphs]
        return f"LocalCritic({', '.join(filter(None, facts))})"

    @property
    def engine(self) -> Engine:
        """Runs the model; keeps a KV cache and CUDA graphs between calls, until the weights leave."""
        return self.generator.engine

    @property
    def profile(self) -> Profile:
        """What the critic judges, and on which scale."""
        return self.wording.profile

    @cached_property
    def _prompt_ids(self) -> dict[Task, str]:
        """Name and hash of each task's prompt. Hashing renders the prompt, so once is enough."""
        return {task: self.wording.name(task) for task in Task}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the critic can judge: all, unless it was trained for certain prompts only."""
        trained = self.trained_wordings
        return tuple(task for task in Task if not trained or trained.get(task) == self._prompt_ids[task])

    def identity(self, task: Task) -> str:
        """Everything besides question and options that an answer depends on; see `Critic`."""
        if not self.folder_digest:
            return ""
        conditions = {
            "model": self.folder_digest,
            "precision": [self.precision, str(self.model.dtype)],
            "device": self.device.type,
            "attention": self.model.model.visual.config._attn_implementation,
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "style": self.wording.style,
            "prompt": self._prompt_ids[task],
        }
        return json.dumps(conditions, sort_keys=True)

    def judge(
        self,
        questions: Sequence[Question],
        options: JudgeOptions = JudgeOptions(),  # noqa: B008 - frozen
        on_progress: ProgressCallback | None = None,
    ) -> list[Critique | Verdict]:
        """One critique, or verdict on a pair, for each question, in their order. `on_progress` is called
        after every decoding step, with tokens of all questions together."""
        self._check(questions, options)
        if not questions:
            return []
        builder = self.generator.prompt_builder()
        estimate = self.generator.estimate(questions, builder, options)
        # asked again, constrained, the critic begins with the same words
        guesses = {q: self._lacking.pop(q, ()) for q in questions} if options.constrained else {}

        def generate(batch_size: int) -> list[list[Generation]]:
            batched = dataclasses.replace(options, batch_size=batch_size)
            return self.generator.generate(questions, builder, batched, on_progress, guesses)

        judged = []
        for generations in self.residency.run(estimate, options.batch_size, generate):
            passes = [self._judgement(generation, options) for generation in generations]
            critiques = [judgement for judgement in passes if isinstance(judgement, Critique)]
            judged.append(passes[0] if len(passes) == 1 else averaged_passes(critiques))
            if options.constrained and options.detail == SCORES and len(passes) == 1:  # for `resume`
                self._written[generations[0].question] = self.generator.written(generations[0])
            if options.ask_again and not options.constrained and passes[0].status in (INCOMPLETE, TRUNCATED):
                self._lacking[generations[0].question] = generations[0].token_ids
        return judged

    def memory_estimate(
        self,
        questions: Sequence[Question],
        options: JudgeOptions = JudgeOptions(),  # noqa: B008 - frozen
    ) -> MemoryEstimate:
        """Memory that judging these takes, besides the weights."""
        return self.generator.estimate(questions, self.generator.prompt_builder(), options)

    def resume(
        self, question: Question, options: JudgeOptions, on_progress: ProgressCallback | None = None
    ) -> Critique:
        """As `Critic.resume`; written from the start if this critic has not just scored the question."""
        written = self._written.get(question)
        if written is None:
            return _critique(self.judge([question], options, on_progress)[0])
        builder = self.generator.prompt_builder()
        estimate = self.generator.estimate([question], builder, options)
        generation = self.residency.run(
            estimate, 1, lambda _: self.generator.resume(question, written, builder, options, on_progress)
        )
        return _critique(self._judgement(generation, options))

    def progress(self) -> Progress:
        return self.generator.progress()

    def hold(self) -> AbstractContextManager:
        return self.residency.hold()

    def _check(self, questions: Sequence[Question], options: JudgeOptions) -> None:
        """What is wrong is found before any work begins."""
        for task in {question.task for question in questions} - set(self.tasks):
            trained = ", ".join(self.trained_wordings or ())
            raise ValueError(
                f"{self.name} was trained for one prompt of {trained} and cannot judge {task}, nor use "
                "another style or other aspects. Use the style 'card' and the usual aspects; compare images "
                "independently."
            )
        if options.samples > 1 and any(question.task.is_pair for question in questions):
            raise ValueError(
                "samples must be 1 for pairs. Compare in both orders, or independently with samples."
            )
        for image in {id(image): image for question in questions for image in question.all_images}.values():
            _ = image.digest  # raises for what is not an image

    def _judgement(self, generation: Generation, options: JudgeOptions) -> Critique | Verdict:
        question = generation.question
        source = {
            "critic": self.name,
            "precision": self.precision,
            "prompt_id": self._prompt_ids[question.task],
            "style": self.wording.style,
            "constrained": options.constrained,
            "detail": options.detail,
            "score_mode": options.score_mode,
            "samples": options.samples,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": options.top_k,
            "seed": options.seed,
            "max_new_tokens": options.max_new_tokens,
            "max_pixels": self.preprocessing.max_pixels,
            "tokens": len(generation.token_ids),
            "forced_tokens": generation.forced_tokens,
            "images": [image.digest for image in question.images],
            "source_images": [image.digest for image in question.sources],
        }
        return dataclasses.replace(self.generator.judgement(generation, options), source=source)


def _critique(judgement: Critique | Verdict) -> Critique:
    assert isinstance(judgement, Critique), "only a critique is resumed"
    return judgement
