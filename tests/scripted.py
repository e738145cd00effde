"""A critic that writes what a test tells it to: the real critic and engine around a scripted language model.

Only the forward pass and the vision tower are replaced. What a token attends to is read from the real KV
cache by the real mask, so that drafts, tries, shared prefixes, rollbacks and rows that move are those of the
engine: a fault in any of them changes what the scripted model sees, and so what it writes.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from unittest import mock

import torch

from rr_models.critics.vision import VisionEncoder

Answer = Callable[[list[int]], "Mapping[int, float] | torch.Tensor"]
"""From the token ids of the answer so far to the probability of the next tokens, or to all logits."""

ALL_BUT_IMPOSSIBLE = -40.0
"""The logit of every token that an answer gives no probability."""
HEADER = "<|im_start|>assistant\n"
"""What stands before an answer, also if the engine reads part of an answer as a prompt."""
BYTES, IN_ANSWER, ANSWER = slice(0, 3), 3, 4
"""Of the key of a token: its id, byte by byte; whether it is of the answer; and, in column 0, which answer
the row writes. All are whole numbers below 256, which every dtype of a cache holds exactly."""


class Script:
    """What the scripted model writes. `answers` may be changed between calls; `forwards` counts forward
    passes after the prompt."""

    def __init__(self, tokenizer, answers: Answer | Mapping[str, Answer]):
        self.tokenizer, self.answers = tokenizer, answers
        self.header = tokenizer(HEADER, add_special_tokens=False).input_ids
        self.forwards = 0

    def number(self, prompt: list[int]) -> int:
        """Which answer a prompt gets: the one of the longest request that stands in it."""
        if not isinstance(self.answers, Mapping):
            return 0
        text, requests = self.tokenizer.decode(prompt), list(self.answers)
        within = [number for number, request in enumerate(requests) if request in text]
        return max(within, key=lambda number: len(requests[number]), default=0)

    def next(self, number: int, ids: list[int]) -> Mapping[int, float] | torch.Tensor:
        answers = list(self.answers.values()) if isinstance(self.answers, Mapping) else [self.answers]
        return answers[number](ids)


class ScriptedRunner:
    """In the place of ModelRunner. Hidden states are token ids, or the place of a token in the cache."""

    def __init__(self, script: Script, model, cache):
        self.script, self.cache, self.device = script, cache, model.device
        self.vocabulary = model.config.get_text_config().vocab_size

    def embed(self, token_ids) -> torch.Tensor:
        return torch.tensor(token_ids, dtype=torch.float64)[None, :, None]

    def prefill(self, row: int, start: int, hidden, positions, is_image, deepstack=()) -> torch.Tensor:
        keys, end = self.cache.keys[0][row, 0], start + hidden.shape[1]
        keys[start:end, BYTES] = _bytes(hidden[0, :, 0].long()).to(keys)
        prompt = _ids(keys[:end])
        keys[:end, IN_ANSWER] = 0
        keys[_end_of(self.script.header, prompt) : end, IN_ANSWER] = 1
        keys[0, ANSWER] = self.script.number(prompt)
        return torch.tensor([[row, end]])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        [[row, end]] = hidden.tolist()
        logits = torch.full((1, self.vocabulary), ALL_BUT_IMPOSSIBLE)
        self._ask(row, slice(end), logits[0])
        return logits

    def forward(self, token_ids, positions, columns, mask, wanted, first_row: int = 0) -> torch.Tensor:
        self.script.forwards += 1
        rows, asked = len(columns), wanted.shape[1]
        logits = torch.full((rows, asked, self.vocabulary), ALL_BUT_IMPOSSIBLE)
        for line in range(rows):
            keys = self.cache.keys[0][first_row + line, 0]
            keys[columns[line], BYTES] = _bytes(token_ids[line]).to(keys)
            keys[columns[line], IN_ANSWER] = 1
        for line in range(rows):
            for index, token in enumerate(wanted[line].tolist()):
                if columns[line, token] < self.cache.width and (index == 0 or token):  # not only padding
                    self._ask(first_row + line, mask[line, token].nonzero()[:, 0], logits[line, index])
        return logits

    def _ask(self, row: int, seen: slice | torch.Tensor, logits: torch.Tensor) -> None:
        keys = self.cache.keys[0][row, 0]
        tokens = keys[seen]
        answer = _ids(tokens[tokens[:, IN_ANSWER] == 1])
        following = self.script.next(int(keys[0, ANSWER]), answer)
        if isinstance(following, torch.Tensor):
            logits.copy_(following)
        else:
            for token, probability in following.items():
                logits[token] = math.log(probability)


@contextlib.contextmanager
def scripted(critic, answers: Answer | Mapping[str, Answer]) -> Iterator[Script]:
    """Let `critic` (a LocalCritic) write `answers`: one for all questions, or one by request."""
    script = Script(critic.tokenizer, answers)

    def encode(vision: VisionEncoder, image) -> list[torch.Tensor]:
        preprocessing = vision.tokenizer.preprocessing
        height, width = preprocessing.size(*image.pixels.shape[:2])
        patch = preprocessing.patch_size * preprocessing.merge_size
        return [torch.zeros(height // patch * (width // patch), 1)]

    def runner(model, cache) -> ScriptedRunner:
        return ScriptedRunner(script, model, cache)

    critic.engine.release()  # its buffers hold the real runner
    try:
        with (
            mock.patch("rr_models.engine.engine.ModelRunner", runner),
            mock.patch.object(VisionEncoder, "encode", encode),
        ):
            yield script
    finally:
        critic.engine.release()


class Writes:
    """Writes a text as its tokenizer splits it, then ends with `end_token`.

    What the decoder writes in its place is taken up: the text goes on after the same words, if they still
    come, else from where it was left.
    """

    def __init__(self, tokenizer, text: str, end_token: int | None = None):
        self.tokenizer, self.text = tokenizer, text
        self.end = tokenizer.eos_token_id if end_token is None else end_token
        self.ids = [*self._tokens(text), self.end]

    def __call__(self, ids: list[int]) -> dict[int, float]:
        return {self.next(ids): 1.0}

    def next(self, ids: list[int]) -> int:
        """The next token after these."""
        if ids == self.ids[: len(ids)]:
            return self.ids[len(ids)] if len(ids) < len(self.ids) else self.end
        return next(iter(self._tokens(self.rest(self.tokenizer.decode(ids)))), self.end)

    def rest(self, written: str) -> str:
        """What is still to be written of the text."""
        if self.text.startswith(written):
            return self.text[len(written) :]
        left = _common(self.text, written)
        line = self.text.rfind("\n", 0, left) + 1
        if not _letters(self.text[line:left])[0]:
            left = line  # they differ within the marks of a heading
        ahead, places = _letters(self.text, left)
        behind, began = _letters(written, left)
        last_line = len(_letters(written.rstrip().rpartition("\n")[2])[0])
        rest = self.text[left:]
        for length in range(min(len(behind), len(ahead)), 0, -1):
            found = ahead.find(behind[-length:])
            whole_words = not written[: began[-length]][-1:].isalnum()
            if (found == 0 and whole_words) or (found >= 0 and (length >= 6 or length == last_line >= 4)):
                rest = self.text[places[found + length - 1] + 1 :]
                break
        marks = written[len(written.rstrip(_marks(written))) :]
        same = next((n for n in range(len(marks), 0, -1) if rest.startswith(marks[-n:])), 0)
        rest = rest[same:]
        return rest.lstrip() if written[-1:].isspace() else rest

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids


class Loops:
    """Writes a text over and over, never ending."""

    def __init__(self, tokenizer, text: str):
        self.ids = tokenizer(text, add_special_tokens=False).input_ids

    def __call__(self, ids: list[int]) -> dict[int, float]:
        return {self.ids[len(ids) % len(self.ids)]: 1.0}


class Always:
    """Writes one token for ever. With an end token, it ends at once."""

    def __init__(self, token: int):
        self.token = token

    def __call__(self, ids: list[int]) -> dict[int, float]:
        return {self.token: 1.0}


class RandomWords:
    """Writes other tokens each time, never ending: 20 random ones of the first `vocabulary` are as likely."""

    def __init__(self, vocabulary: int, seed: int = 0):
        self.vocabulary, self.seed = vocabulary, seed

    def __call__(self, ids: list[int]) -> dict[int, float]:
        draw = random.Random(f"{self.seed} {ids}")
        return {token: draw.random() for token in draw.sample(range(self.vocabulary), 20)}


class NonFiniteAfter:
    """Writes one token `count` times; from then on one logit is `value`, NaN or infinite."""

    def __init__(self, count: int, token: int, vocabulary: int, value: float = math.nan):
        self.count, self.token = count, token
        self.logits = torch.full((vocabulary,), ALL_BUT_IMPOSSIBLE)
        self.logits[0] = value

    def __call__(self, ids: list[int]) -> Mapping[int, float] | torch.Tensor:
        return self.logits if len(ids) >= self.count else {self.token: 1.0}


def _bytes(ids: torch.Tensor) -> torch.Tensor:
    """[n] -> [n, 3]."""
    return torch.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1)


def _ids(keys: torch.Tensor) -> list[int]:
    """The token ids in these keys."""
    low, middle, high = keys[:, BYTES].long().unbind(-1)
    return (low + (middle << 8) + (high << 16)).tolist()


def _end_of(part: list[int], whole: list[int]) -> int:
    """Where the last copy of `part` ends; the end of the whole if there is none."""
    starts = range(len(whole) - len(part), -1, -1)
    return next((n + len(part) for n in starts if whole[n : n + len(part)] == part), len(whole))


def _common(one: str, other: str) -> int:
    """How many characters at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _letters(text: str, start: int = 0) -> tuple[str, list[int]]:
    """The letters and digits of a text from `start` on, in lower case, and the place of each in the text."""
    places = [place for place in range(start, len(text)) if text[place].isalnum()]
    return "".join(text[place].lower()[0] for place in places), places


def _marks(text: str) -> str:
    """All characters of a text that are neither letters nor digits."""
    return "".join({character for character in text if not character.isalnum()})
