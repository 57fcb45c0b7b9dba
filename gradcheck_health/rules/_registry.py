"""Which rules there are: built in, of installed packages, and those the user adds."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck_health.records.errors import UsageError, describe_error, did_you_mean
from gradcheck_health.records.wording import a_kind

if TYPE_CHECKING:
    from gradcheck_health.records.finding import Finding, Need
    from gradcheck_health.records.trace import Trace

RuleFunction = Callable[..., "Iterator[Finding | Need]"]
ENTRY_POINTS = "gradhealth.rules"


@cache
def names() -> tuple[str, ...]:
    """The built-in rules, sorted, by their file names: none is imported."""
    stems = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return tuple(sorted(stem.replace("_", "-") for stem in stems if not stem.startswith("_")))


def load(extra: Sequence[str | RuleFunction] = ()) -> dict[str, RuleFunction]:
    """Every rule by its name: the built-in ones, those of installed packages, then `extra`.

    Args:
        extra: functions, or "package.module:function".

    Raises:
        UsageError: a rule cannot be imported, or two have the same name.
    """
    found = builtin()
    for rule in (*installed(), *extra):
        function = _import(rule) if isinstance(rule, str) else rule
        if not inspect.isroutine(function):
            raise UsageError(f"extra rule {rule!r}: got {a_kind(function)}; allowed: a function of a Trace, or its name")
        name = function.__name__.replace("_", "-")
        if found.setdefault(name, function) is not function:
            raise UsageError(
                f"two rules are called {name!r}: one in {found[name].__module__}, one in {function.__module__}; rename one"
            )
    return found


def builtin() -> dict[str, RuleFunction]:
    """The rules of this folder by name."""
    return {name: named(name) for name in names()}


@cache
def named(name: str) -> RuleFunction:
    """The rule of this folder that is called so; no other is imported."""
    stem = name.replace("-", "_")
    rule: RuleFunction = getattr(importlib.import_module(f"{__package__}.{stem}"), stem)
    return rule


def summaries() -> dict[str, str]:
    """The built-in rules by name, and the first line of what each says of itself, read off the source: none is imported."""
    return {name: _summary(name.replace("-", "_")) for name in names()}


def _summary(stem: str) -> str:
    text = Path(__file__).with_name(f"{stem}.py").read_text(encoding="utf-8")
    found = re.search(rf'^def {stem}\(.*?^    """(.*?)(?:"""|$)', text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def installed() -> tuple[str, ...]:
    """Where the rules of installed packages stand, "package.module:function", sorted; none is imported."""
    return _announced(tuple((path, _changed(path)) for path in sys.path))


@lru_cache(maxsize=1)
def _announced(folders: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """The same for these folders and the times of their last change, which an installation moves."""
    if not any(map(_mentions, {folder for folder, _ in folders})):
        return ()
    from importlib.metadata import entry_points  # 20 ms, and nearly always for nothing

    return tuple(sorted(point.value for point in entry_points(group=ENTRY_POINTS)))


def _mentions(folder: str) -> bool:
    """A package that is installed in this place of `sys.path` may announce rules."""
    try:
        with os.scandir(folder or ".") as entries:
            packages = [entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
    except (FileNotFoundError, PermissionError):
        return False
    except OSError:  # a zip file, or an egg
        return True
    return any(_announces(package) for package in packages)


def _announces(package: str) -> bool:
    try:
        # not by open(): the user's file may have replaced it
        return ENTRY_POINTS.encode() in Path(package, "entry_points.txt").read_bytes()
    except OSError:
        return False


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def options(rule: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The options of a rule: its keyword-only parameters."""
    parameters = inspect.signature(rule).parameters
    return {name: entry for name, entry in parameters.items() if entry.kind is inspect.Parameter.KEYWORD_ONLY}


def flow_limits(
    chosen: Mapping[str, RuleFunction], settings: Mapping[str, Mapping[str, Any]], trace: Trace
) -> dict[str, float]:
    """Rule -> the bound that it sets to the flow of this trace, for pictures: the file of such a rule has a `flow_limit`."""
    found = {}
    for name, rule in chosen.items():
        limit = getattr(sys.modules.get(rule.__module__), "flow_limit", None)
        if limit is not None:
            found[name] = float(limit(trace, **settings.get(name, {})))
    return found


def _import(where: str) -> RuleFunction:
    module_name, _, attribute = where.partition(":")
    if not attribute:
        raise UsageError(f"extra rule {where!r}: write package.module:function")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(f"extra rule {where!r}: {module_name} cannot be imported: {describe_error(error)}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        functions = [name for name, value in vars(module).items() if callable(value)]
        raise UsageError(
            f"extra rule {where!r}: {module_name} has no function {attribute!r}{did_you_mean(attribute, functions)}"
        )
    return function  # type: ignore[no-any-return]
