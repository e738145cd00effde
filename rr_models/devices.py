"""Devices: choosing one, and recognising that it ran out of memory."""

from __future__ import annotations

import torch

from .errors import first_line


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out; each kind of device reports that differently."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    message = str(error).lower()
    # CUDA outside of torch's allocator, and MPS; torch on the CPU
    return isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message
    )


def choose_device(choice: torch.device | str) -> torch.device:
    """The device of that name, or for "auto" a GPU if there is one, else the CPU.

    Raises ValueError if torch cannot use the device.
    """
    if choice == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(choice)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device {choice!r} is not available ({first_line(error)}); use auto or cpu."
        ) from error
    return device
