"""RationalRewards as a library: a critic that explains itself. Knows nothing of ComfyUI, imports nothing
heavy."""

from .loop_settings import Settings
from .refining import best_of, refine

__all__ = ["Settings", "best_of", "refine"]
