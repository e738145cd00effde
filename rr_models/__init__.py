"""RationalRewards as a library: a critic that explains itself. Knows nothing of ComfyUI, imports nothing
heavy."""

from .loop.run import best_of, refine
from .loop.settings import Settings

__all__ = ["Settings", "best_of", "refine"]
