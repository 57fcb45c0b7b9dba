"""A class or function bound to arguments, so that it is a factory that can be called again and again."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

from gradcheck_health.targets.arguments.complete import hints_of
from gradcheck_health.targets.arguments.convert import converted


def bound(found: Callable[..., Any], args: Mapping[str, Any]) -> Callable[[], Any]:
    """The factory with its arguments."""
    given = converted_all(found, args)

    @functools.wraps(found, updated=())
    def build() -> Any:
        # modules among the arguments are not shared between the models that are built
        return found(**copy.deepcopy(dict(given)))

    return build


def converted_all(found: Any, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the constructor takes them: a table may stand for an object with attributes."""
    hints = hints_of(found) if any(isinstance(value, Mapping) for value in args.values()) else {}
    return {name: converted(value, hints.get(name), name, found) for name, value in args.items()}
