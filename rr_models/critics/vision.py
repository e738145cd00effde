"""The vision tower with an encoder cache: features of images that will be needed again are kept."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from ..images import pixel_values
from .base import Image
from .tokenization import PromptTokenizer

if TYPE_CHECKING:
    from transformers import Qwen3VLForConditionalGeneration

_CACHED_IMAGES = 4  # kept in main memory for later calls: about 26 MB each of an 8B's


class VisionEncoder:
    """Encodes images. Within a call, the features of an image that is needed again stay on the device. Those
    of the last few such images, and of the last sources, are kept for later calls: a loop judges every round
    against the same source."""

    def __init__(self, model: Qwen3VLForConditionalGeneration, tokenizer: PromptTokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.encoder_runs = 0
        self._cache: OrderedDict[tuple, list[torch.Tensor]] = OrderedDict()
        self._in_use: dict[str, list[torch.Tensor]] = {}
        self._uses: Counter[str] = Counter()

    def expect(self, images: Iterable[Image]) -> None:
        """Announce every image that will be encoded, as often as it will be."""
        self._in_use.clear()
        self._uses = Counter(image.digest for image in images)

    def release(self) -> None:
        """Drop what this call keeps on the device."""
        self._in_use.clear()

    @torch.inference_mode()
    def encode(self, image: Image, keep: bool = False) -> list[torch.Tensor]:
        """Features [tokens, hidden]: the image's embeddings, then what the first layers add to them.

        `keep` them for later calls even if this call needs them once only.
        """
        weight = next(self.model.model.visual.parameters())
        key = (image.digest, weight.device, weight.dtype)
        needed_again = self._uses[image.digest] > 1
        if image.digest in self._in_use:
            features = self._in_use[image.digest]
        elif key in self._cache:
            features = [level.to(weight.device) for level in self._cache[key]]
        else:
            features = self._run(image, weight)
            if keep or needed_again:
                self._cache[key] = [level.cpu() for level in features]
        if needed_again:
            self._in_use[image.digest] = features
        if key in self._cache:
            self._cache.move_to_end(key)
        while len(self._cache) > _CACHED_IMAGES:
            self._cache.popitem(last=False)
        return features

    def _run(self, image: Image, weight: torch.Tensor) -> list[torch.Tensor]:
        patches, grid = pixel_values(image.pixels, self.tokenizer.preprocessing, weight.device)
        grids = torch.tensor([grid], device=weight.device)
        output = self.model.model.visual(patches.to(weight.dtype), grids)
        self.encoder_runs += 1
        # transformers 4.57 returns a pair
        if isinstance(output, tuple):
            embeddings, added = output
        else:
            embeddings, added = output.pooler_output, output.deepstack_features
        return [embeddings, *added]
