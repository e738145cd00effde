"""The reference: transformers' own `generate`, one question at a time or in a left-padded batch.

The engine is measured against it, and its tests compare answers with it. Not part of the pack.
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

    def see(image: torch.Tensor, _=None) -> tuple[torch.Tensor, tuple[int, int, int]]:
        levels = (255.0 * image.cpu().numpy()).clip(0, 255).astype(np.uint8)
        processed = process(images=[Image.fromarray(levels)], return_tensors="pt")
        return processed["pixel_values"], tuple(processed["image_grid_thw"][0].tolist())

    return see


def settings(how: Preprocessing) -> dict:
    """The same settings as transformers names them, for example in preprocessor_config.json."""
    return {
        "patch_size": how.patch_size,
        "merge_size": how.merge_size,
        "temporal_patch_size": how.temporal_patch_size,
        "image_mean": list(how.mean),
        "image_std": list(how.std),
        "size": {"shortest_edge": how.min_pixels, "longest_edge": how.max_pixels},
    }


def inputs(critic: LocalCritic, questions: Sequence[Question], see=pixel_values) -> dict[str, torch.Tensor]:
    """Left-padded model inputs, one row for each question; `see` makes the patches of an image."""
    tokenizer, preprocessing = critic.generator.prompts, critic.preprocessing
    merge = preprocessing.merge_size**2
    prompts, patches, grids = [], [], []
    for question in questions:
        before, *pieces = tokenizer.segments(question.task, question.request, len(question.sources) or 1)
        prompt = list(before)
        for image, piece in zip(question.all_images, pieces, strict=True):
            values, grid = see(image.pixels, preprocessing)
            prompt += [tokenizer.image_token] * (grid[1] * grid[2] // merge) + piece
            patches.append(values)
            grids.append(grid)
        prompts.append(prompt)
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), critic.model.generation_config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    model = critic.model
    model_inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.cat(patches).to(model.dtype),
        "image_grid_thw": torch.tensor(grids),
    }
    if "mm_token_type_ids" in inspect.signature(type(model).forward).parameters:
        model_inputs["mm_token_type_ids"] = (
            ids == tokenizer.image_token
        ).int()  # transformers 5 derives positions from these
    return {name: value.to(model.device) for name, value in model_inputs.items()}


def generate(
    critic: LocalCritic, questions: Sequence[Question], tokens: int, processors=None, see=pixel_values
) -> list[list[int]]:
    """What `generate` writes greedily, without the end token: all questions in one batch."""
    model_inputs = inputs(critic, questions, see)
    written = critic.model.generate(
        **model_inputs, do_sample=False, max_new_tokens=tokens, logits_processor=processors
    )
    ends = set(critic.model.generation_config.eos_token_id)
    answers = []
    for row in written[:, model_inputs["input_ids"].shape[1] :].tolist():
        answers.append(row[: next((at for at, token in enumerate(row) if token in ends), None)])
    return answers
