"""Expressions of a forward: in the order in which they are evaluated, and which module one names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from torch import nn


def in_order(node: ast.AST) -> Iterator[ast.AST]:
    """Inner expressions before the statement that holds them, statements as they stand."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.arguments):
            yield from in_order(child)
            yield child


def resolve(node: ast.AST, module: nn.Module, loops: dict[str, nn.Module]) -> Any:
    """`self.a.b[0]` or a loop variable as the module that it names."""
    if isinstance(node, ast.Name):
        return module if node.id == "self" else loops.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(node.value, module, loops)
        return owner._modules.get(node.attr) if isinstance(owner, nn.Module) else None
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        owner = resolve(node.value, module, loops)
        try:
            key: Any = node.slice.value
            return owner[key] if isinstance(owner, nn.ModuleList | nn.Sequential | nn.ModuleDict) else None
        except (IndexError, KeyError, TypeError):
            return None
    return None


def numbers(nodes: list[ast.expr]) -> tuple[int, ...] | None:
    try:
        values = [ast.literal_eval(node) for node in nodes]
    except ValueError:
        return None
    flat = values[0] if len(values) == 1 and isinstance(values[0], tuple | list) else values
    return tuple(flat) if all(isinstance(value, int) for value in flat) else None
