"""Subscripts: `x[:, t]` takes a step of an argument, `self.table[z]` is a table that an argument indexes, `h[0]` a part."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable

import torch
from torch import nn

from gradcheck_health.inputs.plan import Leaf
from gradcheck_health.inputs.static.reorderings import Step, undo


def taken(index: ast.expr, counters: dict[str, int]) -> Step | None:
    """The step that takes one entry along an axis, `x[:, t]`, or adds one, `x[:, None]`; None for every other subscript.

    Args:
        counters: variables that count, and how far.
    """
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    added = [place for place, part in enumerate(parts) if isinstance(part, ast.Constant) and part.value is None]
    whole = [isinstance(part, ast.Slice) and part.lower is part.upper is part.step is None for part in parts]
    if len(added) == 1 and sum(whole) == len(parts) - 1:
        return Step("unsqueeze", (added[0],))
    counts = [_counts(part, counters) for part in parts]
    if sum(count is not None for count in counts) != 1 or sum(whole) != len(parts) - 1:
        return None
    axis = next(place for place, count in enumerate(counts) if count is not None)
    return Step("taken", (axis, counts[axis] or 0))


def _counts(part: ast.expr, counters: dict[str, int]) -> int | None:
    """How many entries an index goes through; 0 where that is not known, None where it is no single index."""
    if isinstance(part, ast.BinOp):  # the step before
        return _counts(part.left, counters) if isinstance(part.op, ast.Add | ast.Sub) else None
    return counters.get(part.id) if isinstance(part, ast.Name) else None


def parts_of(function: ast.FunctionDef | None, argument: str) -> int:
    """How many parts an argument has of which forward takes `h[0]` and `h[1]`, and never the whole; else 0."""
    nodes = list(ast.walk(function)) if function is not None else []
    named = [node for node in nodes if isinstance(node, ast.Name) and node.id == argument]
    # from the line on that overwrites it, it is something else
    end = min((node.lineno for node in named if isinstance(node.ctx, ast.Store)), default=math.inf)
    indices = {
        id(node.value): node.slice.value
        for node in nodes
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int
    }
    taken = {indices.get(id(node), -1) for node in named if node.lineno < end}
    return len(taken) if len(taken) > 1 and taken == set(range(len(taken))) else 0


def indexed(node: ast.Subscript, trace: Callable[[ast.expr], tuple[Step, ...] | None], module: nn.Module) -> Leaf | None:
    """Integers below the rows of a parameter or buffer of the module, where it is indexed with the argument."""
    held = node.value
    if not (isinstance(held, ast.Attribute) and isinstance(held.value, ast.Name) and held.value.id == "self"):
        return None
    table: torch.Tensor | None = module._parameters.get(held.attr)
    table = module._buffers.get(held.attr) if table is None else table
    steps = trace(node.slice)
    if steps is None or not isinstance(table, torch.Tensor) or not table.dim() or nn.parameter.is_lazy(table):
        return None
    found = undo(Leaf(("B",), "int", high=int(table.shape[0]), why=f"rows of {held.attr}"), steps)
    return found if isinstance(found, Leaf) else None
