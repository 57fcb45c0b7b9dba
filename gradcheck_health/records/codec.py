"""Frozen dataclasses to strict JSON values and back, without loss."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

Record = TypeVar("Record")


def to_document(record: Any, schema: int, **derived: Any) -> dict[str, Any]:
    """A record with the number of its schema, and what can be computed from it for readers that do not."""
    return {"schema": schema, **derived, **encode(record)}


def from_document(cls: type[Record], data: Mapping[str, Any], schema: int, name: str, derived: Sequence[str] = ()) -> Record:
    """The inverse of `to_document`.

    Args:
        name: what the record is called in errors.
        derived: keys beside the fields of the record.

    Raises:
        ValueError: another schema, or a missing or unknown field.
    """
    found = data.get("schema")
    if found != schema:
        raise ValueError(f"a {name} of schema {found!r}, this version reads schema {schema}: write it again with this version")
    fields = {key: value for key, value in data.items() if key != "schema" and key not in derived}
    decoded: Record = decode(cls, fields, name)
    return decoded


def encode(value: Any) -> Any:
    """Dicts, lists, strings and finite numbers only; NaN and infinities become the strings "nan", "inf" and "-inf"."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(kind):
        return {name: encode(getattr(value, name)) for name in stored_fields(kind)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


_PLAIN = frozenset((str, int, bool, type(None)))


APART: Mapping[str, Any] = {"json": False}
"""Metadata of a field that JSON has no words for (tensors): it is left out there, and takes its default when read back."""


@cache
def stored_fields(cls: type) -> tuple[str, ...]:
    """The fields of a record that its JSON form has."""
    return tuple(field.name for field in dataclasses.fields(cls) if field.metadata.get("json", True))


Decoder = Callable[[Any], Any]
"""Takes what JSON holds and returns what the type hint says, or raises `_Mismatch`."""


class _Mismatch(Exception):
    """A value that does not fit. What is around it adds its own part of the place, so that no text is made while all fits."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.place: list[str] = []
        """Innermost first."""


def decode(hint: Any, value: Any, where: str) -> Any:
    """Build what the type hint says out of `encode`'s output.

    Args:
        where: names the place in errors, "trace.layers".

    Raises:
        ValueError: a missing or unknown field, or a value of the wrong type.
    """
    try:
        return _decoder(hint)(value)
    except _Mismatch as error:
        raise ValueError(f"{where}{''.join(reversed(error.place))}: {error}") from None


@cache
def _decoder(hint: Any) -> Decoder:
    """A report holds a hundred thousand values of some thirty types: what a hint says is looked up once a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _optional(_decoder(inner))
    if origin is tuple:
        return _list(_decoder(arguments[0])) if arguments[-1] is Ellipsis else _row(tuple(map(_decoder, arguments)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _table(_decoder(arguments[1]))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _record(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _member(hint)
    return _decode_float if hint is float else _plain(hint)


def _optional(inner: Decoder) -> Decoder:
    return lambda value: None if value is None else inner(value)


def _list(inner: Decoder) -> Decoder:
    def decode_list(value: Any) -> tuple[Any, ...]:
        items, made = _expect(list, value), []
        try:
            for item in items:
                made.append(inner(item))
        except _Mismatch as error:
            error.place.append(f"[{len(made)}]")
            raise
        return tuple(made)

    return decode_list


def _row(inner: tuple[Decoder, ...]) -> Decoder:
    def decode_row(value: Any) -> tuple[Any, ...]:
        items = _expect(list, value)
        if len(inner) != len(items):
            raise _Mismatch(f"expected {len(inner)} entries, got {len(items)}")
        made: list[Any] = []
        try:
            for decoder, item in zip(inner, items, strict=True):
                made.append(decoder(item))
        except _Mismatch as error:
            error.place.append(f"[{len(made)}]")
            raise
        return tuple(made)

    return decode_row


def _table(inner: Decoder) -> Decoder:
    def decode_table(value: Any) -> dict[str, Any]:
        entries: dict[str, Any] = _expect(dict, value)
        table: dict[str, Any] = {}
        key = ""
        try:
            for key, entry in entries.items():
                table[key] = inner(entry)
        except _Mismatch as error:
            error.place.append(f".{key}")
            raise
        return table

    return decode_table


def _record(cls: type) -> Decoder:
    decoders: dict[str, Decoder] = {}

    def decode_record(value: Any) -> Any:
        if not decoders:  # at the first value, because a record may hold records of its own kind
            hints = typing.get_type_hints(cls)
            decoders.update({name: _decoder(hints[name]) for name in stored_fields(cls)})
        table: dict[str, Any] = _expect(dict, value)
        if not table.keys() <= decoders.keys():
            raise _Mismatch(f"unknown field {min(table.keys() - decoders.keys())!r}")
        made: dict[str, Any] = {}
        name = ""
        try:
            for name, item in table.items():
                made[name] = decoders[name](item)
        except _Mismatch as error:
            error.place.append(f".{name}")
            raise
        try:
            return cls(**made)
        except TypeError as error:  # a missing field
            raise _Mismatch(str(error)) from None

    return decode_record


def _member(kind: type[enum.Enum]) -> Decoder:
    def decode_member(value: Any) -> enum.Enum:
        try:
            return kind(value)
        except ValueError as error:
            raise _Mismatch(str(error)) from None

    return decode_member


def _decode_float(value: Any) -> float:
    if type(value) is float:
        return value
    if value in ("nan", "inf", "-inf") or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            raise _Mismatch(f"{value!r:.20}... does not fit a float") from None
    raise _Mismatch(f"expected float, got {value!r}")


def _plain(kind: type) -> Decoder:
    return lambda value: value if type(value) is kind else _expect(kind, value)


def _expect(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Mismatch(f"expected {kind.__name__}, got {value!r}")
    return value
