"""Batched decoding: many sequences at once over one key/value cache, each with its own length.

`Engine` runs requests through the `Scheduler`; `ModelRunner` is the forward pass of the model's text half
over the `KVCache`; a program (program.py) says what one sequence may write. Nothing here knows what an answer
means.
"""
