"""Integers that have to be among some: keys of a table of the model, members of a list that it checks against."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any

import torch

from gradcheck_health.inputs.plan import Leaf, Path, Plan
from gradcheck_health.inputs.wants.failing_statement import evaluate
from gradcheck_health.inputs.wants.want import Want, putting

_MOST = 1000


def membership_wants(statement: ast.stmt, frame: FrameType, error: Exception, plan: Plan) -> Iterator[Want]:
    """Edits that draw an argument from what the failing statement allows."""
    asked = isinstance(error, KeyError) and bool(error.args) and isinstance(error.args[0], int | torch.Tensor)
    for node in ast.walk(statement):
        allowed = _allowed(node, frame, asked)
        if not allowed:
            continue
        named = {part.id for part in ast.walk(statement) if isinstance(part, ast.Name)}
        for path, leaf in _integers(plan):
            new = replace(
                leaf, kind="int", fill="normal", low=0, high=max(allowed) + 1, among=allowed, why="values that are known"
            )
            yield Want("edit", why="values that are known", cost=0.4 if path[0] in named else 0.7, edit=putting(path, new))


def _allowed(node: ast.AST, frame: FrameType, asked: bool) -> tuple[int, ...]:
    """What the expression compares with: `table[int(z)]`, `z in known`, `torch.isin(z, known)`, `known.index(z)`."""
    if isinstance(node, ast.Subscript) and asked:
        return _numbers(evaluate(node.value, frame), Mapping)
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        return _numbers(evaluate(node.comparators[0], frame))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "isin" and len(node.args) > 1:
            return _numbers(evaluate(node.args[1], frame))
        if node.func.attr in ("index", "get") and node.args:
            return _numbers(evaluate(node.func.value, frame))
    return ()


def _numbers(value: Any, kind: type = object) -> tuple[int, ...]:
    if not isinstance(value, kind) or not isinstance(value, Mapping | list | tuple | set | frozenset | range | torch.Tensor):
        return ()
    members = value.flatten().tolist() if isinstance(value, torch.Tensor) else list(value)
    whole = all(isinstance(member, int) and not isinstance(member, bool) for member in members)
    return tuple(sorted(set(members))) if whole and 0 < len(members) <= _MOST else ()


def _integers(plan: Plan) -> list[tuple[Path, Leaf]]:
    """Arguments of numbers whose values nobody gave, integers first."""
    free = [(path, leaf) for path, leaf in plan.leaves() if not leaf.drawn and not leaf.among]
    return sorted(free, key=lambda one: one[1].kind != "int")
