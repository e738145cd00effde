"""A critic with a cache: a question it has answered before, under the same conditions, is not asked again.

A judgement is cached under everything that it depends on: images, request and task, the critic's identity
(model, precision, device, prompt), the options, and the code of this library. Aspect weights are applied
afterwards and are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

from ..checkpoints import fingerprint
from ..judgement.aspects import Profile
from ..judgement.critique import COMPLETE, Critique
from ..judgement.task import Task
from ..judgement.verdict import Verdict
from .base import Critic, Identified, Progress, ProgressCallback, Question, Resumes
from .disk_cache import DiskCache, key_of
from .judging import can_judge, held, progress_of
from .options import JudgeOptions

CACHED = "from_cache"
"""In a judgement's `source`: it comes from the cache."""


class CachedCritic:
    """Asks `critic` for what is not in the `store`. A critic without identity is not cached."""

    def __init__(self, critic: Critic, store: DiskCache):
        self.critic, self.store = critic, store
        self.cache_hits = 0
        """Judgements that came from the cache so far."""

    @property
    def name(self) -> str:
        return self.critic.name

    @property
    def profile(self) -> Profile:
        return self.critic.profile

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(task for task in Task if can_judge(self.critic, task))

    def judge(
        self,
        questions: Sequence[Question],
        options: JudgeOptions = JudgeOptions(),  # noqa: B008 - frozen
        on_progress: ProgressCallback | None = None,
    ) -> list[Critique | Verdict]:
        """As `Critic.judge`."""

        def ask(missing: Sequence[Question]) -> list[Any]:
            return self.critic.judge(missing, options, on_progress)

        return self._judge(questions, options, ask)

    def resume(
        self, question: Question, options: JudgeOptions, on_progress: ProgressCallback | None = None
    ) -> Critique:
        """As `Critic.resume`. In 16 bit a resumed answer may differ in its last bits from one written at
        once, so it has a key of its own."""

        def ask(missing: Sequence[Question]) -> list[Any]:
            if isinstance(self.critic, Resumes):
                return [self.critic.resume(missing[0], options, on_progress)]
            return self.critic.judge(missing, options, on_progress)

        return self._judge([question], options, ask, resumed=True)[0]

    def progress(self) -> Progress:
        return progress_of(self.critic)

    def hold(self) -> AbstractContextManager:
        return held(self.critic)

    def _judge(
        self,
        questions: Sequence[Question],
        options: JudgeOptions,
        ask: Callable[[Sequence[Question]], list[Any]],
        resumed: bool = False,
    ) -> list[Any]:
        keys = [self._key(question, options, resumed) for question in questions]
        judged = [self._load(key, question, options) for key, question in zip(keys, questions, strict=True)]
        missing = [index for index, judgement in enumerate(judged) if judgement is None]
        self.cache_hits += len(judged) - len(missing)
        if missing:
            for index, new in zip(missing, ask([questions[index] for index in missing]), strict=True):
                judged[index] = new
                # an incomplete answer is worth keeping only if it leads to a second question
                if keys[index] and (new.status == COMPLETE or not options.constrained and options.ask_again):
                    self.store.put(keys[index], new.to_dict())
        return judged

    def _key(self, question: Question, options: JudgeOptions, resumed: bool) -> str:
        """The key of a question, "" if it is not to be cached."""
        identity = self.critic.identity(question.task) if isinstance(self.critic, Identified) else ""
        if not identity:
            return ""
        asked = asdict(options)
        del asked["batch_size"]  # an answer does not depend on the others of its batch
        if options.constrained:
            del asked["ask_again"]
        if not options.temperature:
            del asked["seed"]
        return key_of(
            {
                "code": fingerprint.code_fingerprint(),
                "critic": identity,
                "profile": repr(self.profile),
                "task": question.task.value,
                "request": question.request,
                "images": [image.digest for image in question.images],
                "sources": [source.digest for source in question.sources],
                "options": asked,
                "resumed": resumed,
            }
        )

    def _load(self, key: str, question: Question, options: JudgeOptions) -> Critique | Verdict | None:
        if not key or (data := self.store.get(key)) is None:
            return None
        judgement = (Verdict if question.task.is_pair else Critique).from_dict(data)
        now = {CACHED: True, "critic": self.name, "seed": options.seed}
        return replace(judgement, source={**judgement.source, **now})
