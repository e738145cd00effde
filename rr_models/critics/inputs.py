"""Questions -> prompts for decode/: tokens with the pictures in their places, positions, and what the vision
tower sees in each picture, once per picture however often it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..engine.sequence import Prompt
from .base import Question
from .tokenization import PromptTokenizer
from .vision import VisionEncoder


class PromptBuilder:
    """Lays out the prompts of one call. `hashes` has every picture's, by its id."""

    def __init__(self, layout: PromptTokenizer, eyes: VisionEncoder, hashes: Mapping[int, str]):
        self.layout, self.eyes, self.hashes = layout, eyes, hashes
        self._pieces: dict[tuple, list[list[int]]] = {}

    def length(self, question: Question) -> int:
        return sum(map(len, self._told(question))) + sum(self.pictures(question))

    def pictures(self, question: Question) -> list[int]:
        """Tokens of each picture."""
        return [rows * columns for rows, columns in self._grids(question)]

    def shared(self, question: Question) -> tuple:
        """What stands before the pictures that are judged: equal for all candidates of one request."""
        sources = tuple(self.hashes[id(source)] for source in question.sources)
        return question.task, question.request, sources

    def prompt(self, question: Question) -> Prompt:
        pieces, grids = self._told(question), self._grids(question)
        ids, positions, at = list(pieces[0]), [_text(0, len(pieces[0]))], len(pieces[0])
        shared = len(ids)
        for number, (piece, (rows, columns)) in enumerate(zip(pieces[1:], grids, strict=True)):
            if number == len(question.sources):
                shared = len(ids)
            ids += [self.layout.picture] * (rows * columns) + piece
            positions += [_picture(at, rows, columns), _text(at + max(rows, columns), len(piece))]
            at += max(rows, columns) + len(piece)
        seen = [self.eyes.see(picture, self.hashes[id(picture)]) for picture in question.pictures]
        return Prompt(
            ids,
            torch.cat(positions, 1),
            torch.tensor(ids) == self.layout.picture,
            [torch.cat(each) for each in zip(*seen, strict=True)],
            shared,
            self.shared(question),
        )

    def _told(self, question: Question) -> list[list[int]]:
        key = (question.task, question.request, len(question.sources))
        if key not in self._pieces:
            self._pieces[key] = self.layout.pieces(
                question.task, question.request, len(question.sources) or 1
            )
        return self._pieces[key]

    def _grids(self, question: Question) -> list[tuple[int, int]]:
        """Rows and columns of each picture, in tokens."""
        how = self.layout.preprocessing
        token = how.patch_size * how.merge_size
        sizes = [how.size(*picture.shape[:2]) for picture in question.pictures]
        return [(height // token, width // token) for height, width in sizes]


def _text(start: int, length: int) -> torch.Tensor:
    """Positions [3, length] of text: counted on in time, height and width alike."""
    return torch.arange(start, start + length).expand(3, -1)


def _picture(start: int, rows: int, columns: int) -> torch.Tensor:
    """Positions [3, rows * columns] of a picture: it stands still in time and spreads in height and width."""
    height, width = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return start + torch.stack([torch.zeros_like(height), height, width]).flatten(1)
