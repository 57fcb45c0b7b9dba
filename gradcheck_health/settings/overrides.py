"""Settings for some models only: the list `overrides`, whose entries name their models by patterns."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gradcheck_health.settings.source import Source

NOT_SETTINGS = ("models", "reason")


def expanded(source: Source, names: Sequence[str]) -> Iterator[Source]:
    """The source itself, then each of its overrides that is for a model of one of these names, as a source of its own.

    Args:
        names: what the model is called: "models/net.py:Net", a test's "tests/test_net.py::test_it".
    """
    yield source
    for place, entry in entries(source):
        if names and any(matches(pattern, name, source) for pattern in entry.get("models", ()) for name in names):
            table = {key: value for key, value in entry.items() if key not in NOT_SETTINGS}
            size = len(place)
            lines = {path[size:]: line for path, line in source.lines.items() if path[:size] == place and len(path) > size}
            yield Source(source.origin, table, lines)


def names_of(model: Any, target: str | None = None) -> tuple[str, ...]:
    """What overrides know a model by: what the user typed, or the file and the name of its class or function."""
    if target is not None:
        return (target,)
    made = model if hasattr(model, "__qualname__") else type(model)
    file = getattr(sys.modules.get(getattr(made, "__module__", "")), "__file__", None)
    return () if file is None else (f"{file}:{made.__qualname__}",)


def entries(source: Source) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """The key path and the table of each override."""
    given = source.table.get("overrides")
    for i, entry in enumerate(given if isinstance(given, list | tuple) else ()):
        if isinstance(entry, Mapping):
            yield ("overrides", i), entry


def matches(pattern: str, name: str, source: Source) -> bool:
    """`models/*.py:Teacher` is for that class, `models/*.py` for every model of the files, as seen from the settings file.

    A pattern without a folder is for files of that name in any folder.
    """
    wanted_where, wanted_name = _apart(pattern)
    where, inner = _apart(name)
    if not fnmatchcase(inner, wanted_name or "*"):
        return False
    path = Path(where)
    spellings = {where, path.as_posix()}
    if "/" not in wanted_where:
        spellings.add(path.name)
    folder = Path(source.origin).parent.resolve()
    if path.suffix and path.resolve().is_relative_to(folder):
        spellings.add(path.resolve().relative_to(folder).as_posix())
    return any(fnmatchcase(spelling, wanted_where) for spelling in spellings)


def _apart(text: str) -> tuple[str, str]:
    """Before and behind the first colon, or pytest's `::`."""
    where, _, name = text.replace("::", ":").partition(":")
    return where, name
