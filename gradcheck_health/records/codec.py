"""Frozen dataclasses to strict JSON values and back, without loss."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any


def encode(value: Any) -> Any:
    """Dicts, lists, strings and finite numbers only; NaN and infinities become the strings "nan", "inf" and "-inf"."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(kind):
        return {name: encode(getattr(value, name)) for name in _fields(kind)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


_PLAIN = frozenset((str, int, bool, type(None)))


@cache
def _fields(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def decode(hint: Any, value: Any, where: str) -> Any:
    """Build what the type hint says out of `encode`'s output.

    Args:
        where: names the place in errors, "trace.layers".

    Raises:
        ValueError: a missing or unknown field, or a value of the wrong type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return decode(hint, value, where)
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        table = _expect(dict, value, where)
        return {key: decode(arguments[1], entry, f"{where}.{key}") for key, entry in table.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _decode_dataclass(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if hint is float:
        return _decode_float(value, where)
    return _expect(hint, value, where)


def _decode_tuple(hints: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _expect(list, value, where)
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(items)
    if len(hints) != len(items):
        raise ValueError(f"{where}: expected {len(hints)} entries, got {len(items)}")
    return tuple(decode(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, items, strict=True)))


def _decode_dataclass(cls: type, value: Any, where: str) -> Any:
    table, hints = _expect(dict, value, where), _hints(cls)
    if unknown := set(table) - set(hints):
        raise ValueError(f"{where}: unknown field {min(unknown)!r}")
    try:
        return cls(**{key: decode(hints[key], item, f"{where}.{key}") for key, item in table.items()})
    except TypeError as error:  # a missing field
        raise ValueError(f"{where}: {error}") from None


def _decode_float(value: Any, where: str) -> float:
    if value in ("nan", "inf", "-inf") or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{where}: {value!r:.20}... does not fit a float") from None
    raise ValueError(f"{where}: expected float, got {value!r}")


def _expect(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value
