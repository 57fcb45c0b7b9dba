"""Which globals of the user's own files a function reads and writes: a counter of calls, a list that a hook fills."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

_WRITES = ("STORE_GLOBAL", "DELETE_GLOBAL")


def is_own(code: CodeType) -> bool:
    """Not of an installed package."""
    return "site-packages" not in code.co_filename and "dist-packages" not in code.co_filename


@lru_cache(maxsize=10_000)
def _names(code: CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(all that may be globals, those that are written), with the functions inside."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    written = {one.argval for one in dis.get_instructions(code) if one.opname in _WRITES}
    known = set(code.co_names)
    for one in inner:
        names, writes = _names(one)
        known.update(names)
        written.update(writes)
    return tuple(sorted(known)), tuple(sorted(written))


def values(function: FunctionType) -> Iterator[Any]:
    """What its globals hold, other than modules."""
    space = function.__globals__
    for name in _names(function.__code__)[0]:
        value = space.get(name)
        if value is not None and not isinstance(value, ModuleType | BuiltinFunctionType):
            yield value


def written(function: FunctionType) -> tuple[str, ...]:
    """The names that it binds anew."""
    return _names(function.__code__)[1]
