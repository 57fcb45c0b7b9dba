"""A fault planted in a module that is loaded, so that nothing has to be imported again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

from benchmarks.mutation.mutants import Mutant


def functions_of(paths: Collection[str]) -> list[FunctionType]:
    """Every function that stands in these files; nobody asks the garbage collector once a fault, which takes longer than a test."""
    # not isinstance: it asks some objects for their class, and they answer with a warning
    return [one for one in gc.get_objects() if type(one) is FunctionType and one.__code__.co_filename in paths]


def plant(mutant: Mutant, functions: Sequence[FunctionType]) -> None:
    """Give every one of the functions that stands in the module, also those inside others, the code of the faulty one.

    What else stands in the module is replaced wherever it was imported by name.
    """
    path = str(mutant.path)
    # not getattr: modules may answer with a warning, or with an import
    module = next(m for m in list(sys.modules.values()) if getattr(m, "__dict__", {}).get("__file__") == path)
    faulty = compile(mutant.tree, path, "exec")
    space: dict[str, Any] = {**vars(module)}
    exec(faulty, space)
    for name, fresh in space.items():
        old = vars(module).get(name)
        if fresh is old or name.startswith("__"):
            continue
        if isinstance(old, FunctionType) and isinstance(fresh, FunctionType):
            old.__defaults__, old.__kwdefaults__ = fresh.__defaults__, fresh.__kwdefaults__
        elif not isinstance(old, type):
            _everywhere(module, name, old, fresh)
    before = compile(mutant.path.read_text(), path, "exec")
    codes = _pairs(before, faulty)
    for function in functions:
        fresh_code = codes.get(function.__code__)
        if fresh_code is not None and fresh_code.co_freevars == function.__code__.co_freevars:
            function.__code__ = fresh_code


def _pairs(before: CodeType, faulty: CodeType) -> dict[CodeType, CodeType]:
    """Old code -> new code of what has the same name at the same line; a fault may take away what stood between."""
    old, new = _by_place(before), _by_place(faulty)
    same = (zip(codes, new[place], strict=True) for place, codes in old.items() if len(codes) == len(new.get(place, ())))
    return dict(pair for pairs in same for pair in pairs)


def _by_place(code: CodeType, place: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], list[CodeType]]:
    found: dict[tuple[str | int, ...], list[CodeType]] = {}
    for held in code.co_consts:
        if isinstance(held, CodeType):
            here = (*place, held.co_name, held.co_firstlineno)
            found.setdefault(here, []).append(held)
            for inner, codes in _by_place(held, here).items():
                found.setdefault(inner, []).extend(codes)
    return found


def _everywhere(module: ModuleType, name: str, old: Any, fresh: Any) -> None:
    for other in list(sys.modules.values()):
        held = getattr(other, "__dict__", None)
        if other is module or (held is not None and old is not None and held.get(name) is old):
            vars(other)[name] = fresh
