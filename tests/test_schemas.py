"""Nodes keep the sockets that saved workflows and programs rely on."""

from __future__ import annotations

import copy
import json

import freeze_schemas
import pytest


def lost(frozen: dict, now: dict) -> list[str]:
    """What no longer fits, in words: an empty list if workflows made for `frozen` still work."""
    found = [f"{node} is gone" for node in frozen.keys() - now.keys()]
    for node in frozen.keys() & now.keys():
        before, after = frozen[node], now[node]
        for name, socket in before["inputs"].items():
            new = after["inputs"].get(name)
            if new is None or new["type"] != socket["type"] or (socket["optional"] and not new["optional"]):
                found.append(f"{node}: input {name} was {socket} and is {new}")
            elif missing := set(socket.get("options", ())) - set(new.get("options", ())):
                found.append(f"{node}: input {name} has lost {sorted(missing)}")
        added = after["inputs"].keys() - before["inputs"].keys()
        required = [name for name in added if not after["inputs"][name]["optional"] and "." not in name]
        found += [f"{node}: the new input {name} is required" for name in required]
        if after["outputs"][: len(before["outputs"])] != before["outputs"]:
            found.append(f"{node}: outputs were {before['outputs']} and are {after['outputs']}")
    return found


@pytest.fixture
def now(comfy_core) -> dict:
    classes = comfy_core.nodes.NODE_CLASS_MAPPINGS
    return freeze_schemas.describe(
        {name: node for name, node in classes.items() if name.startswith("RationalRewards")}
    )


def test_no_socket_is_lost(now):
    frozen = json.loads(freeze_schemas.FILE.read_text("utf-8"))
    assert not lost(frozen, now), "before the first published version, run scripts/freeze_schemas.py"
    assert frozen == now, "a socket is new: run scripts/freeze_schemas.py"


GATE = "RationalRewardsGate"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one["inputs"].pop("threshold"), "input threshold was"),
        (lambda one: one["inputs"]["min_overall"].update(optional=False), "input min_overall was"),
        (lambda one: one["inputs"]["threshold"].update(type="INT"), "input threshold was"),
        (lambda one: one["inputs"]["on_fail"]["options"].remove("block"), "has lost ['block']"),
        (lambda one: one["inputs"].update(new={"type": "INT", "optional": False}), "new is required"),
        (lambda one: one["outputs"].insert(0, ["new", "INT"]), "outputs were"),
    ],
)
def test_every_loss_is_found(now, change, said):
    changed = copy.deepcopy(now)
    change(changed[GATE])
    (found,) = lost(now, changed)
    assert said in found
    changed = copy.deepcopy(now)
    changed[GATE]["inputs"]["new"] = {"type": "INT", "optional": True}
    changed[GATE]["outputs"].append(["new", "INT"])
    assert not lost(now, changed)
