"""The table of settings as types: what a value may be, in the words of an error, and as JSON Schema for editors.

`python -m gradcheck_health.settings.schema` writes `settings.schema.json` anew after a setting was added; a test compares them.
"""

from __future__ import annotations

import json
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import PydanticJsonSchemaWarning

from gradcheck_health.model import memory

PATH = Path(__file__).parents[1] / "settings.schema.json"

Word = Annotated[str, Field(min_length=1)]
Dtype = Literal["float64", "float32", "bfloat16", "float16", "complex128", "complex64"]


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


class Settings(BaseModel):
    """The table of settings; the description of a field is what an error says is allowed."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

    seed: int = Field(0, ge=0, lt=2**63, description="a whole number from 0")
    rounds: int = Field(5, ge=1, le=1000, description="a whole number from 1 to 1000")
    select: list[Word] | None = Field(
        None, min_length=1, description='a list of rule names, at least one, such as ["vanishing-gradient"]'
    )
    ignore: dict[Word, Word] = Field({}, description='a table of "rule" or "rule:name-pattern" = "the reason"')
    expect: dict[Word, Word] = Field({}, description='a table of "rule" or "rule:name-pattern" = "the reason"')
    rules: dict[str, dict[str, Any]] = Field({}, description="a table of options for each rule, such as {min_ratio = 1e-3}")
    extra_rules: list[Word | Callable[..., Any]] = Field([], description='a list such as ["package.module:function"]')
    fail_on: Literal["error", "warning", "note"] = Field("error", description="'error', 'warning' or 'note'")
    batch_size: int | None = Field(None, ge=1, description="a whole number from 1")
    device: Word | None = Field(None, description="a device, such as 'cpu' or 'cuda:0'")
    dtype: Dtype | None = Field(None, description="one of " + ", ".join(typing.get_args(Dtype)))
    inputs: Any = None
    loss: Word | Callable[..., Any] | None = Field(
        None, description="a function, or its name: 'CrossEntropyLoss', 'package.module:function'"
    )
    targets: Any = None
    causal: bool | None = Field(None, description="true or false")
    batch_axis: int | Literal["auto", "none"] = Field("auto", description="a whole number, 'none' or 'auto'")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="'sgd' or 'adam'")
    saved_inputs: dict[Word, SavedInputs] = Field(
        {},
        description="what `gradhealth infer TARGET --save FILE` writes: a table of model, forward and inputs for each target",
    )
    args: dict[Word, Any] = Field({}, description="a table of constructor arguments, such as {depth = 3}")
    preset: Literal["autotrainer", "deepchecker", "sagemaker"] | None = Field(
        None, description="'autotrainer', 'deepchecker' or 'sagemaker'"
    )
    baseline: Word | None = Field(None, description="a folder, or a file that ends with .json, such as '.gradhealth'")
    checkpoint: Word | WeightsIn | None = Field(
        None, description="a file such as 'weights.safetensors', or a table such as {file = 'last.ckpt', key = 'state_dict'}"
    )
    timeout: float = Field(300.0, gt=0, allow_inf_nan=False, description="a number of seconds above 0")
    memory: str | None = Field(None, pattern=f"^{memory.PATTERN}$", description="a size such as '8G' or '512M', or 'none'")
    models: list[Word] = Field([], description='a list of targets, such as ["models/net.py:Net"]')
    overrides: list[dict[str, Any]] = Field([], description="a list of tables, each with `models` and the settings for them")


class Override(Settings):
    """Settings for some models only."""

    models: list[Word] = Field(min_length=1, description='a list of patterns, at least one, such as ["models/*.py:Teacher"]')
    reason: Word | None = Field(None, description="the reason, as text that is not empty")


ONLY_OUTSIDE = ("overrides", "extra_rules", "preset", "saved_inputs", "timeout", "memory")
"""Settings that hold for a whole run, or name their models themselves."""
WITH_REASON = ("select", "rules", "fail_on")
"""Settings that make a check say less: an override that has one says why."""


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
