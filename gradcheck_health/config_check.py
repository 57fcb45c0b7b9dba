"""What settings may say: every problem of a source at once, each with its place, what was got and what is allowed.

This is the only file that imports pydantic, and it is imported only where there are settings to check.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gradcheck_health.config_files import Source
from gradcheck_health.errors import did_you_mean
from gradcheck_health.rules import options

Word = Annotated[str, Field(min_length=1)]
Dtype = Literal["float64", "float32", "bfloat16", "float16", "complex128", "complex64"]


class SavedInputs(BaseModel):
    """What was inferred for one target."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Word
    forward: Word
    inputs: dict[Word, Any]


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
    timeout: float = Field(300.0, gt=0, allow_inf_nan=False, description="a number of seconds above 0")


Problem = tuple[tuple[str | int, ...], str]
"""Where in the table, and what is wrong with it."""


def problems(source: Source, rules: Mapping[str, Callable[..., Any]] | None) -> list[str]:
    """Every problem of one source as a line `place: key: got ..; allowed: ..`, in the order of the file.

    Args:
        rules: every rule by its name, or None where they are not known here; rule names and options are then not checked.
    """
    found: list[Problem] = []
    try:
        Settings.model_validate(dict(source.table))
    except ValidationError as error:
        found += _told_once(error)
    if rules is not None:
        found += _rule_problems(source.table, rules)
    found.sort(key=lambda problem: source.line(problem[0]))
    return [f"{source.where(place)}: {_dotted(place)}: {text}" for place, text in found]


def _told_once(error: ValidationError) -> Iterator[Problem]:
    """One line for a value, however many alternatives of its type refused it."""
    seen = set()
    for entry in error.errors(include_url=False, include_context=False):
        name, *rest = entry["loc"] or ("",)
        field = Settings.model_fields.get(str(name))
        # below a union pydantic adds the alternative to the path: only what is in the table is a place
        place = (str(name), *_inside(rest, entry))
        if place in seen:
            continue
        seen.add(place)
        if field is None:
            yield place, f"no such setting{did_you_mean(str(name), Settings.model_fields)}"
        elif name in ("ignore", "expect") and len(place) == 2:
            yield place, f"got {_shown(entry['input'])}; allowed: the reason why it is accepted, as text that is not empty"
        else:
            yield place, f"got {_shown(entry['input'])}; allowed: {field.description}"


def _inside(rest: list[str | int], entry: Any) -> tuple[str | int, ...]:
    tags = {"[key]", "str", "list", "callable", "constrained-str"}
    return tuple(part for part in rest if part not in tags and "[" not in str(part))


def _rule_problems(table: Mapping[str, Any], rules: Mapping[str, Callable[..., Any]]) -> Iterator[Problem]:
    select, tuned = table.get("select"), table.get("rules")
    for i, name in enumerate(select if isinstance(select, list) else ()):
        if isinstance(name, str) and name and name not in rules:
            yield ("select", i), _no_rule(name, rules)
    for key in ("ignore", "expect"):
        entries = table.get(key)
        for entry in entries if isinstance(entries, dict) else ():
            name = str(entry).partition(":")[0]
            if name not in rules:
                yield (key, entry), _no_rule(name, rules)
    for name, given in tuned.items() if isinstance(tuned, dict) else ():
        if name not in rules:
            yield ("rules", name), _no_rule(str(name), rules)
        elif isinstance(given, dict):
            for option, value in given.items():
                if text := _option_problem(rules[name], name, option, value):
                    yield ("rules", name, option), text


def _no_rule(name: str, rules: Mapping[str, Any]) -> str:
    return f"no rule {name!r}{did_you_mean(name, rules) or '; see `gradhealth rules`'}"


def _option_problem(rule: Callable[..., Any], rule_name: str, option: str, value: Any) -> str | None:
    known = options(rule)
    if option not in known:
        hint = did_you_mean(option, known) or (f"; it has {', '.join(known)}" if known else "; it has none")
        return f"{rule_name} has no such option{hint}"
    try:
        hint_type = typing.get_type_hints(rule).get(option, Any)
    except Exception:  # noqa: BLE001 - an annotation that only a type checker can resolve: nothing to hold the value against
        return None
    # files know lists only
    given = tuple(value) if isinstance(value, list) and typing.get_origin(hint_type) is tuple else value
    try:
        TypeAdapter(hint_type, config=ConfigDict(strict=True, arbitrary_types_allowed=True)).validate_python(given)
    except ValidationError:
        return f"got {_shown(value)}; allowed: {_words(hint_type)}"
    if isinstance(value, float) and math.isnan(value):
        return f"got nan; allowed: {_words(hint_type)}"
    return None


def _words(hint: Any) -> str:
    """A type hint in plain words."""
    known = {float: "a number", int: "a whole number", str: "text", bool: "true or false", type(None): "nothing"}
    if hint in known:
        return known[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return " or ".join(repr(value) for value in arguments)
    if arguments and typing.get_origin(hint) in (tuple, list):
        return f"a list of {_words(arguments[0]).removeprefix('a ')}s"
    if arguments and type(None) in arguments:
        return " or ".join(_words(entry) for entry in arguments if entry is not type(None))
    return str(hint)


def _shown(value: Any) -> str:
    """A value as a person wrote it, with its kind, because `5` and `"5"` look alike."""
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    text = ascii(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    kind = kinds.get(type(value))
    return f"{text} ({kind})" if kind else text


def _dotted(place: tuple[str | int, ...]) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
