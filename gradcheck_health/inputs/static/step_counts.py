"""Read from forward's source which argument counts the steps of another: `arange(T) < n[:, None]`."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

from torch import nn

from gradcheck_health.inputs.static.expressions import resolve
from gradcheck_health.inputs.static.function_source import function_of

_DEPTH = 3
_CALLS = {"pack_padded_sequence": (1, "lengths")}
"""Functions that take lengths: at which position, under which name."""
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_OTHERWISE = re.compile(r"edge|adj|mask|index|pos|ids$|token|image|img|video|audio", re.I)
"""Names that mean something else, whatever helpers do with it."""


def counts_steps(module: nn.Module, argument: str) -> bool:
    """Whether the argument is compared with positions, or packs a padded sequence, here or where it is handed on to."""
    if _OTHERWISE.search(argument):
        return False
    return _counts(getattr(type(module), "forward", None), module, argument, 0)


def _counts(function: Any, module: nn.Module | None, argument: str, depth: int) -> bool:
    function = getattr(function, "__wrapped__", function)
    tree = function_of(function)
    if tree is None or depth > _DEPTH:
        return False
    meant, positions = {argument}, set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(target := node.targets[0], ast.Name):
            if _has_positions(node.value, positions):
                positions.add(target.id)
            elif _root(node.value) in meant:
                meant.add(target.id)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.comparators) == 1 and isinstance(node.ops[0], _ORDER):
            sides = node.left, node.comparators[0]
            for one, other in (sides, sides[::-1]):
                if _root(one) in meant and _has_positions(other, positions):
                    return True
        elif isinstance(node, ast.Call) and _handed_on(node, function, module, meant, depth):
            return True
    return False


def _handed_on(call: ast.Call, function: Any, module: nn.Module | None, meant: set[str], depth: int) -> bool:
    """The call takes the argument and counts steps with it: a known function, a helper, a method or a sub-module."""
    given: list[tuple[int | str | None, ast.expr]] = [
        *enumerate(call.args),
        *((word.arg, word.value) for word in call.keywords),
    ]
    places = [place for place, value in given if _root(value) in meant]
    if not places:
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    if name in _CALLS:
        return any(place in _CALLS[name] for place in places)
    target = resolve(call.func, module, {}) if module is not None else None
    if isinstance(target, nn.Module) and target is not module:
        callee, owner, skip = type(target).forward, target, 1
        if type(target).__module__.startswith("torch."):
            return False
    elif isinstance(call.func, ast.Name) and inspect.isfunction(found := getattr(function, "__globals__", {}).get(name)):
        callee, owner, skip = found, None, 0
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "self":
        callee, owner, skip = inspect.getattr_static(type(module), name, None), module, 1
        if isinstance(callee, staticmethod):
            callee, skip = callee.__func__, 0
    else:
        return False
    names = _parameters(callee)[skip:]
    inner = [
        place if isinstance(place, str) else names[place]
        for place in places
        if isinstance(place, str) or place is not None and place < len(names)
    ]
    return any(_counts(callee, owner, one, depth + 1) for one in inner)


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _has_positions(node: ast.AST, known: set[str]) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in known:
            return True
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute | ast.Name):
            name = part.func.attr if isinstance(part.func, ast.Attribute) else part.func.id
            if name == "arange":
                return True
    return False


def _root(node: ast.AST) -> str | None:
    """The name that methods, subscripts and attributes rearrange: `n` of `n.to(x.device)[:, None]`."""
    while True:
        if isinstance(node, ast.Name):
            return node.id
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr not in ("max", "min", "sum", "mean")
        ):
            node = node.func.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            return None
