"""The loops of a function: which module a loop variable is, which argument it is an element of, and how often it goes round."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from gradcheck_health.inputs.static.expressions import resolve
from gradcheck_health.inputs.static.reorderings import Step


@dataclass(slots=True)
class Loops:
    """Loop variables by name."""

    modules: dict[str, nn.Module] = field(default_factory=dict)
    """Those that go over a list of modules: its first one."""
    counters: dict[str, int] = field(default_factory=dict)
    """Those that count, and how far; 0 where the source does not say."""
    elements: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    """Those that are an element of the argument, beside the modules of a list."""


def loops_of(function: ast.FunctionDef, module: nn.Module, argument: str) -> Loops:
    """Every `for` of the function, comprehensions included, outer ones first."""
    found = Loops(elements={argument: ()})
    for node in ast.walk(function):
        if isinstance(node, ast.For | ast.comprehension):
            _take(node.target, node.iter, module, found)
    del found.elements[argument]
    return found


def _take(target: ast.expr, over: ast.expr, module: nn.Module, found: Loops) -> None:
    name = over.func.id if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) else ""
    arguments = over.args if isinstance(over, ast.Call) else []
    if name == "range" and isinstance(target, ast.Name):
        found.counters[target.id] = _count(arguments[-1], module, found) if len(arguments) == 1 else 0
    elif name == "enumerate" and arguments and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        if isinstance(target.elts[0], ast.Name):
            found.counters[target.elts[0].id] = len(_modules(arguments[0], module, found) or ())
        _take(target.elts[1], arguments[0], module, found)
    elif name == "zip" and isinstance(target, ast.Tuple):
        count = max((len(_modules(part, module, found) or ()) for part in arguments), default=0)
        for one, part in zip(target.elts, arguments, strict=False):
            steps = found.elements.get(part.id) if isinstance(part, ast.Name) else None
            if steps is not None and count and isinstance(one, ast.Name):
                found.elements[one.id] = (*steps, Step("element", (count,)))
            _take(one, part, module, found)
    elif isinstance(target, ast.Name) and (steps := _unbound(over, found)) is not None:
        found.elements[target.id] = steps
    elif isinstance(target, ast.Name) and (listed := _modules(over, module, found)):
        found.modules.setdefault(target.id, next(iter(listed)))


def _unbound(over: ast.expr, found: Loops) -> tuple[Step, ...] | None:
    """`x.unbind(1)` gives one entry after the other along an axis."""
    if not (isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and over.func.attr == "unbind"):
        return None
    given = list(over.args)
    held = (
        given.pop(0) if isinstance(over.func.value, ast.Name) and over.func.value.id == "torch" and given else over.func.value
    )
    axis = given[0] if given else next((word.value for word in over.keywords if word.arg == "dim"), ast.Constant(0))
    steps = found.elements.get(held.id) if isinstance(held, ast.Name) else None
    if steps is None or not isinstance(axis, ast.Constant) or not isinstance(axis.value, int) or axis.value < 0:
        return None
    return (*steps, Step("taken", (axis.value, 0)))


def _modules(node: ast.expr, module: nn.Module, found: Loops) -> nn.ModuleList | nn.Sequential | None:
    listed = resolve(node, module, found.modules)
    return listed if isinstance(listed, nn.ModuleList | nn.Sequential) and len(listed) else None


def _count(node: ast.expr, module: nn.Module, found: Loops) -> int:
    """How far `range(len(self.layers))` or `range(self.depth)` goes."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and node.args:
        return len(_modules(node.args[0], module, found) or ())
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        value = vars(module).get(node.attr)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def weights_of(function: ast.FunctionDef, elements: dict[str, tuple[Step, ...]]) -> tuple[int, ...]:
    """The shape of an argument whose elements are only multiplied: one number for each of the modules beside it."""
    factors = {name for node in _products(function) for name in elements if isinstance(node, ast.Name) and node.id == name}
    deepest = max((elements[name] for name in factors), key=len, default=())
    return tuple(step.numbers[0] for step in deepest) if all(step.name == "element" for step in deepest) else ()


def _products(function: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            yield from (node.left, node.right)
