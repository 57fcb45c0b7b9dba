"""`gradhealth config`: every setting with its value and where it was set, and what in the files has no effect."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck_health.formats._text import escape, shorten
from gradcheck_health.settings.catalogue import MERGED, SETTINGS
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.overrides import entries, matches
from gradcheck_health.settings.resolution import resolve
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.expand import SKIPPED, seen_from
from gradcheck_health.targets.target import Target

DEFAULT = "default"
MAX_VALUE = 44


def render(sources: Sequence[Source], target: str | None) -> str:
    """A line a setting: its name, its value, its origin; those that were set come first.

    Args:
        target: show the settings for this model, overrides included.

    Raises:
        UsageError: every problem of every source.
    """
    config = resolve(sources, known_rules="all", names=[target] if target else ())
    rows = sorted(_rows(config), key=lambda row: row[2] == DEFAULT)
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines = [f"{name.ljust(widths[0])}  {value.ljust(widths[1])}  {origin}" for name, value, origin in rows]
    files = ", ".join(dict.fromkeys(source.origin for source in sources)) or "no file, no option"
    head = f"settings{f' for {escape(target)}' if target else ''}: {escape(files)}"
    return "\n".join([head, "", *lines, *without_effect(sources)]) + "\n"


def without_effect(sources: Sequence[Source]) -> list[str]:
    """Lines about models that are not there and overrides that can match no file."""
    found = []
    for source in sources:
        folder = Path(source.origin).parent
        models = source.table.get("models")
        for i, model in enumerate(models if isinstance(models, list) else ()):
            target = Target.parse(seen_from(folder, model))
            if target.is_file and not Path(target.where).exists():
                found.append(f"{source.where(('models', i))}: models: no file {target.where}")
        for place, entry in entries(source):
            for pattern in entry.get("models", ()):
                where = pattern.replace("::", ":").partition(":")[0]
                if where.endswith(".py") and not _any_file(folder, where, source):
                    found.append(f"{source.where(place)}: overrides: {pattern!r} names no file: remove it")
    return [escape(line) for line in found]


def _any_file(folder: Path, pattern: str, source: Source) -> bool:
    for around, inner, files in os.walk(folder or Path()):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in SKIPPED]
        if any(matches(pattern, os.path.join(around, name), source) for name in files if name.endswith(".py")):
            return True
    return False


def _rows(config: Config) -> Iterator[tuple[str, str, str]]:
    for name in SETTINGS:
        value = getattr(config, name)
        if name in MERGED and value:
            yield from _table_rows(name, value, config.origins)
        else:
            yield name.replace("_", "-"), _shown(value), config.origins.get(name, DEFAULT)


def _table_rows(name: str, table: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for key, value in table.items():
        inner = value.items() if name == "rules" and isinstance(value, Mapping) else [("", value)]
        for option, setting in inner:
            dotted = f"{name}.{key}.{option}" if option else f"{name}.{key}"
            yield escape(dotted), _shown(setting), origins.get(dotted, DEFAULT)


def _shown(value: Any) -> str:
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return shorten(escape(text), MAX_VALUE)
