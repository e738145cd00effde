"""The vision tower, with an encoder cache: the features of images that are needed again are kept."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import torch

from ..images import pixel_values
from .tokenization import PromptTokenizer

_KEPT = 4  # pictures whose features are kept for the next call, in main memory: about 26 MB each of an 8B's


class VisionEncoder:
    """What a model's vision tower sees in pictures. Keeps what it will be asked for again, and the last few
    that it was asked for more than once: the source of an edit is judged against in every round."""

    def __init__(self, model: torch.nn.Module, layout: PromptTokenizer):
        self.model, self.layout = model, layout
        self.looks = 0  # times that the tower ran
        self._kept: OrderedDict[tuple, list[torch.Tensor]] = OrderedDict()
        self._again: dict[str, list[torch.Tensor]] = {}
        self._wanted: Counter[str] = Counter()

    def expect(self, hashes: Sequence[str]) -> None:
        """Every picture that will be looked at, as often as it will."""
        self._again.clear()
        self._wanted = Counter(hashes)

    def rest(self) -> None:
        """Nothing of this call stays on the device."""
        self._again.clear()

    @torch.inference_mode()
    def see(self, picture: torch.Tensor, digest: str) -> list[torch.Tensor]:
        """Features [tokens, hidden]: the picture's embeddings, then what the first layers add to them."""
        if digest in self._again:
            return self._again[digest]
        visual = self.model.model.visual
        like = next(visual.parameters())
        key = (digest, like.device, like.dtype)
        if key in self._kept:
            self._kept.move_to_end(key)
            found = [each.to(like.device) for each in self._kept[key]]
        else:
            patches, grid = pixel_values(picture, self.layout.preprocessing, like.device)
            seen = visual(patches.to(like.dtype), torch.tensor([grid], device=like.device))
            self.looks += 1
            # transformers 4.57 gives a pair
            embeddings, added = (
                seen if isinstance(seen, tuple) else (seen.pooler_output, seen.deepstack_features)
            )
            found = [embeddings, *added]
        if self._wanted[digest] > 1:
            self._again[digest] = found
            self._kept[key] = [each.cpu() for each in found]
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found
