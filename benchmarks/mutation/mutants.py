"""The small faults: a comparison turned, a branch inverted, a statement left out, a number changed."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TURNED: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
_EXAMPLES = ("healthy", "sick", "before")
"""Models that a rule carries with it: not part of what it does."""


@dataclass(frozen=True)
class Mutant:
    """A file with one fault."""

    path: Path
    line: int
    what: str
    tree: ast.Module


def mutants(path: Path) -> Iterator[Mutant]:
    """Every fault that can be planted in a file, in the order of its lines."""
    source = path.read_text()
    count = len(_places(ast.parse(source)))
    for k in range(count):
        tree = ast.parse(source)
        parent, name, index, node = _places(tree)[k]
        for what, changed in _changes(node):
            fresh = copy.deepcopy(tree)
            parent, name, index, _ = _places(fresh)[k]
            if index is None:
                setattr(parent, name, changed)
            else:
                getattr(parent, name)[index] = changed
            yield Mutant(
                path, node.lineno, f"{ast.unparse(node).splitlines()[0][:70]}: {what}", ast.fix_missing_locations(fresh)
            )


def _places(tree: ast.AST) -> list[tuple[Any, str, int | None, Any]]:
    """(parent, field, index, node) of every node that belongs to the behaviour."""
    found: list[tuple[Any, str, int | None, Any]] = []

    def visit(parent: ast.AST) -> None:
        for name, value in ast.iter_fields(parent):
            if name in ("annotation", "returns", "decorator_list", "keywords") and isinstance(
                parent, ast.ClassDef | ast.arg | ast.FunctionDef | ast.AnnAssign
            ):
                continue
            for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
                if not isinstance(child, ast.AST) or _apart(child):
                    continue
                if hasattr(child, "lineno"):
                    found.append((parent, name, index, child))
                visit(child)

    visit(tree)
    return found


def _apart(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef) and node.name in _EXAMPLES:
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True  # messages
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _TURNED:
        turned = copy.deepcopy(node)
        turned.ops[0] = _TURNED[type(node.ops[0])]()
        yield f"{type(turned.ops[0]).__name__}", turned
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _TURNED:
        turned = copy.deepcopy(node)
        turned.op = _TURNED[type(node.op)]()
        yield f"{type(turned.op).__name__}", turned
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "without not", node.operand
    elif isinstance(node, ast.Constant):
        yield from _numbers(node)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        inverted = copy.deepcopy(node)
        inverted.test = ast.UnaryOp(ast.Not(), node.test)
        yield "inverted", inverted
    elif (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call | ast.Yield | ast.YieldFrom)
        or isinstance(node, ast.AugAssign)
    ):
        yield "left out", ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "returns None", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Continue):
        yield "break", ast.Break()
    elif isinstance(node, ast.Break):
        yield "continue", ast.Continue()


def _numbers(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.value, bool):
        yield str(not node.value), ast.Constant(not node.value)
    elif isinstance(node.value, int):
        changed = node.value + 1 if abs(node.value) < 100 else node.value * 3
        yield str(changed), ast.Constant(changed)
    elif isinstance(node.value, float):
        more = node.value * 3 if node.value else 1.0
        yield str(more), ast.Constant(more)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
