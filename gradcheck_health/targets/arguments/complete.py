"""Arguments for a constructor that were not given: guessed, tried, and changed until the model can be built and runs."""

from __future__ import annotations

import contextlib
import inspect
import io
import traceback
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gradcheck_health.records.errors import describe_error
from gradcheck_health.records.wording import a_kind
from gradcheck_health.targets.arguments.candidates import candidates
from gradcheck_health.targets.arguments.vocabulary import WIDTH

TRIES = 40
"""Constructions of one model, at most."""
RUNS = 6
"""Models that may be built for trying their forward, at most."""
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Completed:
    """What was found for the arguments that were not given."""

    arguments: Mapping[str, Any] | None
    """None where nothing that was tried builds it."""
    reason: str = ""
    """Why not: the last error."""


def complete(found: Any, given: Mapping[str, Any], missing: list[str], runs: Callable[[Any], bool] | None = None) -> Completed:
    """Values for the missing arguments of a class or function, with which it builds, and runs where that can be had.

    Args:
        given: arguments that the user gave; they stay as they are.
        missing: names of the others that are required.
        runs: whether a model that was built runs forward on some input.
    """
    parameters = arguments(found)
    hints = hints_of(found)
    options = {name: candidates(parameters[name], found, hints.get(name, inspect.Parameter.empty)) for name in missing}
    unknown = [name for name, values in options.items() if not values]
    if unknown:
        return Completed(None, f"nothing is known about {', '.join(unknown)}")
    search = _Search(found, given, runs)
    chosen = search.find({name: values[0] for name, values in options.items()}, options)
    return Completed(chosen, "" if chosen is not None else search.reason)


def arguments(found: Any) -> dict[str, inspect.Parameter]:
    """What a class or function takes, by name; of one that takes `*args, **kwargs` what its first overload takes."""
    try:
        parameters = dict(inspect.signature(found).parameters)
    except (TypeError, ValueError):  # a callable written in C tells no signature: calling it will show
        return {}
    overload = _overload(found)
    if overload is None or any(parameter.kind not in VARIADIC for parameter in parameters.values()):
        return parameters
    own = list(inspect.signature(overload).parameters.items())
    return dict(own[1:] if isinstance(found, type) else own)


def _overload(found: Any) -> Any:
    """The first `typing.overload` of a function or of a constructor; Python 3.10 does not keep them."""
    overloads = getattr(typing, "get_overloads", lambda function: ())
    function = _function(found)
    return next(iter(overloads(function)), None) if inspect.isfunction(function) else None


def _function(found: Any) -> Any:
    """What runs when it is called."""
    return inspect.getattr_static(found, "__init__") if isinstance(found, type) else found


def format_value(value: Any) -> str:
    """A made-up value as a user would type it, or what it is."""
    if isinstance(value, type) or inspect.isfunction(value):
        return str(value.__name__)
    plain = value is None or isinstance(value, bool | int | float | str | list | tuple)
    return repr(value) if plain else a_kind(value) if not hasattr(value, "shown") else str(value.shown())


class _Search:
    """One search: single changes of what got furthest, in a fixed order."""

    def __init__(self, found: Any, given: Mapping[str, Any], runs: Callable[[Any], bool] | None) -> None:
        self.found, self.given, self.runs = found, given, runs
        self.tries = self.tested = 0
        self.reason = ""
        self.built: dict[str, Any] | None = None

    def find(self, first: dict[str, Any], options: Mapping[str, list[Any]]) -> dict[str, Any] | None:
        best, best_progress = first, self._progress(first)
        if best_progress is None:
            return first
        improved = True
        while improved and self.tries < TRIES:
            improved = False
            for values in _next(best, options):
                if self.tries >= TRIES:
                    break
                progress = self._progress(values)
                if progress is None:
                    return values
                if progress > best_progress:
                    best, best_progress, improved = values, progress, True
                    break
        return self.built

    def _progress(self, values: dict[str, Any]) -> int | None:
        """None if it builds and runs; how far it got otherwise: a line, or beyond all lines where it builds."""
        if self.built is not None and self.tested >= RUNS:
            self.tries = TRIES
            return -1
        self.tries += 1
        try:
            with _quiet():
                model = self.found(**self.given, **values)
        except Exception as error:  # noqa: BLE001 - the constructor's own
            self.reason = describe_error(error).partition("\n")[0][:160]
            return _line(error)
        if self.runs is None:
            return None
        self.tested += 1
        if self.runs(model):
            return None
        self.built = self.built if self.built is not None else values
        return 1 << 30


def _line(error: Exception) -> int:
    """How far into the constructor it got: the first line of it in the traceback."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    lines = [line for _, line in traceback.walk_tb(error.__traceback__)]
    return lines[1] if len(frames) > 1 else 0


def _next(values: dict[str, Any], options: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    yield from _alike(values, options)
    once = list(_changed(values, options))
    yield from once
    # two that wait for each other: a block class and the list of depths
    for one in once:
        yield from (two for two in _changed(one, options) if sum(two[name] is not values[name] for name in two) == 2)


def _alike(values: dict[str, Any], options: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every width the same, for blocks that add their input to their output."""
    wide = {name: WIDTH for name, found in options.items() if WIDTH in [v for v in found if isinstance(v, int)]}
    if len(wide) > 1 and any(values[name] != WIDTH for name in wide):
        yield {**values, **wide}


def _changed(values: dict[str, Any], options: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for name, found in options.items():
        for value in found:
            if value is not values[name]:
                yield {**values, name: value}


def hints_of(found: Any) -> dict[str, Any]:
    """The annotations of what a class or function takes, as far as they can be resolved."""
    try:
        return typing.get_type_hints(_overload(found) or _function(found))
    except Exception:  # noqa: BLE001 - an annotation that only a type checker can resolve
        return {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
