"""The source of a class, also of one from the cell of a notebook, whose module has no file."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator
from types import CodeType

from gradcheck_health.model.source.lines import class_lines

Source = tuple[list[str], int, str]
"""Lines, the number of the first, the file as its code names it."""


def class_source(cls: type) -> Source | None:
    """None where it cannot be read, as of a class that exec() made."""
    try:
        lines, first = class_lines(cls)
        filename = inspect.getsourcefile(cls)
    except (OSError, TypeError, SyntaxError):
        return _by_its_methods(cls)
    return None if filename is None else (lines, first, filename)


def _by_its_methods(cls: type) -> Source | None:
    """Through `linecache`, where IPython keeps the text of every cell under the name that its code has."""
    for code in _codes(cls):
        lines = linecache.getlines(code.co_filename)
        try:
            tree = ast.parse("".join(lines))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                if first <= code.co_firstlineno <= (node.end_lineno or 0):
                    return lines[first - 1 : node.end_lineno], first, code.co_filename
    return None


def _codes(cls: type) -> Iterator[CodeType]:
    for value in vars(cls).values():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code is not None and getattr(function, "__qualname__", "").startswith(f"{cls.__qualname__}."):
            yield code
