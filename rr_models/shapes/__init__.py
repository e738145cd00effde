"""The built-in demo world: scenes of coloured shapes, a generator that makes mistakes in them, and the small
critic that judges them.

It lets a newcomer, CI and every test run the real code path in seconds on a CPU. It knows shapes and nothing
else.
"""
