"""Decoding of many answers at once over one cache, in which every row keeps its own length.

`text.py` is the forward of the model's text half, `script.py` what a row may write, `loop.py` the loop that
brings them together. Nothing here knows what an answer means.
"""
