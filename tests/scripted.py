"""A critic that writes what a test tells it to: the real critic and engine around a scripted language model.

Only the forward pass and the vision tower are replaced. What a token attends to is read from the real KV
cache by the real mask, so that drafts, tries, shared prefixes, rollbacks and rows that move are those of the
engine: a fault in any of them changes what the scripted model sees, and so what it writes.
"""

from __future__ import annotations

import contextlib
import math
import random
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from unittest import mock

import torch

from rr_models.critics.vision import VisionEncoder
from rr_models.engine.engine import Engine
from rr_models.engine.sequence import Completion, Request

Answer = Callable[[list[int]], "Mapping[int, float] | torch.Tensor"]
"""From the token ids of the answer so far to the probability of the next tokens, or to all logits."""

ALL_BUT_IMPOSSIBLE = -40.0
"""The logit of every token that an answer gives no probability."""
HEADER = "<|im_start|>assistant\n"
"""What stands before an answer, also if the engine reads part of an answer as a prompt."""
_LINES = re.compile(r"(?<=\n)(?=\S)")
TOKEN, ANSWER, START = range(3)
"""What the bits of the first key of a column hold, as whole numbers: the id of its token; and, in column 0,
which answer the row writes, and the column where its answer starts."""


class Script:
    """What the scripted model writes. `answers` may be changed between calls; `forwards` counts forward
    passes after the prompt, and `written` holds the completions of the engine's last run, by answer."""

    def __init__(self, tokenizer, answers: Answer | Mapping[str, Answer]):
        self.tokenizer, self.answers = tokenizer, answers
        self.header = tokenizer(HEADER, add_special_tokens=False).input_ids
        self.forwards = 0
        self.written: dict[str, list[Completion]] = {}

    def number(self, prompt: list[int]) -> int:
        """Which answer a prompt gets: the one of the longest request that stands in it."""
        if not isinstance(self.answers, Mapping):
            return 0
        text, requests = self.tokenizer.decode(prompt), list(self.answers)
        within = [number for number, request in enumerate(requests) if request in text]
        return max(within, key=lambda number: len(requests[number]), default=0)

    def keep(self, requests: list[Request]) -> None:
        """Keep what was written for these requests."""
        names = list(self.answers) if isinstance(self.answers, Mapping) else [""]
        self.written = {name: [] for name in names}
        for request in requests:
            self.written[names[self.number(request.prompt().token_ids)]].append(request.completion)

    def next(self, number: int, ids: list[int]) -> Mapping[int, float] | torch.Tensor:
        answers = list(self.answers.values()) if isinstance(self.answers, Mapping) else [self.answers]
        return answers[number](ids)


class ScriptedRunner:
    """In the place of ModelRunner. Hidden states are token ids, or the place of a token in the cache."""

    def __init__(self, script: Script, model, cache):
        self.script, self.cache, self.device = script, cache, model.device
        self.vocabulary = model.config.get_text_config().vocab_size
        self.cells = cache.keys[0][:, 0].view(torch.int32)  # the same memory: [rows + 1, columns, numbers]

    def embed(self, token_ids) -> torch.Tensor:
        return torch.tensor(token_ids)[None, :, None]

    def prefill(self, row: int, start: int, hidden, positions, is_image, deepstack=()) -> torch.Tensor:
        cells, end = self.cells[row], start + hidden.shape[1]
        cells[start:end, TOKEN] = hidden[0, :, 0].int()
        prompt = cells[:end, TOKEN].tolist()
        cells[0, ANSWER] = self.script.number(prompt)
        cells[0, START] = _end_of(self.script.header, prompt)
        return torch.tensor([[row, end]])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        [[row, end]] = hidden.tolist()
        logits = torch.full((1, self.vocabulary), ALL_BUT_IMPOSSIBLE)
        self._ask(row, torch.ones(end, dtype=torch.bool), logits[0])
        return logits

    def forward(self, token_ids, positions, columns, mask, wanted, first_row: int = 0) -> torch.Tensor:
        self.script.forwards += 1
        rows, asked = len(columns), wanted.shape[1]
        cells = self.cells[first_row : first_row + rows, :, TOKEN]
        cells.scatter_(1, columns, token_ids[:rows].int())
        logits = torch.full((rows, asked, self.vocabulary), ALL_BUT_IMPOSSIBLE)
        columns, seen_columns, fed = columns.tolist(), mask.sum(-1).tolist(), token_ids.tolist()
        for line, tokens in enumerate(wanted[:rows].tolist()):
            following = {}  # what the script told, by column
            for index, token in enumerate(tokens):
                column, seen = columns[line][token], mask[line, token]
                if column >= self.cache.width or (index and not token):
                    continue  # padding
                if seen_columns[line][token] <= column:  # a branch of a trie
                    before = following.get(int(seen[:column].nonzero()[-1]))
                    if isinstance(before, Mapping) and fed[line][token] not in before:
                        following[column] = {}  # never written, so that what follows it counts for nothing
                        continue
                following[column] = self._ask(first_row + line, seen, logits[line, index])
        return logits

    def _ask(self, row: int, seen: torch.Tensor, logits: torch.Tensor) -> Mapping[int, float] | torch.Tensor:
        """Write the logits that follow what is seen [columns] of a row. Returns what the script told."""
        _, number, start = self.cells[row, 0, :3].tolist()
        answer = self.cells[row, start : len(seen), TOKEN][seen[start:]].tolist()
        following = self.script.next(number, answer)
        if isinstance(following, torch.Tensor):
            logits.copy_(following)
        else:
            for token, probability in following.items():
                logits[token] = math.log(probability)
        return following


