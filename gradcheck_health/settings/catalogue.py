"""Lists and texts made from the catalogue `Config`: which settings are of a kind, their defaults, the help of their options."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from gradcheck_health.settings.config import Config
from gradcheck_health.settings.setting import Group, Option, Setting

_FIELDS = {entry.name: entry for entry in dataclasses.fields(Config) if "setting" in entry.metadata}
SETTINGS: dict[str, Setting] = {name: entry.metadata["setting"] for name, entry in _FIELDS.items()}
"""Every setting by its name; what `Config` holds besides is no setting."""
OPTIONS: dict[str, Option] = {name: entry.option for name, entry in SETTINGS.items() if entry.option is not None}
"""Settings that are an option of the command line, value for value."""
LISTS = tuple(name for name, entry in _FIELDS.items() if entry.type.startswith("tuple["))
MERGED = tuple(name for name, entry in _FIELDS.items() if entry.type.startswith("Mapping["))
"""Tables, whose entries go over those of an earlier source one by one; every other setting replaces the one before it."""
REASONS = tuple(name for name, entry in _FIELDS.items() if entry.type == "Mapping[Word, Word]")
"""Tables of reasons, which stay text whatever they look like."""
ENTRIES = {name: entry.entry for name, entry in SETTINGS.items() if entry.entry is not None}
"""Tables of which an option can set one entry, and how it names it."""
ONLY_OUTSIDE = tuple(name for name, entry in SETTINGS.items() if entry.whole_run)
"""What no override may have."""
WITH_REASON = tuple(name for name, entry in SETTINGS.items() if entry.needs_reason)
"""What an override has to give a reason for."""
PATHS = tuple(name for name, entry in SETTINGS.items() if entry.is_path)
IN_A_CALL = tuple(name for name, entry in SETTINGS.items() if entry.in_call)
"""Parameters of `check_gradients` and of the marker."""


def default(name: str) -> Any:
    """As a file would write it: a list, a table, text, a number or None."""
    if name in MERGED:
        return {}
    value = _FIELDS[name].default
    if isinstance(value, enum.Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def options(group: Group) -> dict[str, Option]:
    """The options of a group by the names of their settings."""
    return {name: option for name, option in OPTIONS.items() if option.group == group}


def number(name: str) -> type[int] | type[float] | None:
    """What an option turns its text into; None where text is what it takes."""
    numbers: dict[str, type[int] | type[float]] = {"int": int, "float": float}
    return numbers.get(_FIELDS[name].type.removesuffix(" | None"))


def is_flag(name: str) -> bool:
    """An option that takes no value."""
    return _FIELDS[name].type == "bool"


def help_text(name: str) -> str:
    """Of an option: the sentence, and what holds where it is not given."""
    option, value = OPTIONS[name], default(name)
    if is_flag(name):
        return option.help
    shown = option.unset if value is None else f"{value:g}" if isinstance(value, float) else value
    return option.help if shown is None else f"{option.help} (default: {shown})"
