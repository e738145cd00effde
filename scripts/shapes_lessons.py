"""What the Shapes critic is taught: cases as pictures, token sequences, losses (train_shapes_critic.py)."""

from __future__ import annotations

import inspect
import random

import numpy as np
import torch
import torch.nn.functional as F

from rr_models import rubric
from rr_models.shapes import cases
from rr_models.shapes.draw import draw
from rr_models.shapes.world import COLORS, PLACES, SHAPES, SIZES, WORDS

SIDE = 96  # pixels that the critic sees, 3 x 3 image tokens


class Writer:
    """Turns cases into token sequences with positions, pictures and the part to be learned."""

    def __init__(self, tokenizer):
        self.ids = lambda text: tokenizer(text, add_special_tokens=False).input_ids
        self.template = lambda messages: tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        token = tokenizer.convert_tokens_to_ids
        self.image, self.image_end, self.turn = (
            token("<|image_pad|>"),
            token("<|vision_end|>"),
            token("<|im_start|>"),
        )
        self.end = token("<|im_end|>")

    def sequence(
        self, case: cases.Case, kind: str, rng: random.Random
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """ids [L], positions [3, L] and where the answer begins."""
        before, *rest = self.template(rubric.messages(case.task, case.request)).split("<|image_pad|>")
        prompt = self.ids(before)
        for part in rest:
            prompt += [self.image] * (SIDE // 32) ** 2 + self.ids(part)
        answer = self.ids(answer_to(case, kind)) + [self.end]
        ids, positions = torch.tensor(prompt + answer), positions_of(prompt + answer, self.image)
        keep = torch.ones(len(ids), dtype=torch.bool)
        if kind != "prompt":
            second_turn = prompt.index(self.turn, 1)
            last_image = len(prompt) - prompt[::-1].index(self.image_end)
            last_turn = len(prompt) - prompt[::-1].index(self.turn) - 1
            keep[:second_turn] = kind == "part" and rng.random() < 0.3
            keep[last_image:last_turn] = False
            first_image = prompt.index(self.image) - 1
            if kind == "look":
                keep[second_turn:first_image] = False
            if kind == "read":
                keep[first_image:last_image] = False
            if kind == "part":
                begin = rng.randrange(last_image, last_turn)
                keep[begin : min(last_turn, begin + rng.randrange(160))] = True
        return ids[keep], positions[:, keep], int(keep[: len(prompt)].sum())

    def batch(self, rng: random.Random, kind: str, count: int) -> dict:
        """Model inputs for `count` new cases, padded on the right, with labels on the answers only."""
        tasks = ("t2i",) if kind == "read" else cases.TASKS
        chosen = [cases.case(rng, rng.choice(tasks), test=False) for _ in range(count)]
        made = [self.sequence(case, kind, rng) for case in chosen]
        length = max(len(ids) for ids, _, _ in made)
        inputs = torch.zeros(count, length, dtype=torch.long)
        labels = torch.full((count, length), -100)
        positions = torch.zeros(3, count, length, dtype=torch.long)
        for row, (ids, where, start) in enumerate(made):
            inputs[row, : len(ids)] = ids
            labels[row, start : len(ids)] = ids[start:]
            positions[:, row, : len(ids)] = where
        # right padding is never seen under causal attention, so no mask is needed; saying "all real" keeps
        # transformers from reading the gaps in the positions as borders between packed sequences
        batch = {"input_ids": inputs, "position_ids": positions, "attention_mask": torch.ones_like(inputs)}
        if kind != "read":
            shown = [p for case in chosen for p in ([case.source] if case.source else []) + [case.picture]]
            batch["pixel_values"] = torch.cat([patches(p, rng) for p in shown])
            batch["image_grid_thw"] = torch.tensor([[1, SIDE // 16, SIDE // 16]] * len(shown))
        return batch | {"labels": labels}


def answer_to(case: cases.Case, kind: str) -> str:
    """What is to be learned by heart in this lesson."""
    if kind == "look":
        return seen(case)
    whole = case.truth.to_text()
    return whole.partition("# Detailed")[0] if kind == "read" else whole


def seen(case: cases.Case) -> str:
    """What is in the picture, without any judgement."""
    scene = case.picture.scene
    said = [
        f"{place.capitalize()}: {thing or 'nothing'}."
        for place, thing in zip(PLACES, scene.things, strict=True)
    ]
    said.append(case.truth.aspect("physical_quality").justification)
    letters = "broken" if case.picture.broken_letters else scene.word
    return " ".join(said) + f' The word reads "{letters}".' * bool(letters)


def positions_of(ids: list[int], image: int) -> torch.Tensor:
    """Qwen3-VL's positions [3, L]: text counts on by one; an image holds its start in time and spreads over
    rows and columns, and counting goes on behind its longer side."""
    side, at, i, parts = SIDE // 32, 0, 0, []
    square = torch.stack(
        [
            torch.zeros(side * side, dtype=torch.long),
            torch.arange(side).repeat_interleave(side),
            torch.arange(side).repeat(side),
        ]
    )
    while i < len(ids):
        if ids[i] == image:
            parts.append(square + at)
            i, at = i + side * side, at + side
        else:
            parts.append(torch.full((3, 1), at))
            i, at = i + 1, at + 1
    return torch.cat(parts, 1)


def patches(picture, rng: random.Random) -> torch.Tensor:
    """A drawn picture as the model takes it: [36, 3*2*16*16], in the order in which 2 x 2 patches merge."""
    image = draw(picture, rng.choice((96, 128, 256)), rng.getrandbits(32))
    if image.width != SIDE:
        image = image.resize((SIDE, SIDE), 3)  # bicubic
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1
    n = SIDE // 32
    x = x.reshape(3, n, 2, 16, n, 2, 16).permute(1, 4, 2, 5, 0, 3, 6).reshape(4 * n * n, 3, 1, 16, 16)
    return x.expand(-1, -1, 2, -1, -1).reshape(4 * n * n, -1)


def answer_loss(model, batch: dict) -> torch.Tensor:
    """Cross entropy over the answers, with logits computed only there."""
    labels = batch.pop("labels")
    if "mm_token_type_ids" in inspect.signature(model.model.forward).parameters:
        batch["mm_token_type_ids"] = (batch["input_ids"] == model.config.image_token_id).int()
    hidden = model.model(**batch, use_cache=False).last_hidden_state[:, :-1]
    learned = labels[:, 1:] != -100
    return F.cross_entropy(model.lm_head(hidden[learned]), labels[:, 1:][learned])


class Eyes:
    """The lesson without sentences: picture tokens should lie close to the words for what they show.

    The readers are the model's own output words, so whatever the tokens say can be copied from them as it is
    copied from a request.
    """

    def __init__(self, tokenizer):
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
        self.below = [ids(*WORDS, " clean"), ids(" reads", " broken")]

    def loss(self, model, rng: random.Random, count: int) -> torch.Tensor:
        pictures = [cases.case(rng, rng.choice(cases.TASKS), test=False).picture for _ in range(count)]
        grid = torch.tensor([[1, SIDE // 16, SIDE // 16]] * count)
        out = model.model.visual(torch.cat([patches(p, rng) for p in pictures]), grid_thw=grid)
        tokens = out.pooler_output if hasattr(out, "pooler_output") else out[0]
        side = SIDE // 32
        tokens = tokens.reshape(count, side, side, -1)  # rows, columns; one column for each place
        columns = [tokens[:, :, place].mean(1) for place in range(side)]
        truth = iter(torch.tensor([true_choices(p) for p in pictures]).T)
        asked = [(column, words, next(truth)) for column in columns for words in self.of_a_place]
        asked += [(tokens.mean((1, 2)), words, next(truth)) for words in self.everywhere]
        cut = next(truth)
        asked += [(column, self.cut, (cut == place).long()) for place, column in enumerate(columns)]
        asked += [(tokens[:, -1].mean(1), words, next(truth)) for words in self.below]
        # -100: there is nothing to be read. Summed, because a mean over nothing would be no number.
        return (
            sum(
                F.cross_entropy(
                    seen @ model.lm_head.weight[words].T, goal, ignore_index=-100, reduction="sum"
                )
                for seen, words, goal in asked
            )
            / count
        )


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
