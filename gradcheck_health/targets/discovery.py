"""The model classes, functions and models that the module of a user's file defines."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any


def models(module: ModuleType) -> dict[str, type]:
    """The model classes that the file itself defines, in its order, base classes without a forward or a training_step apart."""
    return dict(_defined(module, lambda value: _is_model_class(value) and _has_forward(value)))


def public(module: ModuleType) -> dict[str, Any]:
    """The model classes and the functions of the module, wherever they were defined: a package hands on those of its files."""
    return dict(_public(module, lambda value: _is_model_class(value) or inspect.isfunction(value)))


def functions(module: ModuleType) -> dict[str, Any]:
    return dict(_defined(module, inspect.isfunction))


def _defined(module: ModuleType, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    return _public(module, lambda value: wanted(value) and getattr(value, "__module__", None) == module.__name__)


def _public(module: ModuleType, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(module).items()):
        try:
            if not name.startswith("_") and wanted(value):
                yield name, value
        except Exception:  # noqa: BLE001 - a proxy or a metaclass that answers no question is no model
            continue


def is_model(value: Any) -> bool:
    from torch import nn

    try:
        return isinstance(value, nn.Module)
    except Exception:  # noqa: BLE001 - a proxy whose class is not to be had
        return False


def built(module: ModuleType) -> dict[str, Any]:
    """The models that the module made, each under the first of its names."""
    found: dict[int, tuple[str, Any]] = {}
    for name, value in list(vars(module).items()):
        if not name.startswith("_") and is_model(value):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


def _is_model_class(value: Any) -> bool:
    from torch import nn

    return isinstance(value, type) and issubclass(value, nn.Module)


def _has_forward(cls: Any) -> bool:
    from torch import nn

    runs = cls.forward is not nn.Module.forward or callable(getattr(cls, "training_step", None))
    return runs and not inspect.isabstract(cls)


def outermost(classes: Mapping[str, type]) -> dict[str, type]:
    """The classes that no other class of the file uses or extends: a file is checked by its networks, not by their blocks."""
    used = {name for cls in classes.values() for name in _names(cls) if classes.get(name) is not cls}
    extended = {base for cls in classes.values() for base in cls.__mro__[1:]}
    return {name: cls for name, cls in classes.items() if name not in used and cls not in extended}


def _names(cls: type) -> Iterator[str]:
    """Global names that the methods of a class refer to."""
    for value in vars(cls).values():
        code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
        pending = [code] if code is not None else []
        while pending:
            one = pending.pop()
            yield from one.co_names
            pending += [constant for constant in one.co_consts if hasattr(constant, "co_names")]
