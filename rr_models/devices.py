"""Devices: choosing one, and recognising that it ran out of memory."""

from __future__ import annotations

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: each kind of device has its own way to say so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    # CUDA outside of torch's allocator, and MPS; torch on the CPU
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def device(choice: torch.device | str) -> torch.device:
    """The device of that name, after making sure that it is there; "auto": a graphics card, else the CPU."""
    if choice == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        found = torch.device(choice)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"device: {choice!r} is not to be had here ({said}). Take auto or cpu.") from error
    return found
