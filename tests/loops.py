"""Loops around the painter and the judge of nodes_testonly, as prompts for the real core."""

from __future__ import annotations

IMAGE, CANDIDATES, FIRST, ACCEPTED, ACCEPTED_CANDIDATES, HISTORY, REPORT = range(7)
"""Places of Refine End's outputs."""
CUSTOM = {
    "seed_policy": "fixed",
    "patience": 2,
    "min_gain": 0.05,
    "refine_from": "best",
    "prompt_policy": "refined",
    "target_count": 1,
}


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def start_node(**inputs) -> dict:
    """A Refine Start whose preset is custom."""
    custom = {f"preset.{name}": inputs.pop(name, value) for name, value in CUSTOM.items()}
    defaults = {"request": "grey", "seed": 0, "rounds": 4, "threshold": 3.0, "preset": "custom"}
    return node("RationalRewardsRefineStart", **defaults | custom | inputs)


def loop(
    prefix: str = "", request: str = "grey", end: dict | None = None, packed: bool = False, **start
) -> dict:
    """Start -> painter -> judge -> End, every id with the prefix; `packed`: latents and masks come along.
    Each "brighter" lifts all scores by 0.75 from 1.75.
    """
    s, p, j, e, k = (prefix + name for name in ("start", "paint", "judge", "end", "pack"))
    pack = {k: node("RationalRewardsPackImages", image=[p, 0], latent=[p, 1], mask=[p, 2])} if packed else {}
    return {
        s: start_node(request=request, **start),
        p: node("RRTestPaint", prompt=[s, 1], seed=[s, 2], batch_size=1, fail_on=""),
        **pack,
        j: node(
            "RRTestMeasure", image=[k if packed else p, 0], request=[s, 4], prompt=[s, 1], blind_above=1.0
        ),
        e: node(
            "RationalRewardsRefineEnd",
            **{"loop": [s, 0], "image": [j, 0], "save_rounds": False, "filename_prefix": "refine"}
            | (end or {}),
        ),
    }
