"""Decoders that are compiled once a type build the same records, and refuse the same values, as one that reads every hint."""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import math
import random
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gradcheck_health.records.codec import decode, encode
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace
from tests.support.hostile import finding, report
from tests.support.replay import stored

WRONG = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    math.nan,
    "nan",
    "inf",
    "text",
    "error",
    [],
    [1],
    [[]],
    {},
    {"name": 1},
    {"unknown": {}},
)
"""What a value is replaced by."""


hints_of = functools.cache(typing.get_type_hints)


def by_the_hint(hint: Any, value: Any, where: str) -> Any:
    """The oracle: every value asks its hint again, and every place is spelt out before it is needed."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else by_the_hint(inner, value, where)
    if origin is tuple:
        items = of_kind(list, value, where)
        hints = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
        if len(hints) != len(items):
            raise ValueError(f"{where}: expected {len(hints)} entries, got {len(items)}")
        return tuple(by_the_hint(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, items, strict=True)))
    if origin is not None and issubclass(origin, Mapping):
        return {key: by_the_hint(arguments[1], item, f"{where}.{key}") for key, item in of_kind(dict, value, where).items()}
    if dataclasses.is_dataclass(hint):
        table, hints = of_kind(dict, value, where), hints_of(hint)
        if unknown := set(table) - set(hints):
            raise ValueError(f"{where}: unknown field {min(unknown)!r}")
        made = {key: by_the_hint(hints[key], item, f"{where}.{key}") for key, item in table.items()}
        try:
            return hint(**made)
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from None
    if issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if hint is not float:
        return of_kind(hint, value, where)
    if value in ("nan", "inf", "-inf") or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{where}: {value!r:.20}... does not fit a float") from None
    raise ValueError(f"{where}: expected float, got {value!r}")


def of_kind(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key path of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*place, key)
        yield from places(item, (*place, key))


def outcome(decoder: Any, hint: Any, value: Any) -> str:
    try:
        return repr(decoder(hint, value, "trace"))
    except ValueError as error:
        return f"refused: {error}"


@functools.cache
def documents() -> list[tuple[type, dict[str, Any]]]:
    """Three small traces and a report."""
    traces = sorted((trace for trace, _ in stored().values()), key=lambda trace: len(trace.to_json()))
    return [*((Trace, encode(trace)) for trace in traces[:6:2]), (Report, encode(report(finding(), model="Net")))]


@pytest.mark.slow
@pytest.mark.parametrize("which", range(4))
def test_document_with_a_wrong_value_is_taken_or_refused_alike(which: int) -> None:
    hint, document = documents()[which]
    assert outcome(decode, hint, document) == outcome(by_the_hint, hint, document)
    draw = random.Random(0)
    refused = 0
    for place in draw.sample(every := list(places(document)), min(60, len(every))):
        changed = copy.deepcopy(document)
        around = changed
        for part in place[:-1]:
            around = around[part]
        match draw.randrange(4):
            case 0 if isinstance(around, dict):
                del around[place[-1]]
            case 1 if isinstance(around, dict):
                around[f"{place[-1]}x"] = around[place[-1]]
            case _:
                around[place[-1]] = draw.choice(WRONG)
        found = outcome(decode, hint, changed)
        assert found == outcome(by_the_hint, hint, changed)
        refused += found.startswith("refused: trace")
    assert refused > 5


@pytest.mark.parametrize(
    ("hint", "value", "words"),
    [
        (Mapping[str, tuple[float, ...]], {"a": [1.0, "x"]}, "here.a[1]: expected float, got 'x'"),
        (tuple[int, str], [1, 2], "here[1]: expected str, got 2"),
        (tuple[int, str], [1], "here: expected 2 entries, got 1"),
        (int, True, "here: expected int, got True"),
        (Severity, "bad", "here: 'bad' is not a valid Severity"),
        (float | None, 10**400, "here: 10000000000000000000... does not fit a float"),
        (Mapping[str, int], [], "here: expected dict, got []"),
    ],
)
def test_refusal_names_the_place(hint: Any, value: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        decode(hint, value, "here")
    assert str(caught.value) == words


@pytest.mark.parametrize(("record", "name"), [(Trace, "trace"), (Report, "report")])
@pytest.mark.parametrize("document", [{}, {"schema": 7, "ok": True}])
def test_document_of_another_schema_is_refused(record: Any, name: str, document: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        record.from_dict(document)
    found = document.get("schema")
    assert str(caught.value) == f"a {name} of schema {found}, this version reads schema 1: write it again with this version"
