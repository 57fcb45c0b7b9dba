"""Where settings stand: `gradhealth.yaml` or the table `[tool.gradhealth]` of a pyproject.toml, the nearest one upwards."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.files import read_regular
from gradcheck_health.records.wording import a_kind
from gradcheck_health.settings.catalogue import PATHS
from gradcheck_health.settings.source import Source
from gradcheck_health.settings.strict_yaml import MAX_BYTES, Document, YamlError, read
from gradcheck_health.settings.toml_lines import key_lines

YAML_NAME = "gradhealth.yaml"
TOML_NAME = "pyproject.toml"
MAX_SEARCHED = 2**26
"""Bytes of a pyproject.toml in which our name is looked for."""
_FILES = 4
"""Whose contents are remembered."""


def in_files(named: Path | None = None, isolated: bool = False, start: Path | None = None) -> list[Source]:
    """The file that holds: the named one, or the nearest upwards from `start` (the working directory if None), or none.

    Raises:
        UsageError: see `nearest` and `from_file`.
    """
    if named is not None:
        return [from_file(named)]
    found = None if isolated else nearest(start or Path.cwd())
    return [] if found is None else [found]


def nearest(start: Path) -> Source | None:
    """The settings that hold in a folder: the first folder upwards that has some.

    Raises:
        UsageError: both files in one folder hold settings, or a file cannot be read.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        yaml_file, toml_file = folder / YAML_NAME, folder / TOML_NAME
        from_toml = _toml(toml_file) if toml_file.exists() and _mentions_us(toml_file) else None
        if not yaml_file.exists():
            if from_toml is not None:
                return from_toml
            continue
        if from_toml is not None:
            raise UsageError(f"settings in two files, {yaml_file} and [tool.gradhealth] of {toml_file}: keep one of them")
        return _yaml(yaml_file)
    return None


def from_file(path: Path) -> Source:
    """The settings of a named file; by its suffix TOML (`[tool.gradhealth]`, or the whole file) or YAML.

    Raises:
        UsageError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"no settings file {path}: give a {YAML_NAME} or a pyproject.toml")
    if path.suffix == ".toml":
        return _toml(path) or (Source(_shown(path), {}) if path.name == TOML_NAME else _whole_toml(path))
    return _yaml(path)


def _mentions_us(path: Path) -> bool:
    """Most files of that name hold nothing for us, and whatever else is wrong with them is not ours to tell.

    Raises:
        UsageError: it cannot be read, so that nobody knows what it asks for.
    """
    try:
        return b"gradhealth" in read_regular(path, MAX_SEARCHED)
    except FileNotFoundError:
        return False


def _yaml(path: Path) -> Source:
    try:
        document = _read_yaml(_text(path))
    except YamlError as error:
        where = f"{_shown(path)}:{error.line}" if error.line else _shown(path)
        raise UsageError(f"{where}: {error}") from None
    table = {} if document.value is None else document.value
    if not isinstance(table, dict):
        raise UsageError(f"{_shown(path)}: got {a_kind(table)}; allowed: a table of settings, such as `seed: 0`")
    return Source(_shown(path), _anchored(copy.deepcopy(table), path), document.lines)


def _toml(path: Path) -> Source | None:
    tool = _parse_toml(path).get("tool")
    table = tool.get("gradhealth") if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise UsageError(f"{_shown(path)}: tool.gradhealth: got {table!r}; allowed: a table, [tool.gradhealth]")
    return Source(_shown(path), _anchored(copy.deepcopy(table), path), _lines(_text(path), ("tool", "gradhealth")))


def _anchored(table: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Paths are relative to the file in which they stand, wherever the command is run."""
    table = dict(table)
    for name in PATHS:
        given = table.get(name)
        if isinstance(given, str) and given:
            table[name] = _shown(path.parent / given)
        elif isinstance(given, dict) and isinstance(file := given.get("file"), str):
            table[name] = {**given, "file": _shown(path.parent / file)}
    if isinstance(entries := table.get("overrides"), list):
        table["overrides"] = [_anchored(entry, path) if isinstance(entry, dict) else entry for entry in entries]
    return table


def _whole_toml(path: Path) -> Source:
    """A file that is named and has no table of ours is settings from top to bottom."""
    return Source(_shown(path), copy.deepcopy(_parse_toml(path)), _lines(_text(path), ()))


# a test suite looks at one and the same file once a test: parsing it takes milliseconds, more than a small model
@lru_cache(maxsize=_FILES)
def _read_yaml(text: str) -> Document:
    return read(text)


@lru_cache(maxsize=_FILES)
def _read_toml(text: str) -> dict[str, Any]:
    return loads()(text)


@lru_cache(maxsize=_FILES)
def _lines(text: str, within: tuple[str, ...]) -> Mapping[tuple[str | int, ...], int]:
    return key_lines(text, loads(), within)


def loads() -> Callable[[str], dict[str, Any]]:
    """What reads TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads


def _parse_toml(path: Path) -> dict[str, Any]:
    try:
        return _read_toml(_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{_shown(path)}: this is not TOML: {error}") from None


def _text(path: Path) -> str:
    try:
        return read_regular(path, 4 * MAX_BYTES).decode("utf-8").replace("\r\n", "\n")
    except UsageError as error:
        raise UsageError(str(error).replace(str(path), _shown(path), 1)) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{_shown(path)}: cannot be read: {error}") from None


def _shown(path: Path) -> str:
    """Relative to the working directory where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
