"""Tokenizes a question: chat template, control tokens, and the places of its images.

Needs neither torchvision nor Qwen3VLProcessor. What the user typed is tokenized as plain text: it can become
neither a control token nor an image.
"""

from __future__ import annotations

import re

from ..images import Preprocessing
from ..prompting.wording import Wording

_SLOT = re.compile("\ue000([0-9]+)\ue001")  # stands in the chat template where a text will be


class PromptTokenizer:
    """Tokenizes questions for one model. `image_token` is the id of the token that stands for a part of an
    image."""

    def __init__(self, tokenizer, preprocessing: Preprocessing, wording: Wording, image_token: int):
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.wording = wording
        self.image_token = image_token
        self._controls: dict[str, int] = tokenizer.get_added_vocab()
        self._control = re.compile(_any_of(self._controls))

    def segments(self, task: str, request: str, sources: int = 1) -> list[list[int]]:
        """Token ids of the prompt, split where an image's tokens belong.

        The chat template is filled with slots first and split at its own control tokens; only then the texts
        go in, so nothing in a text can become a control token or an image.
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
                content = [
                    part | {"text": slot(part["text"])} if "text" in part else part for part in content
                ]
            skeleton.append({"role": message["role"], "content": content})
        frame = self.tokenizer.apply_chat_template(skeleton, tokenize=False, add_generation_prompt=True)
        segments: list[list[int]] = [[]]
        for piece in re.split(f"({self._control.pattern})", frame):
            if piece not in self._controls:
                segments[-1] += self._plain(_SLOT.sub(lambda match: texts[int(match[1])], piece))
            elif self._controls[piece] == self.image_token:
                segments.append([])
            else:
                segments[-1].append(self._controls[piece])
        return segments

    def _plain(self, text: str) -> list[int]:
        """Token ids of `text`, never a control token: such spellings are split after their first letter."""
        ids: list[int] = []
        cuts = [match.start() + 1 for match in self._control.finditer(text)]
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            ids += self.tokenizer(text[start:end], add_special_tokens=False).input_ids
        return ids


def _any_of(words) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"
