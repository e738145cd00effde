"""Batches and losses for training the Shapes critic (used by train_shapes_critic.py)."""

from __future__ import annotations

import inspect
import random
import types
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from rr_models.critics.tokenization import PromptTokenizer
from rr_models.images import Preprocessing, from_pil, pixel_values
from rr_models.prompting.wording import Wording
from rr_models.shapes import cases
from rr_models.shapes.draw import draw
from rr_models.shapes.scene import COLORS, POSITIONS, SHAPES, SIZES, WORDS, Rendering

SIDE = 96  # pixels that the critic sees: 3 x 3 image tokens
DRAWN_SIDES = (96, 96, 96, 96, 128, 256)  # a larger drawing is resized to SIDE, as in use
PREPROCESSING = Preprocessing(min_pixels=SIDE * SIDE, max_pixels=SIDE * SIDE)
IMAGE_TOKENS = (SIDE // 32) ** 2
GRID = [1, SIDE // 16, SIDE // 16]
IGNORED = -100  # label that cross entropy ignores


class CritiqueBatches:
    """Turns cases into the inputs that the model gets in use, with labels on the answers."""

    def __init__(self, tokenizer):
        image, pad = tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|endoftext|>"])
        self.prompts = PromptTokenizer(tokenizer, PREPROCESSING, Wording(), image)
        self.image, self.pad = image, pad
        self.ids = lambda text: tokenizer(text, add_special_tokens=False).input_ids
        self.end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def sequence(self, case: cases.Case) -> tuple[list[int], int]:
        """Token ids of prompt and answer, and the index at which the answer begins."""
        prompt, *rest = self.prompts.segments(case.task, case.request)
        for segment in rest:
            prompt = [*prompt, *[self.image] * IMAGE_TOKENS, *segment]
        return [*prompt, *self.ids(case.truth.to_text()), self.end], len(prompt)

    def batches(
        self, rng: random.Random, rows: int
    ) -> Iterator[tuple[list[cases.Case], dict[str, torch.Tensor], torch.Tensor]]:
        """Endless batches of new cases, of similar length so that little is padding: (cases, model inputs,
        labels [rows, tokens])."""
        while True:
            drawn = [cases.random_case(rng, rng.choice(cases.TASKS), test=False) for _ in range(8 * rows)]
            pairs = sorted(((self.sequence(case), case) for case in drawn), key=lambda pair: len(pair[0][0]))
            groups = [pairs[start : start + rows] for start in range(0, len(pairs), rows)]
            rng.shuffle(groups)
            yield from (self._batch(rng, group) for group in groups)

    def _batch(
        self, rng: random.Random, group: list[tuple[tuple[list[int], int], cases.Case]]
    ) -> tuple[list[cases.Case], dict[str, torch.Tensor], torch.Tensor]:
        length = max(len(ids) for (ids, _), _ in group)
        inputs = torch.full((len(group), length), self.pad)
        labels = torch.full((len(group), length), IGNORED)
        for row, ((ids, start), _) in enumerate(group):
            inputs[row, : len(ids)] = torch.tensor(ids)
            labels[row, start : len(ids)] = inputs[row, start : len(ids)]
        chosen = [case for _, case in group]
        renderings = renderings_of(chosen)
        # causal attention never sees the padding on the right, so it may count as real
        batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
        batch["pixel_values"] = torch.cat([patches(rendering, rng) for rendering in renderings])
        batch["image_grid_thw"] = torch.tensor([GRID] * len(renderings))
        return chosen, batch, labels


def renderings_of(chosen: list[cases.Case]) -> list[Rendering]:
    """All images of these cases in the order in which the critic sees them."""
    return [r for case in chosen for r in ([case.source] if case.source else []) + [case.rendering]]


def patches(rendering: Rendering, rng: random.Random) -> torch.Tensor:
    """A drawn rendering as the model's input: [36, 3*2*16*16]."""
    image = draw(rendering, rng.choice(DRAWN_SIDES), rng.getrandbits(32))
    return pixel_values(from_pil(image), PREPROCESSING)[0]


class VisionLoss:
    """Image tokens should be close to the words for what they show.

    The readout is the model's own output head, so that whatever the image tokens say can be copied from them
    as it is copied from a request. A hook on the vision tower lets a step on critiques train it as well.
    """

    def __init__(self, model, tokenizer):
        def ids(*words: str) -> list[int]:
            return [tokenizer(word, add_special_tokens=False).input_ids[0] for word in words]

        # the words to choose from, in the order of `true_choices`: three for each position, then the rest
        self.per_position = [
            ids(*(f" {color}" for color in COLORS), " nothing"),
            ids(*(f" {shape}" for shape in SHAPES)),
            ids(*(f" {size}" for size in SIZES)),
        ]
        self.global_choices = [ids(" clean", " noisy"), ids(" sharp", " blurred")]
        self.cut = ids(" whole", " cut")
        self.below = [ids(*WORDS, " no"), ids(" reads", " broken")]
        self.model, self.image_tokens = model, torch.empty(0)
        multiply_patches(model.model.visual.patch_embed)
        model.model.visual.register_forward_hook(self._keep_output)

    def _keep_output(self, _module, _inputs, out) -> None:
        self.image_tokens = out.pooler_output if hasattr(out, "pooler_output") else out[0]

    def on_images(self, renderings: list[Rendering], rng: random.Random) -> torch.Tensor:
        """The loss on images alone."""
        grid = torch.tensor([GRID] * len(renderings))
        self.model.model.visual(torch.cat([patches(r, rng) for r in renderings]), grid_thw=grid)
        return self.loss(renderings)

    def loss(self, renderings: list[Rendering]) -> torch.Tensor:
        """Of the images that the vision tower saw last: nats per image, summed over all choices."""
        side = SIDE // 32
        tokens = self.image_tokens.reshape(len(renderings), side, side, -1)  # one column per position
        columns = [tokens[:, :, position].mean(1) for position in range(side)]
        truth = iter(torch.tensor([true_choices(rendering) for rendering in renderings]).T)
        choices = [(column, words, next(truth)) for column in columns for words in self.per_position]
        choices += [(tokens.mean((1, 2)), words, next(truth)) for words in self.global_choices]
        cut = next(truth)
        choices += [(column, self.cut, (cut == index).long()) for index, column in enumerate(columns)]
        choices += [(tokens[:, -1].mean(1), words, next(truth)) for words in self.below]
        # summed, because a mean over ignored labels alone would be NaN
        head = self.model.lm_head.weight
        losses = [
            F.cross_entropy(features @ head[words].T, target, ignore_index=IGNORED, reduction="sum")
            for features, words, target in choices
        ]
        return sum(losses, torch.zeros(())) / len(renderings)


def true_choices(rendering: Rendering) -> list[int]:
    """The right words in `VisionLoss`, as indices; IGNORED where there is nothing to read."""
    truth = []
    for figure in rendering.scene.figures:
        if figure is None:
            truth += [len(COLORS), IGNORED, IGNORED]
        else:
            truth += [list(COLORS).index(figure.color), SHAPES.index(figure.shape), SIZES.index(figure.size)]
    word = WORDS.index(rendering.scene.word) if rendering.scene.word else len(WORDS)
    cut = POSITIONS.index(rendering.cut) if rendering.cut else len(POSITIONS)
    broken = int(rendering.broken_letters) if rendering.scene.word else IGNORED
    return truth + [int(rendering.noisy), int(rendering.blurred), cut, word, broken]


def answer_loss(model, batch: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy over the answers, in nats per token, with logits computed only there."""
    if "mm_token_type_ids" in inspect.signature(model.model.forward).parameters:
        batch["mm_token_type_ids"] = (batch["input_ids"] == model.config.image_token_id).int()
    hidden = model.model(**batch, use_cache=False).last_hidden_state[:, :-1]
    answer = labels[:, 1:] != IGNORED
    return F.cross_entropy(model.lm_head(hidden[answer]), labels[:, 1:][answer])


def multiply_patches(patch_embed: nn.Module) -> None:
    """Let the patch embedding multiply matrices instead of convolving: the same numbers, and on a CPU the
    backward pass of this convolution alone takes a third of a step."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return F.linear(patches.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)

    patch_embed.forward = types.MethodType(forward, patch_embed)
