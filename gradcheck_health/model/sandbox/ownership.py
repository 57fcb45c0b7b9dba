"""Which of the objects that a module refers to are saved and restored with it, and which belong to torch, Python or pytest."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections import UserDict, UserList
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType, SimpleNamespace
from typing import Any

import torch

ATOMS = (type(None), str, int, float, complex, bytes, type, enum.Enum, torch.dtype, torch.device, torch.Size)
_OTHERS = frozenset({"torch", "torchgen", "numpy", "gradcheck_health", "pytest", "_pytest", "_hypothesis_pytestplugin"})
_OF_TORCH = ("torch.optim.", "torch.distributions.", "torch.amp.", "torch.utils.data.sampler", "torch.utils.data.dataloader")
"""Parts of torch whose objects keep a state that changes with every use."""


def plain_function(held: Any) -> Any:
    """What stands behind a property or a method of the class; anything else as it is."""
    return getattr(held, "fget", None) if isinstance(held, property) else getattr(held, "__func__", held)


def is_persons(cls: type) -> bool:
    """Neither of Python, of torch, nor of what runs the check: threads and locks work on in theirs."""
    module = cls.__module__ if isinstance(cls.__module__, str) else ""
    top = module.partition(".")[0]
    return top not in _OTHERS and (top not in sys.stdlib_module_names or top == "__main__")


def is_record(value: Any) -> bool:
    """Holds values and does nothing: a dataclass, a namespace, a dict in other clothes."""
    return isinstance(value, SimpleNamespace | UserDict | UserList) or dataclasses.is_dataclass(value)


def is_apart(value: Any) -> bool:
    """A plain object or function of the user: it may refer to very many others, and is followed as long as there is room."""
    cls = type(value)
    if isinstance(value, FunctionType):
        return is_persons(value)  # type: ignore[arg-type] # it has a __module__, too
    if isinstance(value, MethodType | partial):
        return True
    return is_persons(cls) or cls.__module__.startswith(_OF_TORCH)


def descriptors(cls: type) -> Iterator[MemberDescriptorType]:
    """Of its `__slots__`."""
    for owner in cls.__mro__:
        if "__slots__" in vars(owner):
            yield from (member for member in vars(owner).values() if isinstance(member, MemberDescriptorType))
