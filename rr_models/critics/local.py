"""A critic that runs here: any Qwen3-VL folder that transformers 4.57 or 5 loads, on the CPU or one GPU."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

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
from ..images import Preprocessing, image_hash
from ..judgement.answer_format import DETAILS, FULL, SCORES
from ..judgement.aspects import Aspect, Profile
from ..judgement.consensus import averaged_passes
from ..judgement.critique import INCOMPLETE, MISSING, TRUNCATED, Critique, check_weights
from ..judgement.ranking import rank
from ..judgement.task import Task
from ..judgement.verdict import Verdict, averaged, of_critiques
from ..prompting.wording import Wording, choose
from .base import Question
from .generation import CritiqueGenerator, Generation
from .options import JudgeOptions, Progress, ProgressCallback
from .tokenization import PromptTokenizer

log = logging.getLogger(__name__)

BOTH_ORDERS, ONE_ORDER, ONE_BY_ONE = "both orders", "single order", "independent"
HOW = (BOTH_ORDERS, ONE_ORDER, ONE_BY_ONE)
"""How two pictures can be compared."""
BEST = "best"
CRITIQUE_DETAILS = (*DETAILS, BEST)
"""Details of several pictures of one request: one more than of a single question."""


def load(
    folder: Path | str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str = "auto",
    max_pixels: int | None = None,
    name: str = "",
    wording: Wording | None = None,
    watch: ProgressCallback | None = None,
    attention: str = hf_config.SDPA,
) -> LocalCritic:
    """Load a model folder, after checking that it is whole.

    `device` may be "auto", which takes the graphics card if there is one; `dtype` is "auto" or one of
    precision.NAMES; `max_pixels` caps the pictures (see images.py); `name` is what
    critiques record as their critic, by default the folder's name; `wording` is how it is asked, by default
    as its model card says, or in this project's words if it says nothing (see wording.py);
    `watch(done, total)` hears of the bytes that are read; `attention` is what the vision tower computes its
    attention with: "sdpa" or, where the package flash-attn is installed, "flash_attention_2".
    """
    device = choose_device(device)
    critic = prepare(folder, device, dtype, max_pixels, name, wording, attention)
    try:
        critic.weights.load(device, watch)
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
    settings = (precision.name, tokenizer, preprocessing, wording, files.trained_wordings(folder))
    critic = LocalCritic(
        name or folder.name, model, weights, *settings, fingerprint.folder_fingerprint(folder)
    )
    weights.on_leave.append(critic.engine.release)
    return critic


class LocalCritic:
    """A Qwen3-VL that looks at pictures and writes critiques, while its `weights` are on a device.

    `identity` is the fingerprint of the folder they come from (see fingerprint.py), "" where there is none.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        weights: Weights,
        precision: str,
        tokenizer,
        preprocessing: Preprocessing,
        wording: Wording | None = None,
        learned: Mapping[str, str] | None = None,
        identity: str = "",
    ):
        self.name = name
        self.model = model
        self.weights = weights
        self.precision = precision
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.wording = wording or Wording()
        self.learned = learned
        self.identity = identity
        self.layout = PromptTokenizer(
            tokenizer,
            preprocessing,
            self.wording,
            picture=model.config.image_token_id,
            pad=model.generation_config.pad_token_id,
        )
        self.writer = CritiqueGenerator(name, model, tokenizer, self.wording, self.layout)

    def __repr__(self):
        return f"LocalCritic({self.name}, {self.model.device}, {self.precision})"

    @property
    def engine(self) -> Engine:
        """Runs the model; keeps a KV cache and CUDA graphs between calls, until the weights leave."""
        return self.writer.engine

    @property
    def profile(self) -> Profile:
        """What the critic judges, and on which scale."""
        return self.wording.profile

    def critique(
        self,
        images: Sequence[torch.Tensor] | torch.Tensor,
        request: str,
        task: str = "t2i",
        sources: Sequence[torch.Tensor] | torch.Tensor = (),
        *,
        weights: Mapping[str, float] | None = None,
        watch: ProgressCallback | None = None,
        ask_again: bool = True,
        **wishes,
    ) -> list[Critique]:
        """Judge pictures of one request, for an edit all against one source; options as for `judge`. The
        detail "best" writes the scores of all, and the whole critique of the best one alone.

        `ask_again`: a free answer (`guided` False) in which a score is missing is asked for once more, and
        guided, so that it is whole; its notes and `source["asked"]` say so. A refusal is left as it is.
        """
        if not len(images):
            raise ValueError("images must hold at least one picture; this batch is empty.")
        sources = tuple(sources)
        questions = [Question(task, request, (image,), sources) for image in images]
        if wishes.get("detail") != BEST:
            return self.judge(questions, weights=weights, watch=watch, ask_again=ask_again, **wishes)
        judge = self._judge_twice if ask_again else self._judge
        return self._best(questions, judge, dict(weights or {}), watch, wishes)

    def _best(
        self, questions: list[Question], judge, weights: dict, watch: ProgressCallback | None, wishes: dict
    ):
        wish, whole = (JudgeOptions(**wishes | {"detail": detail}) for detail in (SCORES, FULL))
        judged = judge(questions, wish, weights, watch)
        found = [critique for _, critique in judged]
        best = rank(found)[0]
        answer = judged[best][0]
        if found[best].overall is None:
            return found
        if wish.guided and wish.samples == 1:
            hashes = self._hashes(questions[best : best + 1])
            longer = self.writer.finish(answer, hashes, whole, watch)
            found[best] = self._read(longer, hashes, whole, weights)
        else:  # a free answer cannot be taken up where it stopped without being told how it goes on
            ((_, found[best]),) = judge([questions[best]], whole, weights, watch)
        return found

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

        `how` is "both orders" (shown as A, B and as B, A, and the mean taken), "single order" (A, B only) or
        "independent" (each judged alone, for critics that know no pairs); other options as for `judge`.
        """
        if how not in HOW:
            raise ValueError(f"how must be one of {', '.join(HOW)}, not {how!r}.")
        if not tie >= 0:
            raise ValueError(f"tie must be 0 or more points, not {tie}.")
        sources = tuple(sources)
        if not Task.parse(task).is_pair:
            raise ValueError(f"task must be {Task.T2I_PAIR} or {Task.EDIT_PAIR} to compare, not {task}.")
        task = Task.parse(task)
        if how == ONE_BY_ONE:
            return of_critiques(*self.critique([a, b], request, task.single, sources, **options), tie=tie)
        orders = [(a, b), (b, a)][: 2 if how == BOTH_ORDERS else 1]
        verdicts = self.judge([Question(task, request, pair, sources) for pair in orders], **options)
        if how == BOTH_ORDERS:
            return averaged(*verdicts, tie=tie)
        return dataclasses.replace(verdicts[0], tie=tie)

    def judge(
        self,
        questions: Sequence[Question],
        *,
        weights: Mapping[str, float] | None = None,
        watch: ProgressCallback | None = None,
        ask_again: bool = False,
        **wishes,
    ) -> list[Critique | Verdict]:
        """One critique, or verdict on a pair, for each question, in their order. Options:

        `guided` (True): the form is kept to, see guide.py, so that every answer is whole; False: the critic's
        own words alone, as `generate` of transformers would write them.
        `detail` ("full"): "scores" ends after the last score, "critique" after the summary, "full" has a
        better request too.
        `score_mode` ("written"): "expected" takes as score the mean of all that could have been written, by
        the critic's own probabilities.
        `temperature` (0): always the likeliest token; above 0, draws depend on `seed` and the picture, not on
        its neighbours or torch's global random state. `samples` (1): so many passes, and their mean.
        `max_new_tokens` (2048): no answer is longer. The texts of a guided one are kept so short that it
        fits; only where even the headings do not, it is cut off.
        `batch_size` (8): answers in the making at a time, fewer where memory runs out.
        `invariant` (in 16 bit): an answer is the same to the last bit whoever is judged beside it; costs a
        little time. In 32 bit, tokens are the same in any case.
        `graphs` (with `invariant` on NVIDIA cards, but for cudaMallocAsync and for models that were saved
        quantised): steps are replayed from CUDA graphs, which gives the same answers in less time.
        `weights`: how much aspects (by key) count in the overall score.
        `ask_again`: see `critique`; here off.
        `watch(done, total)`: hears of every decoding step, in tokens of all questions together; what it
        raises ends the work and reaches the caller.
        """
        wish = JudgeOptions(**wishes)
        judge = self._judge_twice if ask_again else self._judge
        return [found for _, found in judge(questions, wish, dict(weights or {}), watch)]

    def so_far(self) -> Progress:
        """How far the call under way has got; for a `watch` that wants to show it."""
        return self.writer.so_far()

    def room(self, questions: Sequence[Question], **wishes) -> MemoryEstimate:
        """Memory that judging these takes beside the weights; options as for `judge` or `critique`."""
        detail = FULL if wishes.get("detail") == BEST else wishes.get("detail", FULL)
        wish = JudgeOptions(**wishes | {"detail": detail})
        # a free answer may be asked for again, guided
        rooms = [self.writer.room(questions, one) for one in {wish, dataclasses.replace(wish, guided=True)}]
        return MemoryEstimate(
            max(room.fixed for room in rooms),
            max(room.per_sequence for room in rooms),
            max(room.cache_row for room in rooms),
        )

    def _judge_twice(
        self, questions: Sequence[Question], wish: JudgeOptions, weights: dict, watch: ProgressCallback | None
    ):
        """As `_judge`; then those free answers once more, guided, in which a score is missing."""
        judged = self._judge(questions, wish, weights, watch)
        lacking = [
            place for place, (_, found) in enumerate(judged) if found.status in (INCOMPLETE, TRUNCATED)
        ]
        if wish.guided or not lacking:
            return judged
        log.warning(
            "%s: %d of %d answers lack a score; asked for again, guided.",
            self.name,
            len(lacking),
            len(judged),
        )
        guided = dataclasses.replace(wish, guided=True)
        second = self._judge([questions[place] for place in lacking], guided, weights, watch)
        for place, (answer, found) in zip(lacking, second, strict=True):
            first = judged[place][1]
            lost = ", ".join(aspect.name for aspect in first.aspects if aspect.status == MISSING)
            note = f"asked twice: the first answer, not guided, was {first.status}" + (
                lost and f" (no {lost})"
            )
            source = found.source | {"asked": 2}
            judged[place] = answer, dataclasses.replace(found, notes=(*found.notes, note), source=source)
        return judged

    def _judge(
        self, questions: Sequence[Question], wish: JudgeOptions, weights: dict, watch: ProgressCallback | None
    ):
        """(answer, what it says) for each question."""
        for task in {question.task for question in questions}:
            self._check_learned(task)
            self._check_weights(weights, self.wording.profile.aspects(task))
        if wish.samples > 1 and any(question.task.is_pair for question in questions):
            raise ValueError("samples: a pair is judged once; compare in both orders, or one by one.")
        hashes = self._hashes(questions)
        judged = []
        for answers in self.writer.write(questions, hashes, wish, watch):
            found = [self._read(answer, hashes, wish, weights) for answer in answers]
            judged.append((answers[0], found[0] if len(found) == 1 else averaged_passes(found)))
        return judged

    def _hashes(self, questions: Sequence[Question]) -> dict[int, str]:
        # reads every picture, so that a bad one is found before the work on others begins
        pictures = {id(picture): picture for question in questions for picture in question.pictures}
        return {key: image_hash(picture) for key, picture in pictures.items()}

    def _read(
        self, answer: Generation, hashes: dict[int, str], wish: JudgeOptions, weights: dict
    ) -> Critique | Verdict:
        question, written = answer.question, answer.job.completion
        source = {
            "critic": self.name,
            "precision": self.precision,
            "wording": self.wording.name(question.task),
            "style": self.wording.style,
            "guided": wish.guided,
            "detail": wish.detail,
            "score_mode": wish.score_mode,
            "samples": wish.samples,
            "temperature": wish.temperature,
            "seed": wish.seed,
            "max_new_tokens": wish.max_new_tokens,
            "max_pixels": self.preprocessing.max_pixels,
            "tokens": len(written.token_ids),
            "said": written.forced_tokens,
            "images": [hashes[id(picture)] for picture in question.images],
            "source_images": [hashes[id(picture)] for picture in question.sources],
        }
        return dataclasses.replace(self.writer.read(answer, wish), source=source, weights=weights)

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
