"""A critic with a memory: what it has judged before, under the same conditions, it does not judge again.

A critique is remembered by everything that bears on it: the pictures' content, request and wording, the
content of the model, its precision and device, how the answer is written, and the code of this library. How
much aspects weigh is worked out anew. Only complete answers are remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import torch

from ..checkpoints import fingerprint
from ..images import image_hash
from ..judgement.critique import COMPLETE, Critique
from ..judgement.task import Task
from ..judgement.verdict import Verdict, of_critiques
from .base import Question
from .disk_cache import DiskCache, key_of
from .local import BEST, BOTH_ORDERS, ONE_BY_ONE, LocalCritic
from .options import JudgeOptions

CACHED = "from_cache"
"""In a critique's `source`: it was remembered and not judged anew."""


class CachedCritic:
    """Asks `critic`, anything with `critique` and `compare` around the local critic `model` on `device`, for
    what is not in the `store`. A model without identity is not remembered."""

    def __init__(self, critic, store: DiskCache, model: LocalCritic | None = None, device: str = ""):
        self.critic, self.store, self.model = critic, store, model or critic
        self.device = device or self.model.model.device.type
        self.remembered = 0
        """How many answers of the last call came from the store."""

    @property
    def name(self) -> str:
        return self.critic.name

    @property
    def profile(self):
        return self.model.profile

    @property
    def learned(self):
        return self.model.learned

    def critique(
        self,
        images: Sequence[torch.Tensor],
        request: str,
        task: str = "t2i",
        sources: Sequence[torch.Tensor] = (),
        *,
        weights: Mapping[str, float] | None = None,
        **options,
    ) -> list[Critique]:
        """As `LocalCritic.critique`."""
        self.remembered = 0
        weights = dict(weights or {})
        if not self.model.identity or not len(images):
            return self.critic.critique(images, request, task, sources=sources, weights=weights, **options)
        keys = self._keys(images, request, task, sources, weights, options)
        found = [self._known(key, weights, options) for key in keys]
        if options.get("detail") == BEST and None in found:
            found = [None] * len(keys)  # which one is the best, and written in full, hangs on all of them
        asked = [index for index, one in enumerate(found) if one is None]
        self.remembered = len(found) - len(asked)
        if asked:
            new = self.critic.critique(
                [images[index] for index in asked], request, task, sources=sources, weights=weights, **options
            )
            for index, critique in zip(asked, new, strict=True):
                found[index] = critique
                if critique.status == COMPLETE:
                    self.store.put(keys[index], critique.to_dict())
        return found

    def compare(
        self,
        a: torch.Tensor,
        b: torch.Tensor,
        request: str,
        task: str = "t2i-pair",
        sources: Sequence[torch.Tensor] = (),
        *,
        how: str = BOTH_ORDERS,
        tie: float = 0.0,
        **options,
    ) -> Verdict:
        """As `LocalCritic.compare`."""
        if how == ONE_BY_ONE:
            single = Task.parse(task).single
            return of_critiques(*self.critique([a, b], request, single, sources, **options), tie=tie)
        self.remembered = 0
        if not self.model.identity:
            return self.critic.compare(a, b, request, task, sources=sources, how=how, tie=tie, **options)
        said = {name: value for name, value in options.items() if name not in ("watch", "weights")}
        weights = dict(options.get("weights") or {})
        pair = {"how": how, "tie": tie, "weights": weights, "images": [image_hash(a), image_hash(b)]}
        key = key_of(self._conditions(Question(task, request, (a, b), tuple(sources)), said) | pair)
        if (data := self.store.get(key)) is not None:
            self.remembered = 1
            verdict = Verdict.from_dict(data)
            return replace(verdict, source=verdict.source | self._now(options))
        verdict = self.critic.compare(a, b, request, task, sources=sources, how=how, tie=tie, **options)
        if verdict.status == COMPLETE:
            self.store.put(key, verdict.to_dict())
        return verdict

    def _keys(self, images, request: str, task: str, sources, weights: dict, options: dict) -> list[str]:
        said = {name: value for name, value in options.items() if name not in ("watch", "ask_again")}
        best = said.get("detail") == BEST
        said |= {"detail": "full"} if best else {}
        asked = self._conditions(Question(task, request, (images[0],), tuple(sources)), said)
        shown = [image_hash(image) for image in images]
        if said.get("guided") is False:
            asked |= {"asked again": options.get("ask_again", True)}
        if best:
            asked |= {"best of": shown, "weights": weights}
        return [
            key_of(asked | {"image": each, "place": place if best else 0}) for place, each in enumerate(shown)
        ]

    def _conditions(self, question: Question, said: dict) -> dict:
        """All that bears on an answer to such a question but the pictures judged. Checks the question."""
        wish = asdict(JudgeOptions(**said))
        del wish["batch_size"]  # an answer does not depend on who is judged beside it
        if not wish["temperature"]:
            del wish["seed"]
        model = self.model
        return {
            "code": fingerprint.code_fingerprint(),
            "model": model.identity,
            "precision": [model.precision, str(model.model.dtype)],
            "device": self.device,
            "attention": model.model.config.vision_config._attn_implementation,
            "pictures": asdict(model.preprocessing),
            "profile": repr(model.profile),
            "style": model.wording.style,
            "messages": model.wording.messages(question.task, question.request, len(question.sources) or 1),
            "sources": [image_hash(source) for source in question.sources],
            "wish": wish,
        }

    def _known(self, key: str, weights: dict, options: dict) -> Critique | None:
        if (data := self.store.get(key)) is None:
            return None
        critique = Critique.from_dict(data)
        return replace(critique, weights=weights, source=critique.source | self._now(options))

    def _now(self, options: dict) -> dict:
        """What a critique's source says that may have been otherwise when it was judged."""
        return {CACHED: True, "critic": self.name, "seed": options.get("seed", 0)}
