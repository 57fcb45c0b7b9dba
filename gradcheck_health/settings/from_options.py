"""Options of the command line -> sources of settings, each named after the option that the user typed."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck_health.baseline.bounds import parse_all
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.files import read_regular
from gradcheck_health.settings import strict_yaml
from gradcheck_health.settings.catalogue import ENTRIES, OPTIONS, REASONS
from gradcheck_health.settings.config_files import loads
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.arguments.vocabulary import CONFIGURATION

MAX_BYTES = 2**24
NO_REASON = "ignored on the command line"
WORDS = {"true": True, "false": False, "null": None}


def sources(options: Mapping[str, Any], prefix: str = "--") -> list[Source]:
    """A source for each option that was given.

    Args:
        options: values by name; None or absent where an option was not given.
        prefix: what stands before an option's name, for messages.

    Raises:
        UsageError: an option `name=value` without a name or value, or a key of --set that names no setting.
    """
    found = [_set(text, prefix) for text in options.get("settings") or ()]
    found += [
        Source(f"{prefix}{name.replace('_', '-')}", {name: options[name]}) for name in OPTIONS if options.get(name) is not None
    ]
    if select := options.get("select"):
        names = [name.strip() for text in select for name in text.split(",")]
        found.append(Source(f"{prefix}select", {"select": [name for name in names if name]}))
    if only := options.get("only_remedies"):
        names = [name.strip() for text in only for name in text.split(",")]
        found.append(Source(f"{prefix}only", {"only_remedies": [name for name in names if name]}))
    if ignore := options.get("ignore"):
        found.append(Source(f"{prefix}ignore", {"ignore": dict(map(_ignored, ignore))}))
    if options.get("baseline") is not None:
        # --no-baseline is the empty name
        origin = f"{prefix}baseline" if options["baseline"] else f"{prefix}no-baseline"
        found.append(Source(origin, {"baseline": options["baseline"] or None}))
    if (weights := _weights(options, prefix)) is not None:
        found.append(Source(f"{prefix}checkpoint", {"checkpoint": weights}))
    if fail_if := options.get("fail_if"):
        parse_all(fail_if)
        found.append(Source(f"{prefix}fail-if", {"rules": {"regressed-gradient": {"fail_if": list(fail_if)}}}))
    if args := options.get("args"):
        pairs = [_pair(f"{prefix}arg", text) for text in args]
        values = [(name, _argument(f"{prefix}arg {name}", name, value)) for name, value in pairs]
        found.append(Source(f"{prefix}arg", {"args": _nested(f"{prefix}arg", values)}))
    if inputs := options.get("inputs"):
        found.append(Source(f"{prefix}input", {"inputs": _inputs(inputs)}))
    return found


def _weights(options: Mapping[str, Any], prefix: str) -> Any:
    """The file of weights, or a table that says where in it they are."""
    more = {name: value for name in ("key", "prefix") if (value := options.get(f"checkpoint_{name}")) is not None}
    file = options.get("checkpoint")
    if more and file is None:
        raise UsageError(f"{prefix}checkpoint-{next(iter(more))}: got no file; allowed: beside {prefix}checkpoint FILE")
    return {"file": file, **more} if more else file


def literal(text: str) -> Any:
    """A Python literal, or true, false, null; everything else is text, so that words need no quotes."""
    if text in WORDS:
        return WORDS[text]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a backslash in text is no mistake
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _nested(option: str, values: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """`config.n_layer` is the entry `n_layer` of `config`; what stands later wins."""
    table: dict[str, Any] = {}
    for name, value in values:
        *above, last = name.split(".")
        inner = table
        for part in above:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{option} {name}: {part} was given as {inner!r}, which has no entries")
        inner[last] = value
    return table


_TABLES = (".yaml", ".yml", ".json", ".toml")


def _argument(option: str, name: str, text: str) -> Any:
    """A literal or text; `@config.yaml` is the table in that file."""
    if not text.startswith("@"):
        if re.fullmatch(CONFIGURATION, name.lower()) and text.endswith(_TABLES):
            raise UsageError(
                f"{option}={text}: got text; allowed: {name}=@{text} for the table in that file, or a literal such as"
                f" \"{name}={{'depth': 2}}\""
            )
        return literal(text)
    path = Path(text[1:])
    if path.suffix not in _TABLES:
        raise UsageError(f"{option}={text}: got a {path.suffix or 'nameless'} file; allowed: .yaml, .json or .toml")
    try:
        contents = read_regular(path, MAX_BYTES).decode("utf-8")
        if path.suffix == ".json":
            return json.loads(contents)
        return strict_yaml.read(contents).value if path.suffix != ".toml" else loads()(contents)
    except FileNotFoundError:
        raise UsageError(f"{option}={text}: no file {path}") from None
    except (strict_yaml.YamlError, ValueError, RecursionError) as error:
        line = f"line {error.line}: " if isinstance(error, strict_yaml.YamlError) and error.line else ""
        raise UsageError(f"{option}={text}: cannot be read: {line}{error}") from None


def _set(text: str, prefix: str) -> Source:
    origin = f"{prefix}set"
    key, value = _pair(origin, text)
    first, _, rest = key.partition(".")
    if first not in ENTRIES:
        if rest:
            tables = ", ".join(f"{table}.{entry}" for table, entry in ENTRIES.items())
            raise UsageError(f"{origin} {text}: {first!r} is no table; tables are {tables}")
        return Source(origin, {first: literal(value)})
    if first == "rules":
        rule, dot, option = rest.rpartition(".")
        if not dot:
            raise UsageError(
                f"{origin} {text}: got no option; allowed: rules.RULE.OPTION=VALUE, such as rules.dead-unit.max_fraction=0.3"
            )
        return Source(origin, {"rules": {rule: {option: literal(value)}}})
    if not rest:
        raise UsageError(f"{origin} {text}: got no name; allowed: {first}.{ENTRIES[first]}=VALUE")
    return Source(origin, {first: {rest: value if first in REASONS else literal(value)}})


def _ignored(text: str) -> tuple[str, str]:
    entry, equals, reason = text.partition("=")
    return entry.strip(), reason if equals else NO_REASON


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{option} {text}: got no name and value; allowed: {option} name=value")
    return name.strip(), value


def _inputs(given: Sequence[str]) -> Any:
    """One specification, a list of them, or a table by argument name."""
    split = [text.partition("=") for text in given]
    named = [(name, value) for name, equals, value in split if equals and all(map(str.isidentifier, name.split(".")))]
    if not named:
        return given[0] if len(given) == 1 else list(given)
    if len(named) < len(given):
        raise UsageError("--input: some name their argument and some do not; name all of them, as in --input x=f32[B,3,32,32]")
    return _nested("--input", named)
