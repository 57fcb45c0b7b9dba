"""The catalogue as types: what a value may be, and as JSON Schema for editors.

`python -m gradcheck_health.settings.schema` rewrites `settings.schema.json` after a setting was added; a test compares them.
"""

from __future__ import annotations

import json
import types
import typing
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import PydanticJsonSchemaWarning

from gradcheck_health.settings.catalogue import ONLY_OUTSIDE, SETTINGS, default
from gradcheck_health.settings.config import Config

PATH = Path(__file__).parents[1] / "settings.schema.json"

Word = Annotated[str, Field(min_length=1)]


class SavedInputs(BaseModel):
    """What was inferred for one target."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Word
    forward: Word
    inputs: dict[Word, Any]


class WeightsIn(BaseModel):
    """Weights that stand in a file among other things."""

    model_config = ConfigDict(extra="forbid", strict=True)

    file: Word
    key: Word | None = None
    prefix: str = ""


_IN_FILES = {
    "Mapping": dict,
    "SavedInputs": SavedInputs,
    "Severity": Literal["error", "warning", "note"],
    "WeightsIn": WeightsIn,
    "Word": Word,
}
"""What a name in the annotations of `Config` is in a file, which knows tables, lists, text and numbers only."""


def _in_files(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return list[arguments[0]]  # type: ignore[valid-type]
    if origin in (types.UnionType, typing.Union):
        return typing.Union[tuple(map(_in_files, arguments))]  # noqa: UP007 - the alternatives are values
    return hint


def _fields() -> dict[str, Any]:
    """Every setting as `create_model` takes it: its type, and a field with its default and limits."""
    hints = typing.get_type_hints(Config, localns=_IN_FILES, include_extras=True)
    return {
        name: (_in_files(hints[name]), Field(default(name), description=entry.allowed or None, **entry.limits))
        for name, entry in SETTINGS.items()
    }


Settings = create_model(
    "Settings",
    __config__=ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True),
    __doc__="The table of settings; the description of a field is what an error says is allowed.",
    __module__=__name__,
    **_fields(),
)
Override = create_model(
    "Override",
    __base__=Settings,
    __doc__="Settings for some models only.",
    __module__=__name__,
    models=(
        list[Word],
        Field(min_length=1, description='a list of patterns, at least one, such as ["models/*.py:Teacher"]'),
    ),
    reason=(Word | None, Field(None, description="the reason, as text that is not empty")),
)


def schema() -> dict[str, Any]:
    """The JSON Schema of a `gradhealth.yaml`; names may be written with hyphens, too."""
    # a function cannot stand in a file: what takes a function or a name takes the name there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        made, override = Settings.model_json_schema(), Override.model_json_schema()
    for name in ONLY_OUTSIDE:
        override["properties"].pop(name)
    override.pop("$defs", None)
    made["properties"]["overrides"]["items"] = {"$ref": "#/$defs/Override"}
    made["$defs"] = {**made.get("$defs", {}), "Override": _hyphens(override)}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Settings of gradcheck_health"}
    return {**_hyphens(made), **head}


def _hyphens(table: dict[str, Any]) -> dict[str, Any]:
    both: dict[str, Any] = {}
    for name, entry in table["properties"].items():
        entry.pop("title", None)
        both |= dict.fromkeys((name.replace("_", "-"), name), entry)
    return {**table, "properties": both}


if __name__ == "__main__":
    PATH.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
