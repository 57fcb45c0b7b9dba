"""Lines of keys: the same as by parsing ever longer pieces of the file, without the steps that this takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck_health.settings.toml_lines import Path, _paths, _table, key_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OURS = ("tool", "gradhealth")
VALUES = (
    *("1", "true", '"text"', "'it s'", '"a # b"', "'[{'", '"]}\\""', '"\\\\"', '""', "1979-05-27 07:32:00"),
    *("[1, 2]", "[]", "[\n  1, # ]\n  '[',\n\n]", "{ a = 1, b = { 'c' = ']' } }", '[{ x = "}" }, [[1], [2]]]'),
    *('"""\nb = 1\n[x]\n"""', '""" " "" """', '"""end"""""', "'''\n# no\n''\n'''", '"""\\\n  a\\""""', '""""""', "''''''"),
)
"""Whatever could be taken for the end of a value, or for a key."""
HEADERS = (
    "[tool]",
    "[tool.gradhealth]",
    '[tool."gradhealth".rules]',
    "[[tool.gradhealth.overrides]]",
    "[ other . 'a]b' ] # [c]",
)
KEYS = ("a{}", "'b.{}'", "gradhealth.c{}", '"tool[{}]"', "d{} . e")


def by_longer_pieces(text: str, within: Path) -> dict[Path, int]:
    """The oracle, quadratic: a statement is the shortest text that is TOML."""
    lines, table, i = text.split("\n"), (), 0
    sizes: dict[Path, int] = {}
    found: dict[Path, int] = {}

    def statement(start: int) -> tuple[int, dict[str, Any]]:
        for end in range(start + 1, len(lines) + 1):
            try:
                return end, tomllib.loads("\n".join(lines[start:end]))
            except ValueError:
                continue
        raise AssertionError(lines[start:])

    def keys() -> Iterator[tuple[Path, int]]:
        nonlocal i, table
        while i < len(lines):
            start, bare = i, lines[i].strip()
            i += 1
            if not bare or bare.startswith("#"):
                continue
            i, value = statement(start)
            if bare.startswith("["):
                table = _table(next(_paths(value)), sizes, is_array=bare.startswith("[["))
                yield table, start + 1
            else:
                yield from (((*table, *path), start + 1) for path in _paths(value))

    for path, line in keys():
        if path[: len(within)] == within and len(path) > len(within):
            found.setdefault(path[len(within) :], line)
    return found


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file of headers, keys, comments and empty lines, not always one that is TOML."""
    kinds = st.sampled_from(("key", "key", "key", "header", "comment"))
    parts = []
    for i, kind in enumerate(draw(st.lists(kinds, max_size=12))):
        if kind == "header":
            parts.append(draw(st.sampled_from(HEADERS)))
        elif kind == "key":
            parts.append(f"{draw(st.sampled_from(KEYS)).format(i)} = {draw(st.sampled_from(VALUES))}")
        else:
            parts.append(draw(st.sampled_from(("", '# """ [ \'', "  ", "#\u2028x = 1"))))
    return "\n".join(parts)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(files(), st.sampled_from(((), ("tool",), OURS)))
def test_lines_are_those_of_the_shortest_statements(text: str, within: Path) -> None:
    try:
        tomllib.loads(text)
    except ValueError:
        return
    assert key_lines(text, tomllib.loads, within) == by_longer_pieces(text, within)


@pytest.mark.parametrize("value", VALUES)
def test_every_value_ends_where_it_ends(value: str) -> None:
    assert key_lines(f"a = {value}\nb = 1\n", tomllib.loads)[("b",)] == 2 + value.count("\n")


@pytest.mark.parametrize("header", ["[tool.other]", "[tool.gradhealth]"])
def test_time_is_linear_in_the_size_of_the_file(header: str) -> None:
    """Steps are counted, not seconds: of a list of 4000 lines no character is parsed twice, where it was parsed 4000 times."""
    text = header + "\nlong = [\n" + '  "a word of another tool",\n' * 4000 + "]\n[tool.gradhealth.ignore]\nx = 'why'\n"
    parsed = 0

    def counting(piece: str) -> dict[str, Any]:
        nonlocal parsed
        parsed += len(piece)
        return tomllib.loads(piece)

    lines = key_lines(text, counting, OURS)
    assert lines[("ignore", "x")] == 4005
    assert parsed <= (len(text) if header == "[tool.gradhealth]" else 100)


def test_windows_ends_of_lines_count_once() -> None:
    assert key_lines("a = [\r\n1]\r\n\r\nb = 2\r\n", tomllib.loads) == {("a",): 1, ("b",): 4}
