"""The vision tower with an encoder cache: features of images that are needed again are kept."""

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
    """Encodes images. Within a call, the features of an image that is needed again stay on the device; the
    last few such images are kept for later calls: an edit's source is seen in every round of a loop."""

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
    def encode(self, image: Image) -> list[torch.Tensor]:
        """Features [tokens, hidden]: the image's embeddings, then what the first layers add to them."""
        if image.digest in self._in_use:
            return self._in_use[image.digest]
        visual = self.model.model.visual
        weight = next(visual.parameters())
        key = (image.digest, weight.device, weight.dtype)
        if key in self._cache:
            self._cache.move_to_end(key)
            features = [level.to(weight.device) for level in self._cache[key]]
        else:
            patches, grid = pixel_values(image.pixels, self.tokenizer.preprocessing, weight.device)
            output = visual(patches.to(weight.dtype), torch.tensor([grid], device=weight.device))
            self.encoder_runs += 1
            # transformers 4.57 returns a pair
            embeddings, added = (
                output if isinstance(output, tuple) else (output.pooler_output, output.deepstack_features)
            )
            features = [embeddings, *added]
        if self._uses[image.digest] > 1:
            self._in_use[image.digest] = features
            self._cache[key] = [level.cpu() for level in features]
            while len(self._cache) > _CACHED_IMAGES:
                self._cache.popitem(last=False)
        return features
