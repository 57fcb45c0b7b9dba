"""The JSON Schema of reports and runs, made from the dataclasses themselves.

`python -m gradcheck_health.formats._schema` rewrites `report.schema.json` after a field was added; a test compares the two.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcheck_health.records.codec import stored_fields
from gradcheck_health.records.report import SCHEMA, Failure, Report

PATH = Path(__file__).with_name("report.schema.json")


def schema() -> dict[str, Any]:
    """A document is a report, or a run of the command line that holds several."""
    definitions: dict[str, Any] = {}
    report = _of(Report, definitions)
    version = {"const": SCHEMA}
    definitions["Report"]["properties"] |= {"schema": version, "ok": {"type": "boolean"}}
    definitions["Report"]["required"] += ["schema", "ok"]
    run = {
        "schema": version,
        "exit_code": {"type": "integer"},
        "reports": {"type": "array", "items": report},
        "failures": {"type": "array", "items": _of(Failure, definitions)},
    }
    definitions["Run"] = {"type": "object", "properties": run, "required": list(run), "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of gradcheck_health",
        "oneOf": [report, {"$ref": "#/$defs/Run"}],
        "$defs": definitions,
    }


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_of(argument, definitions) for argument in arguments]}
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is tuple:
        return {
            "type": "array",
            "prefixItems": [_of(argument, definitions) for argument in arguments],
            "items": False,
            "minItems": len(arguments),
        }
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _of_dataclass(hint, definitions)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    return dict(_PLAIN[hint])


_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    # strict JSON has no NaN: the codec writes it as a word
    float: {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]},
    type(None): {"type": "null"},
}


def _of_dataclass(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # a Trace holds traces
        hints = typing.get_type_hints(cls)
        names = list(stored_fields(cls))
        definitions[cls.__name__] = {
            "type": "object",
            "properties": {name: _of(hints[name], definitions) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{cls.__name__}"}


if __name__ == "__main__":
    PATH.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
