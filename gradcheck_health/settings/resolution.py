"""Which setting wins, and where it came from.

Defaults < pyproject.toml or gradhealth.yaml < options of the command line or of pytest < pytest markers < keyword arguments.
Callers hand over their sources in this order, the later one wins. Tables such as `ignore` and `rules` are merged key by key;
every other setting replaces the one before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gradcheck_health import rules
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.severity import Severity
from gradcheck_health.rules import presets, saved
from gradcheck_health.settings.catalogue import LISTS, MERGED, SETTINGS
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.config_files import in_files
from gradcheck_health.settings.overrides import expanded
from gradcheck_health.settings.source import Source

KnownRules = Mapping[str, Callable[..., Any]] | Literal["all"] | None


def load(
    start: Path | None = None,
    *,
    file: Path | None = None,
    isolated: bool = False,
    over: Sequence[Source] = (),
    known_rules: KnownRules = "all",
    names: Sequence[str] = (),
) -> Config:
    """The settings that hold in the folder `start` (the working directory if None), with the sources `over` put over them.

    Args:
        file: read this file and look for no other.
        isolated: read no file.
        known_rules, names: see `resolve`.

    Raises:
        UsageError: every problem of every source at once.
    """
    return resolve([*in_files(file, isolated, start), *over], known_rules=known_rules, names=names)


def resolve(
    sources: Sequence[Source], *, known_rules: KnownRules = "all", base: Config | None = None, names: Sequence[str] = ()
) -> Config:
    """One `Config` out of sources, for a model of these names: see `validated`."""
    return validated(sources, known_rules=known_rules, base=base).for_model(*names)


@dataclass(frozen=True, slots=True)
class Validated:
    """Sources without a problem: what they say about one model and the next has only to be put together."""

    sources: tuple[Source, ...]
    base: Config

    def for_model(self, *names: str) -> Config:
        """The settings, a later source over an earlier one and all of them over `base`.

        Args:
            names: what the model is called; the overrides of a source that are for it go over the rest of that source.
        """
        config = self.base
        for source in self.sources:
            for part in expanded(source, names):
                config = _over(config, _normal(part))
        return config if config.validated else dataclasses.replace(config, validated=True)


def validated(sources: Sequence[Source], *, known_rules: KnownRules = "all", base: Config | None = None) -> Validated:
    """The sources, once every value in them was checked.

    Args:
        known_rules: every rule by its name, to check rule names and options against; "all" loads them, `extra_rules` included;
            None checks neither.
        base: what the sources go over.

    Raises:
        UsageError: every problem of every source at once.
    """
    base = base or Config()
    given = tuple(_normal(source) for source in sources if source.table)
    if not given:
        return Validated((), base)
    if known_rules == "all":
        extra = (rule for source in given for rule in _extra(source))
        known_rules = {**presets.every(), **saved.every(), **rules.load([*base.extra_rules, *extra])}
    # pydantic takes a tenth of a second to import: only settings that exist are worth it
    from gradcheck_health.settings.validation import problems

    found = [line for source in given for line in problems(source, known_rules)]
    if found:
        head = "" if len(found) == 1 else f"{len(found)} problems in the settings:\n  "
        raise UsageError(head + "\n  ".join(found))
    return Validated(given, base)


def override(config: Config, *, known_rules: KnownRules = "all", **keywords: Any) -> Config:
    """Keyword arguments over a `Config`; None leaves a setting as it is.

    Values may be as in a call: tuples, a `Severity`, a `torch.device` or `torch.dtype`. A `Config` that was put together by
    hand is checked first; one that comes from sources was checked there, and is not checked again.

    Raises:
        UsageError: every problem at once.
    """
    if not config.validated:
        made = resolve([_by_hand(config)], known_rules=known_rules)
        config = dataclasses.replace(made, origins={**made.origins, **config.origins})
    table = {key: _plain(key, value) for key, value in keywords.items() if value is not None}
    return resolve([Source("argument", table)], known_rules=known_rules, base=config)


def _by_hand(config: Config) -> Source:
    """What differs from the defaults; compared as text and numbers only, because a setting may be a tensor."""
    table: dict[str, Any] = {}
    for name in SETTINGS:
        value, usual = getattr(config, name), getattr(_DEFAULTS, name)
        plain = isinstance(value, str | int | float | tuple | dict) and type(value) is type(usual)
        if value is not usual and not (plain and value == usual):
            table[name] = _plain(name, value)
    return Source("config", table)


_DEFAULTS = Config()


def _extra(source: Source) -> list[Any]:
    """Its extra rules; what is no list is reported later, with every other problem."""
    given = source.table.get("extra_rules")
    return [rule for rule in given if callable(rule) or isinstance(rule, str)] if isinstance(given, list) else []


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, Severity):
        return value.value
    if key in ("device", "dtype") and not isinstance(value, str):
        return str(value).removeprefix("torch.")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | set | frozenset) and key in LISTS:
        return list(value)
    if isinstance(value, Mapping) and key in MERGED:
        return {name: dict(item) if isinstance(item, Mapping) else item for name, item in value.items()}
    return value


def _normal(source: Source) -> Source:
    """`fail-on` is `fail_on`: files spell settings with either."""
    table: dict[str, Any] = {}
    for key, value in source.table.items():
        name = str(key).replace("-", "_")
        if name in table:
            raise UsageError(f"{source.where((key,))}: {name}: stands twice, once as {key!r}; keep one")
        table[name] = value
    lines = {(str(path[0]).replace("-", "_"), *path[1:]): line for path, line in source.lines.items()}
    return Source(source.origin, table, lines)


def _over(config: Config, source: Source) -> Config:
    changes: dict[str, Any] = {}
    origins = dict(config.origins)
    for key, value in source.table.items():
        if key == "rules":
            merged = {rule: dict(options) for rule, options in config.rules.items()}
            for rule, options in value.items():
                merged.setdefault(rule, {}).update(options)
                origins.update({f"rules.{rule}.{option}": source.where((key, rule, option)) for option in options})
            changes[key] = merged
        elif key in MERGED:
            changes[key] = {**getattr(config, key), **value}
            origins.update({f"{key}.{name}": source.where((key, name)) for name in value})
        else:
            changes[key] = (
                Severity(value) if key == "fail_on" else tuple(value) if key in LISTS and value is not None else value
            )
            origins[key] = source.where((key,))
    return dataclasses.replace(config, **changes, origins=origins)
