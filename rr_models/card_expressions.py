"""Works out the values of Python expressions by reading their syntax trees. Nothing is run.

Understood are texts, lists and dicts, how they are joined, formatted and split, and a few functions of the
standard library. A call of anything else makes a value that is not known.
"""

from __future__ import annotations

import ast
import operator
import re
from collections import ChainMap
from dataclasses import dataclass

from .card_library import LIBRARY
from .card_values import (
    SIGNS,
    Budget,
    Opaque,
    Unreadable,
    equal,
    formatted,
    join,
    percent,
    pictures,
    text_method,
    truth,
    within,
)

_LARGEST = 10**9
_NUMBERS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_REFUSED = ("exec", "eval", "compile", "globals", "locals", "vars", "setattr", "delattr", "__import__")
_NO_SIGNS = re.compile("[\U000f0000-\U000f00ff\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class Function:
    """A function of the card, and the names around it."""

    node: ast.FunctionDef | ast.Lambda
    names: ChainMap

    def __deepcopy__(self, memo: dict) -> Function:
        return self


class Expressions:
    """Values of expressions. `plan` holds which way to go at each unknown condition and grows with new ones;
    without a plan they are unreadable. `frozen` are ids of the containers that nothing may change."""

    def __init__(self, names: ChainMap, budget: Budget, plan: list[bool] | None = None, frozen=frozenset()):
        self.names, self.budget, self.plan, self.frozen = names, budget, plan, frozen
        self.taken = self.changes = 0

    def value(self, node: ast.AST) -> object:
        """What an expression is; a statement is carried out by the same way."""
        self.budget.step()
        visitor = getattr(self, f"_{type(node).__name__}", None)
        if visitor is None:
            raise Unreadable(f"{type(node).__name__} is not understood")
        return visitor(node)

    def helper(self, function: Function, args: list, names: dict) -> object:
        """What a function of the card returns."""
        raise NotImplementedError

    # names and places

    def assign(self, target: ast.expr, value: object) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Subscript):
            container, key = self.value(target.value), self.value(target.slice)
            if not isinstance(container, (list, dict)) or isinstance(key, Opaque):
                raise Unreadable("something is put into a place that is not known")
            self.change(container)
            container[key] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            self.unpack(target.elts, value)
        else:
            raise Unreadable("something is put into a place that is not understood")

    def unpack(self, targets: list[ast.expr], value: object) -> None:
        if isinstance(value, Opaque):
            values = [Opaque(images=value.images)] * len(targets)
        else:
            values = self.items(value)
            star = next((n for n, one in enumerate(targets) if isinstance(one, ast.Starred)), None)
            if star is not None:
                end = len(values) - (len(targets) - star - 1)
                values[star:end] = [values[star:end]]
                targets = [one.value if isinstance(one, ast.Starred) else one for one in targets]
        if len(values) != len(targets):
            raise Unreadable(f"{len(values)} values are put into {len(targets)} names")
        for target, one in zip(targets, values, strict=True):
            self.assign(target, one)

    def change(self, container: list | dict) -> None:
        if id(container) in self.frozen:
            raise Unreadable("a list or dict of the whole module is changed")
        self.changes += 1
        self.budget.take(1)

    def items(self, value: object) -> list:
        if not isinstance(value, (list, tuple, dict)):
            raise Unreadable("it goes through something whose parts are not known")
        self.budget.take(len(value))
        return list(value)

    def holds(self, node: ast.expr) -> bool:
        return self.decide(truth(self.value(node)))

    def decide(self, known: bool | None) -> bool:
        if known is not None:
            return known
        if self.plan is None:
            raise Unreadable("a condition is not known")
        if self.taken == len(self.plan):
            self.plan.append(False)
        self.taken += 1
        return self.plan[self.taken - 1]

    # expressions

    def _Constant(self, node):
        value = node.value
        if isinstance(value, str):
            if _NO_SIGNS.search(value):
                raise Unreadable("a text holds a sign of the private use area, or half a sign")
            return value
        return value if isinstance(value, (int, float, type(None))) else Opaque()

    def _Name(self, node):
        return self.names.get(node.id, Opaque(node.id))

    def _JoinedStr(self, node):
        return join(self.budget, list(map(self.value, node.values)))

    def _FormattedValue(self, node):
        spec = self.value(node.format_spec) if node.format_spec else ""
        conversion = chr(node.conversion) if node.conversion > 0 else None
        return formatted(self.value(node.value), spec, conversion)

    def _BinOp(self, node):
        chain = [node]  # of a + b + c ..., which may be long, without going deeper for each
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        value = self.value(chain[-1].left)
        for one in reversed(chain):
            value = self.combine(one.op, value, self.value(one.right))
        return value

    def combine(self, sign: ast.operator, a: object, b: object) -> object:
        self.budget.step()
        add, times = isinstance(sign, ast.Add), isinstance(sign, ast.Mult)
        if times and isinstance(a, int):
            a, b = b, a
        if isinstance(a, str) and isinstance(sign, ast.Mod):
            return percent(self.budget, a, b)
        if times and isinstance(a, (str, list, tuple)) and isinstance(b, int):
            self.budget.take(len(a) * max(b, 0))
            return a * b
        if (
            add
            and isinstance(a, (str, Opaque))
            and isinstance(b, (str, Opaque))
            and str in (type(a), type(b))
        ):
            return join(self.budget, [a, b])
        if add and isinstance(a, (list, tuple)) and type(a) is type(b):
            self.budget.take(len(a) + len(b))
            return a + b
        for value in (a, b):
            if isinstance(value, (list, tuple, dict)):
                raise Unreadable(f"{type(sign).__name__} with a {type(value).__name__} is not understood")
        if type(sign) in _NUMBERS and all(
            isinstance(value, int) and abs(value) < _LARGEST for value in (a, b)
        ):
            return _NUMBERS[type(sign)](a, b)
        return Opaque(images=pictures(a) | pictures(b))

    def _UnaryOp(self, node):
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            known = truth(value)
            return Opaque() if known is None else not known
        return -value if isinstance(node.op, ast.USub) and isinstance(value, (int, float)) else Opaque()

    def _BoolOp(self, node):
        for operand in node.values:
            value = self.value(operand)
            if operand is not node.values[-1] and self.decide(truth(value)) == isinstance(node.op, ast.Or):
                break
        return value

    def _NamedExpr(self, node):
        value = self.value(node.value)
        self.assign(node.target, value)
        return value

    def _IfExp(self, node):
        return self.value(node.body if self.holds(node.test) else node.orelse)

    def _Compare(self, node):
        left = self.value(node.left)
        for sign, operand in zip(node.ops, node.comparators, strict=True):
            right = self.value(operand)
            if isinstance(right, (str, list, tuple, dict)):
                self.budget.take(len(right) if isinstance(right, str) else 20 * len(right))
            known = _compared(sign, left, right)
            if known is not True:
                return Opaque() if known is None else False
            left = right
        return True

    def _List(self, node):
        return self.elements(node.elts)

    def _Tuple(self, node):
        return tuple(self.elements(node.elts))

    def elements(self, nodes: list[ast.expr]) -> list:
        found = []
        for node in nodes:
            found += (
                self.items(self.value(node.value)) if isinstance(node, ast.Starred) else [self.value(node)]
            )
        return found

    def _Dict(self, node):
        found = {}
        for key, value in zip(node.keys, node.values, strict=True):
            found.update({self.value(key): self.value(value)} if key else self.known_dict(self.value(value)))
        return found

    def known_dict(self, value: object) -> dict:
        if not isinstance(value, dict):
            raise Unreadable("** stands before something that is not known")
        self.budget.take(len(value))
        return value

    def _Subscript(self, node):
        value, key = self.value(node.value), self.value(node.slice)
        if isinstance(key, slice) and isinstance(value, (list, tuple)):
            return type(value)(self.items(value)[key])
        if isinstance(value, (list, tuple, dict)) and not isinstance(key, Opaque):
            return value[key]
        if isinstance(value, str) and not SIGNS.search(value) and isinstance(key, (int, slice)):
            return value[key]
        return Opaque(images=pictures(value))

    def _Slice(self, node):
        bounds = [one and self.value(one) for one in (node.lower, node.upper, node.step)]
        if not all(one is None or isinstance(one, int) for one in bounds):
            return Opaque()
        return slice(*bounds)

    def _Attribute(self, node):
        return self.attribute(self.value(node.value), node.attr)

    def attribute(self, value: object, name: str) -> Opaque:
        if not isinstance(value, (Opaque, str)):
            raise Unreadable(f".{name} of a {type(value).__name__} is not understood")
        dotted = f"{value.name}.{name}" if isinstance(value, Opaque) and value.name else ""
        return Opaque(dotted, pictures(value))

    def _ListComp(self, node):
        found, outer = [], self.names
        self.names = outer.new_child()
        try:
            self.comprehend(node, 0, found)
        finally:
            self.names = outer
        return found

    _GeneratorExp = _ListComp

    def comprehend(self, node: ast.ListComp, level: int, found: list) -> None:
        if level == len(node.generators):
            found.append(self.value(node.elt))
            return
        generator = node.generators[level]
        for item in self.items(self.value(generator.iter)):
            self.assign(generator.target, item)
            if all(self.holds(test) for test in generator.ifs):
                self.comprehend(node, level + 1, found)

    def _Lambda(self, node):
        return Function(node, self.names)

    # calls

    def _Call(self, node):
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        callee = self.value(node.func.value if method else node.func)
        args, names = self.elements(node.args), {}
        for keyword in node.keywords:
            value = self.value(keyword.value)
            names.update({keyword.arg: value} if keyword.arg else self.known_dict(value))
        if method and isinstance(callee, str):
            return text_method(self.budget, callee, method, args, names)
        if method and isinstance(callee, list):
            return self.list_method(callee, method, args)
        if method and isinstance(callee, dict):
            return self.dict_method(callee, method, args)
        return self.called(self.attribute(callee, method) if method else callee, args, names)

    def list_method(self, owner: list, method: str, args: list) -> object:
        if method == "copy":
            return self.items(owner)
        if method not in ("append", "extend", "insert", "pop", "reverse"):
            raise Unreadable(f".{method} of a list is not understood")
        self.change(owner)
        self.budget.take(0 if method == "append" else len(owner))
        return getattr(owner, method)(*(map(self.items, args) if method == "extend" else args))

    def dict_method(self, owner: dict, method: str, args: list) -> object:
        if method in ("keys", "values", "items"):
            self.budget.take(len(owner))
            return list(getattr(owner, method)())
        if method == "copy":
            return dict(self.known_dict(owner))
        if method == "get":
            return owner.get(*args)
        if method == "update" and len(args) == 1:
            self.change(owner)
            return owner.update(self.known_dict(args[0]))
        raise Unreadable(f".{method} of a dict is not understood")

    def called(self, callee: object, args: list, names: dict) -> object:
        """What a function returns: of the card's own, one of a few that are known, or something unknown."""
        if isinstance(callee, Function):
            return self.helper(callee, args, names)
        if not isinstance(callee, Opaque):
            raise Unreadable(f"a {type(callee).__name__} is called")
        known = None if callee.images else LIBRARY.get(callee.name)
        if known and (found := known(self, *args, **names)) is not NotImplemented:
            return found
        if callee.name in _REFUSED:
            raise Unreadable(f"{callee.name} is not understood")
        return self.unknown(callee.name, [callee, *args, *names.values()])

    def unknown(self, name: str, values: list) -> Opaque:
        inside = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
        if any(isinstance(value, (list, dict, tuple, Function)) for value in inside):
            raise Unreadable(f"a list or dict is given to {name or 'something'}, which is not known")
        return Opaque(images=frozenset().union(*map(pictures, values)))


def _compared(sign: ast.cmpop, a: object, b: object) -> bool | None:
    if isinstance(sign, (ast.Is, ast.IsNot)):
        if not (a is None or b is None) or any(isinstance(one, Opaque) and not one.given for one in (a, b)):
            return None
        return (a is b) == isinstance(sign, ast.Is)
    if type(sign) in _ORDER:
        known = all(isinstance(value, (int, float)) for value in (a, b))
        return _ORDER[type(sign)](a, b) if known else None
    known = within(a, b) if isinstance(sign, (ast.In, ast.NotIn)) else equal(a, b)
    return known if known is None or isinstance(sign, (ast.In, ast.Eq)) else not known
