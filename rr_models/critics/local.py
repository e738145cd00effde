"""A critic that runs here: any Qwen3-VL folder through transformers (4.57 and 5.x), on the CPU or one GPU.

Several questions are answered in one left-padded batch, greedily unless a temperature is given.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from .. import weights as files
from ..aspects import Aspect
from ..critique import Critique, check_weights
from ..errors import CriticError, ModelFolderError
from ..images import Preprocessing, image_hash
from ..parse import parse, parse_pair
from ..verdict import Verdict, averaged, of_critiques
from ..wording import Wording, choose
from . import PAIR_TASKS, Question, reading
from .layout import Layout

log = logging.getLogger(__name__)

Watch = Callable[[int, int], None]

BOTH_ORDERS, ONE_ORDER, ONE_BY_ONE = "both orders", "one order", "one by one"
HOW = (BOTH_ORDERS, ONE_ORDER, ONE_BY_ONE)
"""How two pictures can be compared."""

ROOM = "Lower max_pixels, load it in a lighter precision or on the CPU, or free what other models hold."
"""What to do when memory runs out."""


def load(
    folder: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str = "auto",
    max_pixels: int | None = None,
    name: str = "",
    wording: Wording | None = None,
) -> LocalCritic:
    """Load a model folder, after checking that it is whole.

    `device` may be "auto", which takes the graphics card if there is one; `dtype` is "auto" or one of
    reading.DTYPES; `max_pixels` caps the pictures (see images.py); `name` is what
    critiques record as their critic, by default the folder's name; `wording` is how it is asked, by default
    as its model card says, or in this project's words if it says nothing (see wording.py).
    """
    folder, device = Path(folder), reading.device(device)
    files.check(folder)
    preprocessing = Preprocessing.read(files.preprocessing(folder), max_pixels)
    precision = reading.precision(dtype, device)
    # transformers takes seconds to import, so it waits until a model is really wanted
    try:
        from transformers import GenerationConfig, Qwen3VLForConditionalGeneration
    except (ImportError, RuntimeError) as error:
        raise CriticError(
            f"transformers cannot provide Qwen3-VL ({error}). It takes transformers >= 4.57.1. A torchvision "
            "that does not fit the installed torch has this effect too: install the matching one, or none."
        ) from error
    tokenizer = reading.tokenizer(folder)
    model, report = Qwen3VLForConditionalGeneration.from_pretrained(
        folder,
        config=reading.config(folder),
        dtype=precision,
        local_files_only=True,
        use_safetensors=True,
        output_loading_info=True,
    )
    if lost := sorted(report["missing_keys"]):
        raise ModelFolderError(
            f"{folder} lacks {len(lost)} tensors of its model, such as {lost[0]}. Download the model again."
        )
    ends = {tokenizer.eos_token_id, *_as_list(model.generation_config.eos_token_id)} - {None}
    if not ends:
        raise ModelFolderError(
            f"{folder} says nowhere which token ends an answer (eos_token in tokenizer_config.json). "
            "Copy that file from where the model was downloaded."
        )
    # a folder's own settings may sample, and transformers prefers them to what a call leaves at its default
    model.generation_config = GenerationConfig(
        eos_token_id=sorted(ends),
        pad_token_id=min(ends) if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
    )
    try:
        model.to(device).eval().requires_grad_(False)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise CriticError(f"{folder.name} does not fit on {device}. {ROOM}") from error
    wording = wording or choose(folder)
    for notice in wording.notices:
        log.warning("%s", notice)
    learned = files.learned(folder)
    critic = LocalCritic(name or folder.name, model, tokenizer, preprocessing, wording, learned)
    log.info("critic loaded: %r", critic)
    return critic


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: each kind of device has its own way to say so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    # CUDA outside of torch's allocator, and MPS; torch on the CPU
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


class LocalCritic:
    """A Qwen3-VL that looks at pictures and writes critiques. The caller may move `model` between devices."""

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        tokenizer,
        preprocessing: Preprocessing,
        wording: Wording | None = None,
        learned: Mapping[str, str] | None = None,
    ):
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.wording = wording or Wording()
        self.learned = learned
        self.layout = Layout(
            tokenizer,
            preprocessing,
            self.wording,
            picture=model.config.image_token_id,
            pad=model.generation_config.pad_token_id,
        )
        self._takes_types = "mm_token_type_ids" in inspect.signature(type(model).forward).parameters

    def __repr__(self):
        return (
            f"LocalCritic({self.name}, {self.model.device}, {str(self.model.dtype).removeprefix('torch.')})"
        )

    def critique(
        self,
        images: Sequence[torch.Tensor] | torch.Tensor,
        request: str,
        task: str = "t2i",
        sources: Sequence[torch.Tensor] | torch.Tensor = (),
        **options,
    ) -> list[Critique]:
        """Judge pictures of one request, for an edit all against one source; options as for `judge`."""
        if not len(images):
            raise ValueError("images must hold at least one picture; this batch is empty.")
        sources = tuple(sources)
        return self.judge([Question(task, request, (image,), sources) for image in images], **options)

    def compare(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        request: str,
        task: str = "t2i-pair",
        sources: Sequence[torch.Tensor] | torch.Tensor = (),
        *,
        how: str = BOTH_ORDERS,
        tie: float = 0.0,
        **options,
    ) -> Verdict:
        """Compare two pictures of one request; a margin of up to `tie` points is a tie.

        `how` is "both orders" (shown as A, B and as B, A, and the mean taken), "one order" (A, B only) or
        "one by one" (each judged alone, for critics that know no pairs); other options as for `judge`.
        """
        if how not in HOW:
            raise ValueError(f"how must be one of {', '.join(HOW)}, not {how!r}.")
        if not tie >= 0:
            raise ValueError(f"tie must be 0 or more points, not {tie}.")
        sources = tuple(sources)
        if task not in PAIR_TASKS:
            raise ValueError(f"task must be one of {', '.join(PAIR_TASKS)}, not {task!r}.")
        if how == ONE_BY_ONE:
            return of_critiques(
                *self.critique([a, b], request, task.removesuffix("-pair"), sources, **options), tie=tie
            )
        orders = [(a, b), (b, a)][: 2 if how == BOTH_ORDERS else 1]
        verdicts = self.judge([Question(task, request, pair, sources) for pair in orders], **options)
        if how == BOTH_ORDERS:
            return averaged(*verdicts, tie=tie)
        return dataclasses.replace(verdicts[0], tie=tie)

    def judge(
        self,
        questions: Sequence[Question],
        *,
        temperature: float = 0.0,
        seed: int = 0,
        max_new_tokens: int = 2048,
        batch_size: int = 8,
        weights: Mapping[str, float] | None = None,
        watch: Watch | None = None,
    ) -> list[Critique | Verdict]:
        """One critique, or verdict on a pair, for each question, in their order; `batch_size` of them are
        worked on at a time, or fewer where memory runs out. `weights` are the critiques' (by aspect).

        `temperature` 0 always takes the likeliest token; above it, draws depend on the seed and the
        picture, not on its neighbours or torch's global random state. `watch(done, total)` hears of every
        decoding step, in tokens of all questions together; what it raises ends the work and reaches the
        caller.
        """
        if not temperature >= 0:
            raise ValueError(f"temperature must be 0 (greedy) or more, not {temperature}.")
        if max_new_tokens < 1 or batch_size < 1:
            raise ValueError(
                f"max_new_tokens and batch_size must be 1 or more, not {max_new_tokens} and {batch_size}."
            )
        weights = dict(weights or {})
        for task in {question.task for question in questions}:
            self._check_learned(task)
            self._check_weights(weights, self.wording.profile.aspects(task))
        # hashing reads every picture, so that a bad one is found before the work on others begins
        pictures = {id(picture): picture for question in questions for picture in question.pictures}
        hashes = {key: image_hash(picture) for key, picture in pictures.items()}
        made_by = {
            "critic": self.name,
            "style": self.wording.style,
            "temperature": temperature,
            "seed": seed,
            "max_new_tokens": max_new_tokens,
            "max_pixels": self.preprocessing.max_pixels,
        }
        critiques: list[Critique | Verdict] = []
        while len(critiques) < len(questions):
            batch = questions[len(critiques) : len(critiques) + batch_size]
            done, total = len(critiques) * max_new_tokens, len(questions) * max_new_tokens
            steps = _Steps(watch, done, len(batch), total)
            steps(0)
            seeds = [" ".join([str(seed), *(hashes[id(p)] for p in q.images)]) for q in batch]
            try:
                answers = self._answer(self._inputs(batch), max_new_tokens, temperature, seeds, steps)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(batch) == 1:
                    where = self.model.device
                    raise CriticError(f"{self.name} ran out of memory on {where}. {ROOM}") from error
                batch_size = len(batch) // 2
                log.warning("%s ran out of memory: %d picture(s) at once from here on", self.name, batch_size)
                continue  # only once the error is gone does it let go of what was computed
            steps(max_new_tokens)
            for question, (text, cut) in zip(batch, answers, strict=True):
                read = parse_pair if question.task in PAIR_TASKS else parse
                found = read(
                    text, question.task, question.request, truncated=cut, profile=self.wording.profile
                )
                seen = {
                    "wording": self.wording.name(question.task),
                    "images": [hashes[id(picture)] for picture in question.images],
                    "source_images": [hashes[id(source)] for source in question.sources],
                }
                critiques.append(dataclasses.replace(found, source=made_by | seen, weights=weights))
        return critiques

    def _check_learned(self, task: str) -> None:
        if self.learned and self.learned.get(task) != self.wording.name(task):
            tasks = ", ".join(self.learned)
            raise ValueError(
                f"{self.name} was trained for one wording of {tasks} and knows no other task, style or "
                "aspects. Ask it in the style 'card', with the usual aspects; compare pictures one by one."
            )

    @staticmethod
    def _check_weights(weights: Mapping[str, float], aspects: Sequence[Aspect]) -> None:
        check_weights(weights, [a.key for a in aspects])
        if not any(weights.get(a.key, 1) > 0 for a in aspects if not a.optional):
            raise ValueError("weights: at least one aspect that always applies must weigh more than 0.")

    def _inputs(self, questions: Sequence[Question]) -> dict[str, torch.Tensor]:
        inputs = self.layout.inputs(questions)
        if self._takes_types:  # transformers 5 places pictures by these, 4.57 by the ids
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == self.layout.picture).int()
        return {name: value.to(self.model.device) for name, value in inputs.items()}

    def _answer(self, inputs: dict, budget: int, temperature: float, seeds: list[str], steps: _Steps):
        """(text, whether the budget cut it off) for each row."""
        from transformers import LogitsProcessorList, StoppingCriteriaList

        draw = [_Draw(temperature, seeds)] if temperature > 0 else []
        written = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=budget,
            logits_processor=LogitsProcessorList([self._sound, *draw]),
            stopping_criteria=StoppingCriteriaList([steps.criterion(inputs["input_ids"].shape[1])]),
        )
        ends = set(self.model.generation_config.eos_token_id)
        answers = []
        for row in written[:, inputs["input_ids"].shape[1] :].tolist():
            length = next((at for at, token in enumerate(row) if token in ends), None)
            answers.append((self.tokenizer.decode(row[:length], skip_special_tokens=True), length is None))
        return answers

    def _sound(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores as they are; an error where they are no numbers, since any token would follow then."""
        if not torch.isfinite(scores).all():
            precision = str(self.model.dtype).removeprefix("torch.")
            raise CriticError(
                f"{self.name} computes NaN or infinity in {precision}. Load it in bf16 or fp32; if it does "
                "so there too, its weights are damaged: download the model again."
            )
        return scores


