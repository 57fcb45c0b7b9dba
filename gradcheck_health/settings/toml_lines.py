"""On which line each key of a TOML file stands: the standard library's parser does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Path = tuple[str | int, ...]


def key_lines(text: str, loads: Callable[[str], dict[str, Any]], within: Path = ()) -> dict[Path, int]:
    """Key path -> 1-based line, for the keys below the table `within`; the path starts behind it.

    What is inside of a value that spans several lines has the line on which the value begins.

    Args:
        text: a whole file that `loads` accepts.
        loads: the parser.
    """
    found: dict[Path, int] = {}
    for path, line in _statements(text.splitlines(), loads):
        if path[: len(within)] == within and len(path) > len(within):
            found.setdefault(path[len(within) :], line)
    return found


def _statements(lines: list[str], loads: Callable[[str], dict[str, Any]]) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    sizes: dict[Path, int] = {}
    i = 0
    while i < len(lines):
        bare = lines[i].strip()
        if not bare or bare.startswith("#"):
            i += 1
            continue
        end, value = _statement(lines, i, loads)
        if bare.startswith("["):
            table = _table(next(_paths(value)), sizes, is_array=bare.startswith("[["))
            yield table, i + 1
        else:
            yield from (((*table, *path), i + 1) for path in _paths(value))
        i = end


def _statement(lines: list[str], start: int, loads: Callable[[str], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """The end of the statement that begins on a line, and what it says: the shortest text that is TOML."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return end, loads("\n".join(lines[start:end]))
        except ValueError:
            continue
    return len(lines), {}


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
