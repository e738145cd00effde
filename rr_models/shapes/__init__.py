"""The built-in world: scenes of coloured shapes, a generator that errs in them, and the small critic that
judges them.

It exists so that a newcomer, CI and every test run the true path in seconds on a CPU. It knows shapes and
nothing else.
"""
