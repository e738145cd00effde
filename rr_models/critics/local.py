"""A critic that runs here: any Qwen3-VL folder through transformers (4.57 and 5.x), on the CPU or one GPU.

Needs neither torchvision nor Qwen3VLProcessor: the picture tokens are laid out here. Several pictures are
judged in one left-padded batch, greedily unless a temperature is given. What the user typed is tokenised as
plain text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .. import rubric, weights
from ..critique import Critique
from ..errors import CriticError, ModelFolderError
from ..images import Preprocessing, image_hash, pixel_values
from ..parse import parse
from . import Question

log = logging.getLogger(__name__)

Watch = Callable[[int, int], None]

ROOM = "Lower max_pixels, load it in a lighter precision or on the CPU, or free what other models hold."
"""What to do when memory runs out."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_SLOT = re.compile("\ue000([0-9]+)\ue001")  # stands in the chat template where a text will be


def load(
    folder: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str = "auto",
    max_pixels: int | None = None,
    name: str = "",
) -> LocalCritic:
    """Load a model folder, after checking that it is whole.

    `dtype` is "auto" or one of DTYPES; `max_pixels` caps the pictures (see images.py); `name` is what
    critiques record as their critic, by default the folder's name.
    """
    folder, device = Path(folder), torch.device(device)
    weights.check(folder)
    preprocessing = Preprocessing.read(weights.preprocessing(folder), max_pixels)
    precision = _precision(dtype, device)
    # transformers takes seconds to import, so it waits until a model is really wanted
    try:
        from transformers import GenerationConfig, Qwen3VLForConditionalGeneration
    except (ImportError, RuntimeError) as error:
        raise CriticError(
            f"transformers cannot provide Qwen3-VL ({error}). It takes transformers >= 4.57.1. A torchvision "
            "that does not fit the installed torch has this effect too: install the matching one, or none."
        ) from error
    tokenizer = _tokenizer(folder)
    model, report = Qwen3VLForConditionalGeneration.from_pretrained(
        folder,
        config=_config(folder),
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
    critic = LocalCritic(name or folder.name, model, tokenizer, preprocessing)
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

    def __init__(self, name: str, model: torch.nn.Module, tokenizer, preprocessing: Preprocessing):
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self._controls: dict[str, int] = tokenizer.get_added_vocab()
        self._control = re.compile(_any_of(self._controls))
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
        return self.judge([Question(task, request, image, sources) for image in images], **options)

    def judge(
        self,
        questions: Sequence[Question],
        *,
        temperature: float = 0.0,
        seed: int = 0,
        max_new_tokens: int = 2048,
        batch_size: int = 8,
        watch: Watch | None = None,
    ) -> list[Critique]:
        """One critique for each question, in their order; `batch_size` of them are worked on at a time, or
        fewer where memory runs out.

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
        # hashing reads every picture, so that a bad one is found before the work on others begins
        pictures = {id(picture): picture for question in questions for picture in question.pictures}
        hashes = {key: image_hash(picture) for key, picture in pictures.items()}
        made_by = {
            "critic": self.name,
            "wording": rubric.WORDING,
            "style": rubric.STYLE,
            "temperature": temperature,
            "seed": seed,
            "max_new_tokens": max_new_tokens,
            "max_pixels": self.preprocessing.max_pixels,
        }
        critiques: list[Critique] = []
        while len(critiques) < len(questions):
            batch = questions[len(critiques) : len(critiques) + batch_size]
            done, total = len(critiques) * max_new_tokens, len(questions) * max_new_tokens
            steps = _Steps(watch, done, len(batch), total)
            steps(0)
            seeds = [f"{seed} {hashes[id(question.image)]}" for question in batch]
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
                critique = parse(text, question.task, question.request, truncated=cut)
                seen = {
                    "image": hashes[id(question.image)],
                    "source_images": [hashes[id(source)] for source in question.sources],
                }
                critiques.append(dataclasses.replace(critique, source=made_by | seen))
        return critiques

    def _template(self, task: str, request: str) -> list[list[int]]:
        """Token ids of the prompt, cut where a picture's tokens belong.

        The chat template is filled with slots first and cut at its own control tokens; only then the texts
        go in, so nothing in a text can become a control token or a picture.
        """
        texts: list[str] = []
        skeleton = []
        for message in rubric.messages(task, request):
            parts = []
            for part in message["content"]:
                if part["type"] == "text":
                    parts.append({"type": "text", "text": f"\ue000{len(texts)}\ue001"})
                    texts.append(part["text"])
                else:
                    parts.append(part)
            skeleton.append({"role": message["role"], "content": parts})
        frame = self.tokenizer.apply_chat_template(skeleton, tokenize=False, add_generation_prompt=True)
        picture = self.model.config.image_token_id
        pieces: list[list[int]] = [[]]
        for piece in re.split(f"({self._control.pattern})", frame):
            if piece not in self._controls:
                pieces[-1] += self._plain(_SLOT.sub(lambda slot: texts[int(slot[1])], piece))
            elif self._controls[piece] == picture:
                pieces.append([])
            else:
                pieces[-1].append(self._controls[piece])
        return pieces

    def _plain(self, text: str) -> list[int]:
        """Token ids of `text`, never a control token: such spellings are cut behind their first letter."""
        ids: list[int] = []
        cuts = [match.start() + 1 for match in self._control.finditer(text)]
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            ids += self.tokenizer(text[start:end], add_special_tokens=False).input_ids
        return ids

    def _inputs(self, questions: Sequence[Question]) -> dict[str, torch.Tensor]:
        """Left-padded model inputs, one row for each question."""
        picture, merge = self.model.config.image_token_id, self.preprocessing.merge_size**2
        pictures = {id(p): p for question in questions for p in question.pictures}  # a shared source once
        seen = {key: pixel_values(p, self.preprocessing) for key, p in pictures.items()}
        rows = [[seen[id(p)] for p in question.pictures] for question in questions]
        prompts = []
        for question, row in zip(questions, rows, strict=True):
            before, *pieces = self._template(question.task, question.request)
            prompt = list(before)
            for (_, (_, height, width)), piece in zip(row, pieces, strict=True):
                prompt += [picture] * (height * width // merge) + piece
            prompts.append(prompt)
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self.model.generation_config.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "pixel_values": torch.cat([patches for row in rows for patches, _ in row]),
            "image_grid_thw": torch.tensor([grid for row in rows for _, grid in row]),
        }
        if self._takes_types:  # transformers 5 places pictures by these, 4.57 by the ids
            inputs["mm_token_type_ids"] = (ids == picture).int()
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


def _config(folder: Path):
    """The model's configuration, with the rotary settings under their old names too.

    Transformers 5 saves them as rope_parameters, which 4.57 passes over in silence.
    """
    from transformers import Qwen3VLConfig

    told = weights.read_json(folder / "config.json")
    text = told.get("text_config") or {}
    if rope := text.get("rope_parameters"):
        text.setdefault("rope_scaling", rope)
        text.setdefault("rope_theta", rope.get("rope_theta"))
    return Qwen3VLConfig.from_dict(told)


def _tokenizer(folder: Path):
    """The folder's tokenizer: tokenizer.json with the special tokens that the folder names.

    The class that a folder names for it depends on the transformers that saved it, and an older one does not
    know the newer classes; only a folder without tokenizer.json leaves that choice to transformers.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    file, special = folder / "tokenizer.json", weights.special_tokens(folder)
    try:
        if file.is_file():
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), **special)
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise ModelFolderError(
            f"The tokenizer in {folder} cannot be read ({error}). Download its files again."
        ) from error
    tokenizer.chat_template = weights.chat_template(folder)
    return tokenizer


def _precision(dtype: torch.dtype | str, device: torch.device) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype in DTYPES:
        return DTYPES[dtype]
    if dtype != "auto":
        raise ValueError(f"dtype must be auto, {', '.join(DTYPES)} or a torch.dtype, not {dtype!r}.")
    if device.type == "cpu":
        log.info("float32, because most CPUs are slow in half precision")
        return torch.float32
    if device.type == "mps" or (
        device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        log.info("float16, because %s has no fast bfloat16", device)
        return torch.float16
    log.info("bfloat16, the precision these models were trained in")
    return torch.bfloat16


def _any_of(words) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _number(seed: str) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "little", signed=True)
