"""What it looks like when memory runs out, and what to do then."""

from __future__ import annotations

import torch

ROOM = "Lower max_pixels, choose a lighter precision (int8, 4-bit) in Load Critic, or set its device to cpu."
"""What to do when memory runs out."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: each kind of device has its own way to say so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    # CUDA outside of torch's allocator, and MPS; torch on the CPU
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
