"""The reference way to ask a critic: transformers' own `generate`, one by one or in a left-padded batch.

What the engine is measured against, and what its tests hold it to. Not part of the pack.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from rr_models.critics.base import Question
from rr_models.critics.local import LocalCritic
from rr_models.images import Preprocessing, pixel_values


def processor(how: Preprocessing):
    """Transformers' own image processor, as a function like `pixel_values`."""
    try:  # transformers 5; in 4.57 the class of this name is the one without torchvision
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil as ImageProcessor,
        )
    except ImportError:
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import (
            Qwen2VLImageProcessor as ImageProcessor,
        )
    process = ImageProcessor(**settings(how))

    def see(picture: torch.Tensor, _=None) -> tuple[torch.Tensor, tuple[int, int, int]]:
        levels = (255.0 * picture.cpu().numpy()).clip(0, 255).astype(np.uint8)
        found = process(images=[Image.fromarray(levels)], return_tensors="pt")
        return found["pixel_values"], tuple(found["image_grid_thw"][0].tolist())

    return see


def settings(how: Preprocessing) -> dict:
    """The same as transformers writes it, in preprocessor_config.json too."""
    return {
        "patch_size": how.patch_size,
        "merge_size": how.merge_size,
        "temporal_patch_size": how.temporal_patch_size,
        "image_mean": list(how.mean),
        "image_std": list(how.std),
        "size": {"shortest_edge": how.min_pixels, "longest_edge": how.max_pixels},
    }


def inputs(critic: LocalCritic, questions: Sequence[Question], see=pixel_values) -> dict[str, torch.Tensor]:
    """Left-padded model inputs, one row for each question; `see` makes the patches of a picture."""
    layout = critic.layout
    merge = layout.preprocessing.merge_size**2
    prompts, patches, grids = [], [], []
    for question in questions:
        before, *pieces = layout.pieces(question.task, question.request, len(question.sources) or 1)
        prompt = list(before)
        for picture, piece in zip(question.pictures, pieces, strict=True):
            values, grid = see(picture, layout.preprocessing)
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


def generate(
    critic: LocalCritic, questions: Sequence[Question], tokens: int, processors=None, see=pixel_values
) -> list[list[int]]:
    """What `generate` writes greedily, without the end token: all questions in one batch."""
    told = inputs(critic, questions, see)
    written = critic.model.generate(
        **told, do_sample=False, max_new_tokens=tokens, logits_processor=processors
    )
    ends = set(critic.model.generation_config.eos_token_id)
    answers = []
    for row in written[:, told["input_ids"].shape[1] :].tolist():
        answers.append(row[: next((at for at, token in enumerate(row) if token in ends), None)])
    return answers