class _Steps:
    """Counts decoding steps of one batch and tells the watcher, in tokens of all images."""

    def __init__(self, watch: Watch | None, before: int, rows: int, total: int):
        self.watch, self.before, self.rows, self.total = watch, before, rows, total

    def __call__(self, step: int) -> None:
        if self.watch is not None:
            self.watch(self.before + step * self.rows, self.total)

    def criterion(self, prompt: int):
        """A stopping criterion that never stops: it is where `generate` lets others in after each step."""

        def ask(ids: torch.Tensor, scores, **kwargs) -> torch.Tensor:
            self(ids.shape[1] - prompt)
            return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)

        return ask


class _Draw:
    """Turns greedy choice into a draw, one generator a row: neighbours and global state do not matter."""

    def __init__(self, temperature: float, seeds: list[str]):
        self.temperature = temperature
        self.generators = [torch.Generator().manual_seed(_number(seed)) for seed in seeds]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        chances = torch.softmax(scores.float() / self.temperature, -1).cpu()
        drawn = [
            torch.multinomial(row, 1, generator=g) for row, g in zip(chances, self.generators, strict=True)
        ]
        return torch.full_like(scores, float("-inf")).scatter(1, torch.stack(drawn).to(scores.device), 0.0)


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _number(seed: str) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little", signed=True)
