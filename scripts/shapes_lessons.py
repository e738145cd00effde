"""What the Shapes critic is taught: batches of whole critiques, and what its eyes should see (used by
train_shapes_critic.py)."""

from __future__ import annotations

import inspect
import random
import types

import torch
import torch.nn.functional as F

from rr_models.critics.tokenization import PromptTokenizer
from rr_models.images import Preprocessing, from_pil, pixel_values
from rr_models.prompting.wording import Wording
from rr_models.shapes import cases
from rr_models.shapes.draw import draw
from rr_models.shapes.world import COLORS, PLACES, SHAPES, SIZES, WORDS

SIDE = 96  # pixels that the critic sees, 3 x 3 image tokens
SIZES_DRAWN = (96, 96, 96, 96, 128, 256)  # what is drawn larger comes to SIDE as it will in use
PREPROCESSING = Preprocessing(min_pixels=SIDE * SIDE, max_pixels=SIDE * SIDE)
TOKENS = (SIDE // 32) ** 2
GRID = [1, SIDE // 16, SIDE // 16]


class Writer:
    """Turns cases into what the model is fed in use, and labels on the answers."""

    def __init__(self, tokenizer):
        picture, pad = tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|endoftext|>"])
        self.layout = PromptTokenizer(tokenizer, PREPROCESSING, Wording(), picture, pad)
        self.ids = lambda text: tokenizer(text, add_special_tokens=False).input_ids
        self.end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def sequence(self, case: cases.Case) -> tuple[list[int], int]:
        """Token ids of question and answer, and where the answer begins."""
        prompt, *rest = self.layout.pieces(case.task, case.request)
        for piece in rest:
            prompt = [*prompt, *[self.layout.picture] * TOKENS, *piece]
        return [*prompt, *self.ids(case.truth.to_text()), self.end], len(prompt)

    def batches(self, rng: random.Random, rows: int):
        """Endless batches of new cases, alike in length so that little is padded: (cases, model inputs,
        labels)."""
        while True:
            made = [cases.case(rng, rng.choice(cases.TASKS), test=False) for _ in range(8 * rows)]
            made = sorted(((self.sequence(case), case) for case in made), key=lambda pair: len(pair[0][0]))
            groups = [made[at : at + rows] for at in range(0, len(made), rows)]
            rng.shuffle(groups)
            yield from (self._batch(rng, group) for group in groups)

    def _batch(self, rng: random.Random, group: list) -> tuple[list[cases.Case], dict, torch.Tensor]:
        length = max(len(ids) for (ids, _), _ in group)
        inputs = torch.full((len(group), length), self.layout.pad)
        labels = torch.full((len(group), length), -100)
        for row, ((ids, start), _) in enumerate(group):
            inputs[row, : len(ids)] = torch.tensor(ids)
            labels[row, start : len(ids)] = inputs[row, start : len(ids)]
        chosen = [case for _, case in group]
        shown = pictures(chosen)
        # what is padded on the right is never seen under causal attention, so all may count as real
        batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
        batch["pixel_values"] = torch.cat([patches(picture, rng) for picture in shown])
        batch["image_grid_thw"] = torch.tensor([GRID] * len(shown))
        return chosen, batch, labels


def pictures(chosen: list[cases.Case]) -> list:
    """All pictures of these cases in the order in which the critic sees them."""
    return [p for case in chosen for p in ([case.source] if case.source else []) + [case.picture]]


def patches(picture, rng: random.Random) -> torch.Tensor:
    """A drawn picture as the model takes it: [36, 3*2*16*16]."""
    image = draw(picture, rng.choice(SIZES_DRAWN), rng.getrandbits(32))
    return pixel_values(from_pil(image), PREPROCESSING)[0]


class Eyes:
    """Picture tokens should lie close to the words for what they show.

    The readers are the model's own output words, so whatever the tokens say can be copied from them as it is
    copied from a request. Watches the vision tower, so that a step on critiques teaches it along the way.
    """

    def __init__(self, model, tokenizer):
        def ids(*words: str) -> list[int]:
            return [tokenizer(word, add_special_tokens=False).input_ids[0] for word in words]

        # the words to choose from, in the order of `true_choices`: three for each place, then the rest
        self.of_a_place = [
            ids(*(f" {color}" for color in COLORS), " nothing"),
            ids(*(f" {shape}" for shape in SHAPES)),
            ids(*(f" {size}" for size in SIZES)),
        ]
        self.everywhere = [ids(" clean", " noisy"), ids(" sharp", " blurred")]
        self.cut = ids(" whole", " cut")
        self.below = [ids(*WORDS, " no"), ids(" reads", " broken")]
        self.model, self.seen = model, None
        lean_patches(model.model.visual.patch_embed)
        model.model.visual.register_forward_hook(self._look)

    def _look(self, _module, _inputs, out) -> None:
        self.seen = out.pooler_output if hasattr(out, "pooler_output") else out[0]

    def look(self, shown: list, rng: random.Random) -> torch.Tensor:
        """The loss on pictures alone."""
        grid = torch.tensor([GRID] * len(shown))
        self.model.model.visual(torch.cat([patches(p, rng) for p in shown]), grid_thw=grid)
        return self.loss(shown)

    def loss(self, shown: list) -> torch.Tensor:
        """Of the pictures that the vision tower saw last: nats a picture, all choices together."""
        side = SIDE // 32
        tokens = self.seen.reshape(len(shown), side, side, -1)  # rows, columns; one column for each place
        columns = [tokens[:, :, place].mean(1) for place in range(side)]
        truth = iter(torch.tensor([true_choices(p) for p in shown]).T)
        asked = [(column, words, next(truth)) for column in columns for words in self.of_a_place]
        asked += [(tokens.mean((1, 2)), words, next(truth)) for words in self.everywhere]
        cut = next(truth)
        asked += [(column, self.cut, (cut == place).long()) for place, column in enumerate(columns)]
        asked += [(tokens[:, -1].mean(1), words, next(truth)) for words in self.below]
        # -100: there is nothing to be read. Summed, because a mean over nothing would be no number.
        readers = self.model.lm_head.weight
        return sum(
            F.cross_entropy(seen @ readers[words].T, goal, ignore_index=-100, reduction="sum")
            for seen, words, goal in asked
        ) / len(shown)


def true_choices(picture) -> list[int]:
    """What the words in `Eyes` should be, as indices; -100 where there is nothing to be read."""
    truth = []
    for thing in picture.scene.things:
        if thing is None:
            truth += [len(COLORS), -100, -100]
        else:
            truth += [list(COLORS).index(thing.color), SHAPES.index(thing.shape), SIZES.index(thing.size)]
    word = WORDS.index(picture.scene.word) if picture.scene.word else len(WORDS)
    cut = PLACES.index(picture.cut) if picture.cut else len(PLACES)
    broken = int(picture.broken_letters) if picture.scene.word else -100
    return truth + [int(picture.noisy), int(picture.blurred), cut, word, broken]


def answer_loss(model, batch: dict, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy over the answers, in nats a token, with logits computed only there."""
    if "mm_token_type_ids" in inspect.signature(model.model.forward).parameters:
        batch["mm_token_type_ids"] = (batch["input_ids"] == model.config.image_token_id).int()
    hidden = model.model(**batch, use_cache=False).last_hidden_state[:, :-1]
    learned = labels[:, 1:] != -100
    return F.cross_entropy(model.lm_head(hidden[learned]), labels[:, 1:][learned])


def lean_patches(embed) -> None:
    """Let the patch embedding multiply instead of convolve: the same numbers, and on a CPU the backward of
    this convolution alone takes a third of a step."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return F.linear(patches.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)

    embed.forward = types.MethodType(forward, embed)
