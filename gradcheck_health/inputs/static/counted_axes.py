"""Axes that forward's source calls a length, or counts along: `seq_len = x.shape[1]`, `n = x.shape[-1]` and `arange(n)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from gradcheck_health.inputs.static.function_source import function_of

_LENGTH = re.compile(r"(seq(uence)?|token)_?(len(gth)?|size)?s?|(n|num)_?(tokens|time_?steps)|time_?steps|length", re.I)


def names_steps(module: nn.Module) -> bool:
    """Forward calls the second axis of one of its arguments a number of steps, so that the last one holds features."""
    function = _forward(module)
    given = _arguments(function)
    return any(
        axis == 1 and name in given and _LENGTH.fullmatch(variable)
        for variable, name, axis in (_sizes(function) if function is not None else ())
    )


def counted(module: nn.Module, argument: str) -> bool:
    """Forward counts along the last axis of the argument: no features stand there, but positions."""
    function = _forward(module)
    if function is None:
        return False
    lengths = {variable for variable, name, axis in _sizes(function) if name == argument and axis == -1}
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute | ast.Name)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id) == "arange"
        and any(isinstance(part, ast.Name) and part.id in lengths for value in node.args for part in ast.walk(value))
        for node in ast.walk(function)
    )


def _forward(module: nn.Module) -> ast.FunctionDef | None:
    if type(module).__module__.startswith("torch."):
        return None
    forward: Any = getattr(type(module), "forward", None)
    return function_of(getattr(forward, "__wrapped__", forward))


def _arguments(function: ast.FunctionDef | None) -> set[str]:
    return set() if function is None else {given.arg for given in function.args.args}


def _sizes(function: ast.FunctionDef) -> Iterator[tuple[str, str, int]]:
    """(variable, whose size it is, of which axis), for every `n = x.shape[1]` and `device, n = x.device, x.size(1)`."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        whole = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)
        pairs = list(zip(target.elts, value.elts, strict=True)) if whole else [(target, value)]  # type: ignore[attr-defined]
        for one, size in pairs:
            axis = _axis(size)
            if isinstance(one, ast.Name) and axis is not None:
                yield one.id, *axis


def _axis(node: ast.expr) -> tuple[str, int] | None:
    """`x.shape[-1]` or `x.size(1)` as (x, axis)."""
    index: ast.expr | None = None
    held: ast.expr | None = None
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
        index, held = node.slice, node.value.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "size" and node.args:
        index, held = node.args[0], node.func.value
    if index is None or not isinstance(held, ast.Name):
        return None
    try:
        axis = ast.literal_eval(index)
    except ValueError:
        return None
    return (held.id, axis) if isinstance(axis, int) else None