@contextlib.contextmanager
def scripted(critic, answers: Answer | Mapping[str, Answer]) -> Iterator[Script]:
    """Let `critic` (a LocalCritic) write `answers`: one for all questions, or one by request."""
    script = Script(critic.tokenizer, answers)

    def encode(vision: VisionEncoder, image, **_) -> list[torch.Tensor]:
        preprocessing = vision.tokenizer.preprocessing
        height, width = preprocessing.size(*image.pixels.shape[:2])
        patch = preprocessing.patch_size * preprocessing.merge_size
        return [torch.zeros(height // patch * (width // patch), 1, dtype=torch.long)]

    def runner(model, cache) -> ScriptedRunner:
        return ScriptedRunner(script, model, cache)

    def run(engine: Engine, requests, *arguments, **options) -> None:
        requests = list(requests)
        run_engine(engine, requests, *arguments, **options)
        script.keep(requests)

    run_engine = Engine.run
    critic.engine.release()  # its buffers hold the real runner
    try:
        with (
            mock.patch("rr_models.engine.engine.ModelRunner", runner),
            mock.patch.object(Engine, "run", run),
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
        self.ids = [*tokenizer(text, add_special_tokens=False).input_ids, self.end]
        self.letters, self.places = _letters(text)
        # where something else was written in its place: for answers of at least so many tokens
        self.plans: deque[tuple[int, list[int]]] = deque(maxlen=8)

    def __call__(self, ids: list[int]) -> dict[int, float]:
        return {self.next(ids): 1.0}

    def next(self, ids: list[int]) -> int:
        """The next token after these."""
        for least, plan in ((0, self.ids), *self.plans):
            if len(ids) >= least and ids == plan[: len(ids)]:
                return plan[len(ids)] if len(ids) < len(plan) else self.end
        plan = [*ids, *self._tokens(self.rest(_text_of(self.tokenizer, ids))), self.end]
        self.plans.appendleft((len(ids), plan))
        return plan[len(ids)]

    def rest(self, written: str) -> str:
        """What is still to be written of the text."""
        if self.text.startswith(written):
            return self.text[len(written) :]
        left = _common(self.text, written)
        line = self.text.rfind("\n", 0, left) + 1
        if not _letters(self.text[line:left])[0]:
            left = line  # they differ within the marks of a heading
        passed = bisect_left(self.places, left)
        ahead, places = self.letters[passed:], self.places[passed:]
        behind, began = _letters(written, left)
        last_line = len(_letters(written.rstrip().rpartition("\n")[2])[0])
        rest = self.text[left:]
        for length in range(min(len(behind), len(ahead)), 0, -1):
            found = ahead.find(behind[-length:])
            whole_words = not written[: began[-length]][-1:].isalnum()
            if (found == 0 and whole_words) or (found >= 0 and (length >= 6 or length == last_line >= 4)):
                rest = self.text[places[found + length - 1] + 1 :]
                break
        marks = _last_marks(written)
        same = next((n for n in range(len(marks), 0, -1) if rest.startswith(marks[-n:])), 0)
        rest = rest[same:]
        return rest.lstrip() if written[-1:].isspace() else rest

    def _tokens(self, text: str) -> list[int]:
        # no token goes on from a line end to the beginning of a line
        return [token for line in _LINES.split(text) for token in _tokens_of(self.tokenizer, line)]


@lru_cache(maxsize=20_000)
def _tokens_of(tokenizer, line: str) -> list[int]:
    return tokenizer(line, add_special_tokens=False).input_ids


def _text_of(tokenizer, ids: list[int]) -> str:
    """As `decode`, which looks at every id in Python first."""
    return tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)


class Cooperates:
    """Writes `begun`, then ends. Under every heading that it is given after that, it writes what stands there
    in `whole`, an answer of three aspects."""

    def __init__(self, tokenizer, begun: str, whole: str):
        self.tokenizer, self.begun, self.whole = tokenizer, begun, whole
        self.first = Writes(tokenizer, begun)

    def __call__(self, ids: list[int]) -> dict[int, float]:
        text = self.tokenizer.decode(ids)
        if self.begun.startswith(text):
            return self.first(ids)
        place = 0
        for mark in (
            "# User Request Analysis",
            "1. ",
            "2. ",
            "3. ",
            "# Summary:",
            "# User Request Refinement:",
        ):
            if f"\n{mark}" in f"\n{text}":
                text = text[text.rindex(mark) + len(mark) :]
                place = self.whole.index(mark) + len(mark)
        for mark in ("## Justification:", "## Score:", "## Refinement Comments:", "## Refined Request:"):
            if mark in text:
                text = text[text.rindex(mark) + len(mark) :]
                place = self.whole.index(mark, place) + len(mark)
        rest = self.whole[place:]
        rest = rest[len(text) :] if rest.startswith(text) else rest
        return {next(iter(self.tokenizer(rest, add_special_tokens=False).input_ids), self.first.end): 1.0}


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


def _end_of(part: list[int], whole: list[int]) -> int:
    """Where the last copy of `part` ends; the end of the whole if there is none."""
    starts = range(len(whole) - len(part), -1, -1)
    return next((n + len(part) for n in starts if whole[n : n + len(part)] == part), len(whole))


def _common(one: str, other: str) -> int:
    """How many characters at the beginning are the same."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        same = one[least:middle] == other[least:middle]
        least, most = (middle, most) if same else (least, middle - 1)
    return least


def _letters(text: str, start: int = 0) -> tuple[str, list[int]]:
    """The letters and digits of a text from `start` on, in lower case, and the place of each in the text."""
    places = [place for place in range(start, len(text)) if text[place].isalnum()]
    return "".join(text[place].lower()[0] for place in places), places


def _last_marks(text: str) -> str:
    """The end of a text that is neither letters nor digits."""
    end = len(text)
    while end and not text[end - 1].isalnum():
        end -= 1
    return text[end:]
