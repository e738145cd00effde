"""Questions -> prompts for the engine: token ids with image placeholders, positions, image features."""

from __future__ import annotations

import torch

from ..engine.sequence import Prompt
from .base import Question
from .tokenization import PromptTokenizer
from .vision import VisionEncoder


class PromptBuilder:
    """Builds the prompts of one call. Each question is rendered and tokenized once."""

    def __init__(self, tokenizer: PromptTokenizer, vision: VisionEncoder):
        self.tokenizer, self.vision = tokenizer, vision
        self._segments: dict[tuple, list[list[int]]] = {}

    def length(self, question: Question) -> int:
        """Tokens of the prompt, images included."""
        return sum(map(len, self._text(question))) + sum(self.image_tokens(question))

    def image_tokens(self, question: Question) -> list[int]:
        """Tokens of each image."""
        return [rows * columns for rows, columns in self._grids(question)]

    def shared_key(self, question: Question) -> tuple:
        """What precedes the images to judge: equal for all candidates of one request."""
        return question.task.value, question.request, tuple(source.digest for source in question.sources)

    def prompt(self, question: Question) -> Prompt:
        segments, grids = self._text(question), self._grids(question)
        ids, positions, at = list(segments[0]), [_text_positions(0, len(segments[0]))], len(segments[0])
        shared = len(ids)
        image_token = self.tokenizer.image_token
        for index, (segment, (rows, columns)) in enumerate(zip(segments[1:], grids, strict=True)):
            if index == len(question.sources):
                shared = len(ids)
            ids += [image_token] * (rows * columns) + segment
            after = at + max(rows, columns)
            positions += [_image_positions(at, rows, columns), _text_positions(after, len(segment))]
            at = after + len(segment)
        features = [self.vision.encode(source, keep=True) for source in question.sources]
        features += [self.vision.encode(image) for image in question.images]
        return Prompt(
            ids,
            torch.cat(positions, 1),
            torch.tensor(ids) == image_token,
            [torch.cat(level) for level in zip(*features, strict=True)],
            shared,
            self.shared_key(question),
        )

    def _text(self, question: Question) -> list[list[int]]:
        key = (question.task, question.request, len(question.sources))
        if key not in self._segments:
            self._segments[key] = self.tokenizer.segments(
                question.task, question.request, len(question.sources) or 1
            )
        return self._segments[key]

    def _grids(self, question: Question) -> list[tuple[int, int]]:
        """Rows and columns of each image, in tokens."""
        preprocessing = self.tokenizer.preprocessing
        token = preprocessing.patch_size * preprocessing.merge_size
        sizes = [preprocessing.size(*image.pixels.shape[:2]) for image in question.all_images]
        return [(height // token, width // token) for height, width in sizes]


def _text_positions(start: int, length: int) -> torch.Tensor:
    """Positions [3, length] of text: the same in time, height and width."""
    return torch.arange(start, start + length).expand(3, -1)


def _image_positions(start: int, rows: int, columns: int) -> torch.Tensor:
    """Positions [3, rows * columns] of an image: constant in time, a grid in height and width."""
    height, width = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return start + torch.stack([torch.zeros_like(height), height, width]).flatten(1)
