"""Questions -> prompts for decode/: tokens with the pictures in their places, positions, and what the vision
tower sees in each picture, once per picture however often it is judged.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence

import torch

from ..decode.rows import Prompt
from ..images import pixel_values
from . import Question
from .layout import Layout

_KEPT = 4  # pictures whose features are kept for the next call, in main memory: about 26 MB each of an 8B's


class Eyes:
    """What a model's vision tower sees in pictures. Keeps what it will be asked for again, and the last few
    that it was asked for more than once: the source of an edit is judged against in every round."""

    def __init__(self, model: torch.nn.Module, layout: Layout):
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


class Prompts:
    """Lays out the prompts of one call. `hashes` has every picture's, by its id."""

    def __init__(self, layout: Layout, eyes: Eyes, hashes: Mapping[int, str]):
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
