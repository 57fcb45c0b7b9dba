"""All remedies by their names: the public functions of the files in `cures`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from gradcheck_health.check.remedies.patient import Change, Patient
from gradcheck_health.records.finding import Finding

Remedy = Callable[[Patient, Finding], Change | None]
_CURES = "gradcheck_health.check.remedies.cures"


@cache
def remedies() -> Mapping[str, Remedy]:
    """Name in kebab-case -> function, in the order of their definition."""
    found: dict[str, Remedy] = {}
    for file in sorted(pkgutil.iter_modules(importlib.import_module(_CURES).__path__), key=lambda one: one.name):
        module = importlib.import_module(f"{_CURES}.{file.name}")
        for name, value in vars(module).items():
            if (
                not name.startswith("_")
                and inspect.isfunction(value)
                and value.__module__ == module.__name__
                and _treats(value)
            ):
                found[name.replace("_", "-")] = value
    return found


def _treats(function: Remedy) -> bool:
    return list(inspect.signature(function).parameters) == ["patient", "finding"]
