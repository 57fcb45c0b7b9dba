"""On which line each key of a TOML file stands: the standard library's parser does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Path = tuple[str | int, ...]
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes may stand before the three that end it
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
"""What decides where a statement ends: strings and comments, in which brackets do not count, brackets, and ends of lines."""


def key_lines(text: str, loads: Callable[[str], dict[str, Any]], within: Path = ()) -> dict[Path, int]:
    """Key path -> 1-based line, for the keys below the table `within`; the path starts behind it.

    What is inside of a value that spans several lines has the line on which the value begins. The time is linear in the size
    of the file, and values of tables that are not around or below `within` are not parsed.

    Args:
        text: a whole file that `loads` accepts.
        loads: the parser.
    """
    found: dict[Path, int] = {}
    for path, line in _keys(text.replace("\r\n", "\n"), loads, within):
        if path[: len(within)] == within and len(path) > len(within):
            found.setdefault(path[len(within) :], line)
    return found


def _keys(text: str, loads: Callable[[str], dict[str, Any]], within: Path) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    sizes: dict[Path, int] = {}
    for line, statement in _statements(text):
        if statement.startswith("["):
            table = _table(next(_paths(loads(statement))), sizes, is_array=statement.startswith("[["))
            yield table, line
        elif table[: len(within)] == within[: len(table)]:
            yield from (((*table, *path), line) for path in _paths(loads(statement)))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header and each `key = value`, with the line on which it begins."""
    depth, line, start, first = 0, 1, 0, 1
    for token in _TOKEN.finditer(text + "\n"):
        word = token[0]
        depth += (word in "[{") - (word in "]}")
        line += word.count("\n")
        if word == "\n" and depth == 0:
            statement = text[start : token.start()].strip()
            if statement and not statement.startswith("#"):
                yield first, statement
            start, first = token.end(), line


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Of every key in a table, the deepest first where there is one key only, as in a header."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
            yield (*path, key)


def _table(names: Path, sizes: dict[Path, int], is_array: bool) -> Path:
    """The path of a header, with the index of the last entry behind the name of each array of tables."""
    path: Path = ()
    for i, name in enumerate(names):
        path = (*path, name)
        if is_array and i == len(names) - 1:
            sizes[path] = sizes.get(path, 0) + 1
        if path in sizes:
            path = (*path, sizes[path] - 1)
    return path
