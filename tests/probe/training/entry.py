"""A training that somebody reported sick, rebuilt small, with its mended twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Handed = dict[str, Any]
"""The arguments of `check_gradients`; of `check_step` where a step is among them."""


@dataclass(frozen=True)
class Pair:
    """`make(True)` has the fault that `rule` names, with `at` in its text; `make(False)` is the same, mended: nothing loud."""

    name: str
    make: Callable[[bool], Handed]
    rule: str
    at: str
    """A regular expression for a place, a shape or an operation that the finding has to name."""


def pair(rule: str, at: str = "") -> Callable[[Callable[[bool], Handed]], Pair]:
    """Marks a function as a pair."""
    return lambda make: Pair(make.__name__.replace("_", "-"), make, rule, at)


def pairs(*modules: ModuleType) -> tuple[Pair, ...]:
    """Those that the modules define, in their order."""
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Pair))
