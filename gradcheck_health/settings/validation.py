"""What settings may say: every problem of a source at once, each with its place, what was got and what is allowed.

This file and `schema` are the only ones that import pydantic, and only where there are settings to check.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gradcheck_health.records.errors import did_you_mean
from gradcheck_health.rules import options
from gradcheck_health.settings.catalogue import ONLY_OUTSIDE, REASONS, WITH_REASON
from gradcheck_health.settings.schema import Override, Settings
from gradcheck_health.settings.source import Source

Problem = tuple[tuple[str | int, ...], str]
"""Where in the table, and what is wrong with it."""


def problems(source: Source, rules: Mapping[str, Callable[..., Any]] | None) -> list[str]:
    """Every problem of one source as a line `place: key: got ..; allowed: ..`, in the order of the file.

    Args:
        rules: every rule by its name, or None where they are not known here; rule names and options are then not checked.
    """
    found = [*_table_problems(Settings, source.table, rules)]
    overrides = source.table.get("overrides")
    for i, entry in enumerate(overrides if isinstance(overrides, list) else ()):
        if isinstance(entry, dict):
            found += [(("overrides", i, *place), text) for place, text in _override_problems(entry, rules)]
    found.sort(key=lambda problem: source.line(problem[0]))
    return [f"{source.where(place)}: {_dotted(place)}: {text}" for place, text in found]


def _table_problems(
    model: type[BaseModel], table: Mapping[str, Any], rules: Mapping[str, Callable[..., Any]] | None
) -> Iterator[Problem]:
    try:
        model.model_validate(dict(table))
    except ValidationError as error:
        yield from _told_once(error, model)
    if rules is not None:
        yield from _rule_problems(table, rules)


def _override_problems(table: Mapping[str, Any], rules: Mapping[str, Callable[..., Any]] | None) -> Iterator[Problem]:
    plain = {str(key).replace("-", "_"): value for key, value in table.items()}
    yield from _table_problems(Override, plain, rules)
    for name in ONLY_OUTSIDE:
        if name in plain:
            yield (name,), "holds for a whole run: put it beside the overrides, not into one"
    silent = [name for name in WITH_REASON if name in plain]
    if silent and not plain.get("reason"):
        yield (silent[0],), 'changes what is reported for these models: add reason = "why"'


def _told_once(error: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    """One line for a value, however many alternatives of its type refused it."""
    seen = set()
    for entry in error.errors(include_url=False, include_context=False):
        name, *rest = entry["loc"] or ("",)
        field = model.model_fields.get(str(name))
        # below a union pydantic adds the alternative to the path: only what is in the table is a place
        place = (str(name), *_inside(rest, entry))
        if place in seen:
            continue
        seen.add(place)
        if field is None:
            yield place, f"no such setting{did_you_mean(str(name), model.model_fields)}"
        elif name in REASONS and len(place) == 2:
            yield place, f"got {_shown(entry['input'])}; allowed: the reason why it is accepted, as text that is not empty"
        elif entry["type"] == "missing":
            yield (), f"no {name}; allowed: {field.description}"
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
    for key in REASONS:
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
    share = option.endswith(("fraction", "share"))
    if share and isinstance(value, int | float) and not 0 <= value <= 1:
        return f"got {_shown(value)}; allowed: a share from 0 to 1"
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
    """A value as the user wrote it, with its kind, because `5` and `"5"` look alike."""
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
