"""The reference way to ask a critic: transformers' own `generate`, one by one or in a left-padded batch.

What the engine is measured against, and what its tests hold it to. Not part of the pack.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch

from rr_models.critics import Question
from rr_models.critics.local import LocalCritic
from rr_models.images import pixel_values


def inputs(critic: LocalCritic, questions: Sequence[Question]) -> dict[str, torch.Tensor]:
    """Left-padded model inputs, one row for each question."""
    layout = critic.layout
    merge = layout.preprocessing.merge_size**2
    prompts, patches, grids = [], [], []
    for question in questions:
        before, *pieces = layout.pieces(question.task, question.request, len(question.sources) or 1)
        prompt = list(before)
        for picture, piece in zip(question.pictures, pieces, strict=True):
            values, grid = pixel_values(picture, layout.preprocessing)
            prompt += [layout.picture] * (grid[1] * grid[2] // merge) + piece
            patches.append(values)
            grids.append(grid)
        prompts.append(prompt)
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), layout.pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    model = critic.model
    told = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.cat(patches).to(model.dtype),
        "image_grid_thw": torch.tensor(grids),
    }
    if "mm_token_type_ids" in inspect.signature(type(model).forward).parameters:
        told["mm_token_type_ids"] = (ids == layout.picture).int()  # transformers 5 places pictures by these
    return {name: value.to(model.device) for name, value in told.items()}


def generate(critic: LocalCritic, questions: Sequence[Question], tokens: int) -> list[list[int]]:
    """What `generate` writes greedily, without the end token: all questions in one batch."""
    told = inputs(critic, questions)
    written = critic.model.generate(**told, do_sample=False, max_new_tokens=tokens)
    ends = set(critic.model.generation_config.eos_token_id)
    answers = []
    for row in written[:, told["input_ids"].shape[1] :].tolist():
        answers.append(row[: next((at for at, token in enumerate(row) if token in ends), None)])
    return answers
