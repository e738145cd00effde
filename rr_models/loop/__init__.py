"""The refine loop as a pure state machine, and its runner in plain Python."""
