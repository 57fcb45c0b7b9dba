"""A fault planted in a module that is loaded, so that nothing has to be imported again."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any

from benchmarks.mutation.mutants import Mutant


def plant(mutant: Mutant) -> None:
    """Give the functions of the module the code of the faulty ones; other modules hold these very functions.

    What else stands in the module is replaced wherever it was imported by name.
    """
    module = next(m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(mutant.path))
    space: dict[str, Any] = {**vars(module)}
    exec(compile(mutant.tree, str(mutant.path), "exec"), space)
    for name, fresh in space.items():
        old = vars(module).get(name)
        if fresh is old or name.startswith("__"):
            continue
        if isinstance(old, FunctionType) and isinstance(fresh, FunctionType):
            _transplant(old, fresh)
        elif isinstance(old, type) and isinstance(fresh, type):
            _transplant_class(old, fresh)
        else:
            _everywhere(module, name, old, fresh)


def _transplant(old: FunctionType, fresh: FunctionType) -> None:
    old.__code__, old.__defaults__, old.__kwdefaults__ = fresh.__code__, fresh.__defaults__, fresh.__kwdefaults__


def _transplant_class(old: type, fresh: type) -> None:
    for name, member in list(vars(fresh).items()):
        before = vars(old).get(name)
        if isinstance(before, FunctionType) and isinstance(member, FunctionType):
            _transplant(before, member)
        elif isinstance(before, property) and isinstance(member, property):
            _transplant(before.fget, member.fget)  # type: ignore[arg-type]
        elif isinstance(before, classmethod | staticmethod):
            _transplant(before.__func__, member.__func__)  # type: ignore[arg-type,attr-defined]


def _everywhere(module: ModuleType, name: str, old: Any, fresh: Any) -> None:
    for other in list(sys.modules.values()):
        held = getattr(other, "__dict__", None)
        if other is module or (held is not None and old is not None and held.get(name) is old):
            vars(other)[name] = fresh
