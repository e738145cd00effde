"""What a model is fed: the token ids of a question, cut where its pictures belong.

Needs neither torchvision nor Qwen3VLProcessor. What the user typed is tokenised as plain text: it can become
neither a control token nor a picture.
"""

from __future__ import annotations

import re

from ..images import Preprocessing
from ..prompting.wording import Wording

_SLOT = re.compile("\ue000([0-9]+)\ue001")  # stands in the chat template where a text will be


class PromptTokenizer:
    """Lays out questions for one model. `picture` is the id of the token that stands for a picture's part."""

    def __init__(self, tokenizer, preprocessing: Preprocessing, wording: Wording, picture: int, pad: int):
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.wording = wording
        self.picture, self.pad = picture, pad
        self._controls: dict[str, int] = tokenizer.get_added_vocab()
        self._control = re.compile(_any_of(self._controls))

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
