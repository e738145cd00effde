"""RationalRewards as a library: a critic that explains itself. Knows nothing of ComfyUI, imports nothing
heavy."""
