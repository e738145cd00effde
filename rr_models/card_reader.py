"""Works out what a Python function would return, by reading its syntax tree. Nothing is run.

Follows assignments, loops over known values, conditions and helper functions; card_expressions.py reads what
stands in them. Where a condition is not known, both ways are followed.
"""

from __future__ import annotations

import ast
import copy
from collections import ChainMap

from .card_expressions import Expressions, Function
from .card_values import Budget, Opaque, TooMuch, Unreadable, containers, pictures

_DEPTH = 8  # of calls
_PATHS = 32
_MISREAD = (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, ValueError)


class _Returned(Exception):
    def __init__(self, value: object):
        self.value = value


class _Broke(Exception):
    pass


class _Continued(Exception):
    pass


class _Raised(Exception):
    """The function itself would raise here."""


class Module:
    """The names that the code of a card leaves behind, block after block as in a notebook."""

    def __init__(self):
        self.names: ChainMap = ChainMap({})
        self.reader = _Reader(self.names, Budget())

    def add(self, tree: ast.Module) -> None:
        """Read the statements of one block. What a statement sets or may change is not known if it cannot
        be read. Loops are not followed: here they belong to examples of use."""
        for node in tree.body:
            try:
                if isinstance(node, (ast.For, ast.While)):
                    raise Unreadable("a loop outside of functions")
                self.reader.statement(node)
            except (_Raised, _Returned, _Broke, _Continued, *_MISREAD):
                for name in (inner for inner in ast.walk(node) if isinstance(inner, ast.Name)):
                    kept = isinstance(self.names.get(name.id), (str, int, Function, Opaque))
                    if not (kept and isinstance(name.ctx, ast.Load)):
                        self.names[name.id] = Opaque()

    def results(self, name: str, arguments: dict[str, object], budget: Budget) -> list:
        """What a function may return for these arguments, over all that is not known; an argument that is
        left out has its default. Unreadable says why that cannot be told."""
        function, plan, found = self.names[name], [], []
        frozen = {id(container) for container in containers(self.names)}
        for _ in range(_PATHS):
            reader = _Reader(self.names, budget, plan, frozen)
            try:
                found.append(reader.call(function, [], copy.deepcopy(arguments)))
            except _Raised:
                pass
            except _MISREAD as error:
                raise _unreadable(error, reader.line) from error
            while plan and plan[-1]:
                plan.pop()
            if not plan:
                return found
            plan[-1] = True
        raise Unreadable("it depends on too much that is not known without running it")


def _unreadable(error: Exception, line: int) -> Unreadable:
    if isinstance(error, RecursionError):
        error = Unreadable("it is nested too deeply")
    why = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {str(error)[:80]}"
    return Unreadable(f"line {line}: {why}" if line else why)


class _Reader(Expressions):
    """Follows statements. `line` is where it is."""

    def __init__(self, *args):
        super().__init__(*args)
        self.depth = self.line = 0

    def statement(self, node: ast.stmt) -> None:
        self.line = node.lineno
        self.value(node)

    def block(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self.statement(node)

    def _Expr(self, node):
        self.value(node.value)

    def _Pass(self, node):
        pass

    _Assert = _Pass

    def _Assign(self, node):
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def _AnnAssign(self, node):
        if node.value is not None:
            self.assign(node.target, self.value(node.value))

    def _AugAssign(self, node):
        old, new = self.value(node.target), self.value(node.value)
        if isinstance(old, list):
            if not isinstance(node.op, ast.Add):
                raise Unreadable("a list is changed in a way that is not understood")
            self.list_method(old, "extend", [new])
        else:
            self.assign(node.target, self.combine(node.op, old, new))

    def _If(self, node):
        self.block(node.body if self.holds(node.test) else node.orelse)

    def _For(self, node):
        for item in self.items(self.value(node.iter)):
            self.assign(node.target, item)
            try:
                self.block(node.body)
            except _Broke:
                return
            except _Continued:
                continue
        self.block(node.orelse)

    def _While(self, node):
        while self.holds(node.test):
            try:
                self.block(node.body)
            except _Broke:
                return
            except _Continued:
                continue
        self.block(node.orelse)

    def _Try(self, node):
        # an error in it would lead into a handler: then nothing is known of it
        try:
            self.block([*node.body, *node.orelse])
        except _Raised as error:
            raise Unreadable("an error is raised and caught") from error
        finally:
            self.block(node.finalbody)

    def _With(self, node):
        for item in node.items:
            value = self.value(item.context_expr)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, Opaque(images=pictures(value)))
        self.block(node.body)

    def _Return(self, node):
        raise _Returned(None if node.value is None else self.value(node.value))

    def _Break(self, node):
        raise _Broke

    def _Continue(self, node):
        raise _Continued

    def _Raise(self, node):
        raise _Raised

    def _FunctionDef(self, node):
        known = not node.decorator_list and not any(
            isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in ast.walk(node)
        )
        self.names[node.name] = Function(node, self.names) if known else Opaque()

    def _AsyncFunctionDef(self, node):
        self.names[node.name] = Opaque()

    _ClassDef = _AsyncFunctionDef

    def _Import(self, node):
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.split(".")[0]
            self.names[alias.asname or name] = Opaque(name)

    def _ImportFrom(self, node):
        for alias in node.names:
            self.names[alias.asname or alias.name] = Opaque(f"{node.module}.{alias.name}")

    def helper(self, function: Function, args: list, names: dict) -> object:
        """A function of the card's own. Its value is not known if it cannot be read and changed nothing."""
        before, line = self.changes, self.line
        try:
            return self.call(function, args, names)
        except TooMuch:
            raise
        except (Unreadable, *_MISREAD) as error:
            if self.changes != before or isinstance(error, RecursionError):
                raise
            self.line = line
            return self.unknown(getattr(function.node, "name", "a lambda"), [*args, *names.values()])

    def call(self, function: Function, args: list, names: dict) -> object:
        outer = self.names
        self.names, self.depth = function.names.new_child(), self.depth + 1
        try:
            if self.depth > _DEPTH:
                raise Unreadable("calls are nested too deeply")
            self.parameters(function.node.args, args, names)
            if isinstance(function.node, ast.Lambda):
                return self.value(function.node.body)
            self.block(function.node.body)
        except _Returned as returned:
            return returned.value
        finally:
            self.names, self.depth = outer, self.depth - 1
        return None

    def parameters(self, node: ast.arguments, args: list, names: dict) -> None:
        positional = [*node.posonlyargs, *node.args]
        given = dict(zip((one.arg for one in positional), args, strict=False))
        if len(args) > len(given) and not node.vararg or given.keys() & names.keys():
            raise Unreadable("a function is called with arguments that it does not take")
        if node.vararg:
            given[node.vararg.arg] = tuple(args[len(positional) :])
        given |= names
        last = positional[len(positional) - len(node.defaults) :]
        defaults = {one.arg: value for one, value in zip(last, node.defaults, strict=True)}
        defaults |= {
            one.arg: value for one, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if value
        }
        own = [one.arg for one in (*positional, *node.kwonlyargs)]
        for name in own:
            if name not in given and name not in defaults:
                raise Unreadable(f"the argument {name!r} is not known")
            self.names[name] = given.pop(name) if name in given else self.value(defaults[name])
        if node.vararg:
            self.names[node.vararg.arg] = given.pop(node.vararg.arg)
        if given and not node.kwarg:
            raise Unreadable("a function is called with arguments that it does not take")
        if node.kwarg:
            self.names[node.kwarg.arg] = given
