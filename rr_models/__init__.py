"""RationalRewards as a library: a critic that explains itself. Knows nothing of ComfyUI, imports nothing
heavy."""

from .loop.run import best_of, refine
from .loop.settings import LoopSettings

__all__ = ["LoopSettings", "best_of", "refine"]
