"""What a model is fed: questions -> token ids with the pictures in their places, and the pictures as patches.

Needs neither torchvision nor Qwen3VLProcessor. What the user typed is tokenised as plain text: it can become
neither a control token nor a picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from ..images import Preprocessing, pixel_values
from ..wording import Wording
from . import Question

_SLOT = re.compile("\ue000([0-9]+)\ue001")  # stands in the chat template where a text will be


class Layout:
    """Lays out questions for one model. `picture` is the id of the token that stands for a picture's part."""

    def __init__(self, tokenizer, preprocessing: Preprocessing, wording: Wording, picture: int, pad: int):
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.wording = wording
        self.picture, self.pad = picture, pad
        self._controls: dict[str, int] = tokenizer.get_added_vocab()
        self._control = re.compile(_any_of(self._controls))

    def inputs(self, questions: Sequence[Question]) -> dict[str, torch.Tensor]:
        """Left-padded model inputs, one row for each question: input_ids and attention_mask [rows, tokens],
        pixel_values [patches, values], image_grid_thw [pictures, 3]."""
        merge = self.preprocessing.merge_size**2
        pictures = {id(p): p for question in questions for p in question.pictures}  # a shared source once
        seen = {key: pixel_values(p, self.preprocessing) for key, p in pictures.items()}
        rows = [[seen[id(p)] for p in question.pictures] for question in questions]
        prompts = []
        for question, row in zip(questions, rows, strict=True):
            before, *pieces = self.pieces(question.task, question.request, len(question.sources) or 1)
            prompt = list(before)
            for (_, (_, height, width)), piece in zip(row, pieces, strict=True):
                prompt += [self.picture] * (height * width // merge) + piece
            prompts.append(prompt)
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self.pad)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "pixel_values": torch.cat([patches for row in rows for patches, _ in row]),
            "image_grid_thw": torch.tensor([grid for row in rows for _, grid in row]),
        }

    def pieces(self, task: str, request: str, sources: int = 1) -> list[list[int]]:
        """Token ids of the prompt, cut where a picture's tokens belong.

        The chat template is filled with slots first and cut at its own control tokens; only then the texts
        go in, so nothing in a text can become a control token or a picture.
        """
        texts: list[str] = []

        def slot(text: str) -> str:
            texts.append(text)
            return f"\ue000{len(texts) - 1}\ue001"

        skeleton = []
        for message in self.wording.messages(task, request, sources):
            content = message["content"]
            if isinstance(content, str):
                content = slot(content)
            else:
                content = [p | {"text": slot(p["text"])} if "text" in p else p for p in content]
            skeleton.append({"role": message["role"], "content": content})
        frame = self.tokenizer.apply_chat_template(skeleton, tokenize=False, add_generation_prompt=True)
        pieces: list[list[int]] = [[]]
        for piece in re.split(f"({self._control.pattern})", frame):
            if piece not in self._controls:
                pieces[-1] += self._plain(_SLOT.sub(lambda found: texts[int(found[1])], piece))
            elif self._controls[piece] == self.picture:
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


def _any_of(words) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"
