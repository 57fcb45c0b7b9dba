"""Find the failing statement in the source of a frame, and evaluate harmless parts of it there."""

from __future__ import annotations

import ast
import linecache
import textwrap
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FrameType
from typing import Any

import torch


def failing_statement(frame: FrameType, line: int) -> ast.stmt | None:
    """The statement at this line; the `if` around a bare `raise`."""
    linecache.lazycache(frame.f_code.co_filename, frame.f_globals)
    return _statement(frame.f_code, line)


@lru_cache(maxsize=1024)
def _statement(code: CodeType, line: int) -> ast.stmt | None:
    lines = [text.rstrip("\n") for text in linecache.getlines(code.co_filename)]
    start = code.co_firstlineno
    block = [lines[start - 1]] if start <= len(lines) else []
    indent = len(block[0]) - len(block[0].lstrip()) if block else 0
    decorated = bool(block) and block[0].lstrip().startswith("@")
    for text in lines[start:]:
        bare = text.strip()
        outside = len(text) - len(text.lstrip()) <= indent
        if bare and outside and not bare.startswith((")", "]", "#")) and not decorated:
            break
        decorated = decorated and not bare.startswith(("def ", "async def "))
        # a comment further left would be taken for the margin
        block.append("" if outside and bare.startswith("#") else text)
    try:
        tree = ast.parse(textwrap.dedent("\n".join(block)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _innermost(tree, line - start + 1)


def _innermost(tree: ast.AST, line: int) -> ast.stmt | None:
    found: ast.stmt | None = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        if isinstance(node, ast.Raise):
            continue
        if (
            isinstance(node, ast.If)
            and found is not None
            and not isinstance(found, ast.If | ast.FunctionDef | ast.For | ast.With)
        ):
            continue
        if found is None or node.lineno >= found.lineno:
            found = node
    return found


_ALLOWED = (
    *(ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Slice, ast.Tuple, ast.List, ast.Call, ast.keyword),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)


def evaluate(node: ast.AST, frame: FrameType) -> Any:
    """The value of a harmless expression in that frame (names, attributes, subscripts, sizes, arithmetic), else None."""
    for part in ast.walk(node):
        if not isinstance(part, _ALLOWED):
            return None
        if isinstance(part, ast.Call) and not (_harmless(part.func) or _folds(part, frame)):
            return None
    try:
        code = compile(ast.Expression(node), "<inputs>", "eval")  # type: ignore[arg-type]
        with torch.no_grad():
            return eval(code, frame.f_globals, frame.f_locals)
    except Exception:  # noqa: BLE001 - user code may raise anything; no value is an answer too
        return None


_HARMLESS = {"len", "int", "max", "min", "tuple", "list", "isinstance", "float", "sum", "abs", "str"}


def _harmless(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr in ("size", "dim", "numel", "ndimension", "get", "keys", "prod", "index")
    return isinstance(function, ast.Name) and function.id in _HARMLESS


def _folds(call: ast.Call, frame: FrameType) -> bool:
    """`reduce(mul, self.shape)`, with a function that Python itself brings."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    return name == "reduce" and bool(call.args) and isinstance(evaluate(call.args[0], frame), BuiltinFunctionType)
