"""Loops around the painter and the judge of nodes_testonly, as prompts for the real core."""

from __future__ import annotations

IMAGE, LATENT, MASK, PROMPT, SEED, CRITIQUES, HISTORY, REPORT, ACCEPTED = range(9)
"""Places of Refine End's outputs."""


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def loop(prefix: str = "", request: str = "grey", end: dict | None = None, **start) -> dict:
    """Start -> painter -> judge -> End, every id with the prefix. Each "brighter" lifts all scores by 0.75
    from 1.75.
    """
    s, p, j, e = (prefix + name for name in ("start", "paint", "judge", "end"))
    return {
        s: node(
            "RationalRewardsRefineStart",
            **{
                "request": request,
                "seed": 0,
                "rounds": 4,
                "threshold": 3.0,
                "seed_policy": "fixed",
                "patience": 2,
                "min_gain": 0.05,
                "refine_from": "best",
            }
            | start,
        ),
        p: node("RRTestPaint", prompt=[s, 1], seed=[s, 2], batch_size=1, fail_on=""),
        j: node("RRTestMeasure", image=[p, 0], request=[s, 4], prompt=[s, 1], blind_above=1.0),
        e: node(
            "RationalRewardsRefineEnd",
            **{
                "loop": [s, 0],
                "image": [p, 0],
                "critiques": [j, 0],
                "save_rounds": False,
                "filename_prefix": "refine",
            }
            | (end or {}),
        ),
    }
