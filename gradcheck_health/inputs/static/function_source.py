"""A function as its author wrote it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=512)
def function_of(forward: Any) -> ast.FunctionDef | None:
    """Its definition, with `self` for the first parameter of a method; None where no source is at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(forward)))
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError):
        return None
    function = next((node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), None)
    return None if function is None else _with_self(function, forward)


def _with_self(function: ast.FunctionDef, written: Any) -> ast.FunctionDef:
    """A method's first parameter as `self`, whatever its author calls it."""
    owner = getattr(written, "__qualname__", "").rpartition(".")[0]
    first = next(iter((*function.args.posonlyargs, *function.args.args)), None)
    static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in function.decorator_list)
    if not owner or owner.endswith("<locals>") or static or first is None:
        return function
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == first.arg:
            node.id = "self"
    first.arg = "self"
    return function
