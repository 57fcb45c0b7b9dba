"""What a field of the catalogue `Config` carries: everything about a setting that its name, type and default do not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Group = Literal["rules", "gate", "model", "remedies", "run"]
"""What an option is about: which rules run, what fails, how a model is run and measured, what is tried on a sick one, or a
whole run of the command."""


class Option(NamedTuple):
    """An option that is one setting and nothing else: `--name` on the command line, `--gradhealth-name` in pytest."""

    group: Group
    """Commands take options by their groups; pytest has those of a model and of the gate."""
    help: str
    """A sentence without its full stop and without the default."""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    unset: str | None = None
    """What holds where the default is None, in words."""


class Setting(NamedTuple):
    """An entry of the catalogue, see `setting`."""

    allowed: str
    limits: Mapping[str, Any]
    example: Any
    option: Option | None
    entry: str | None
    in_call: bool
    in_init: bool
    whole_run: bool
    needs_reason: bool
    is_path: bool


def setting(
    default: Any,
    allowed: str = "",
    *,
    limits: Mapping[str, Any] = MappingProxyType({}),
    example: Any = None,
    option: Option | None = None,
    entry: str | None = None,
    in_call: bool = True,
    in_init: bool = True,
    whole_run: bool = False,
    needs_reason: bool = False,
    is_path: bool = False,
) -> Any:
    """A field of `Config`.

    Args:
        allowed: what a value may be, in the words of an error, the schema and the documentation.
        limits: bounds on a value beyond its type, as pydantic's `Field` takes them.
        example: what `gradhealth init` shows where the default says nothing.
        option: the option of the command line and of pytest, where one value is the whole setting.
        entry: how `--set` names an entry of a table, "NAME"; None where only a file can hold the table.
        in_call: a parameter of `check_gradients` and of the marker.
        in_init: shown by `gradhealth init`; not what a command writes or only a call can give.
        whole_run: holds for a whole run, or names its models itself: no override may have it.
        needs_reason: makes a check say less: an override that has it says why.
        is_path: a path, or a table with a path under `file`; in a file it is relative to that file.
    """
    # a table is the only default that a caller could change
    value: Any = {"default_factory": dict} if default == {} else {"default": default}
    metadata = {"setting": Setting(allowed, limits, example, option, entry, in_call, in_init, whole_run, needs_reason, is_path)}
    return field(**value, metadata=metadata)
