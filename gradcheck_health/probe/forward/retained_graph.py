"""Which attributes hold a part of the graph when forward is over: what the next forward reads of them goes through this one."""

from __future__ import annotations

import dis
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.tree import modules, named_modules
from gradcheck_health.model.wrappers import own_class

_PLAIN = frozenset({bool, int, float, str, type(None), dict, OrderedDict, set})
"""Most attributes are of these, and hold no graph that is searched for."""


def carried(model: nn.Module) -> dict[str, int]:
    """Paths of attributes with a tensor, or a few of them, that know how they were computed, and the id() of each.

    Not the weights that the hooks of weight_norm and spectral_norm make again before each forward.
    """
    return {path: id(value) for path, value in _keepers(model).items()}


def held(model: nn.Module) -> dict[str, list[Any]]:
    """The same paths, and the nodes of the graph at which what each of them holds was computed."""
    found = {}
    for path, value in _keepers(model).items():
        tensors = [one for one in (value if isinstance(value, tuple | list) else [value]) if isinstance(one, torch.Tensor)]
        found[path] = [one.grad_fn for one in tensors if one.grad_fn is not None]
    return found


def _keepers(model: nn.Module) -> dict[str, Any]:
    found = [
        (module, key, value)
        for module in modules(model)
        for key, value in vars(module).items()
        if type(value) not in _PLAIN and _has_graph(value) and not _normed(module, key)
    ]
    paths = {module: path for path, module in named_modules(model)} if found else {}
    return {f"{paths[module]}.{key}".lstrip("."): value for module, key, value in found}


def _normed(module: nn.Module, key: str) -> bool:
    return f"{key}_g" in module._parameters or f"{key}_orig" in module._parameters


def _has_graph(value: Any) -> bool:
    if isinstance(value, tuple | list) and 0 < len(value) <= 4:
        return any(_has_graph(item) for item in value if isinstance(item, torch.Tensor))
    return isinstance(value, torch.Tensor) and value.grad_fn is not None


def stale(model: nn.Module, before: Mapping[str, int], nodes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Of the attributes that held a part of the graph before forward those that forward left there, and used.

    With the method that computes each anew, and that the user is to call between steps; "" where there is none.
    """
    if not before:
        return
    used = set(map(id, nodes))
    for path, module in named_modules(model):
        for key, value in vars(module).items():
            name = f"{path}.{key}".lstrip(".")
            if before.get(name) == id(value) and isinstance(value, torch.Tensor) and id(value.grad_fn) in used:
                yield name, _renewal(own_class(module), key)


def _renewal(cls: type, attribute: str) -> str:
    """A method that assigns the attribute, and that neither the constructor nor forward calls; none that only moves it."""
    methods: dict[str, list[CodeType]] = {}
    for one in cls.__mro__[: cls.__mro__.index(nn.Module)]:
        for name, value in vars(one).items():
            if isinstance(value, FunctionType):
                methods.setdefault(name, []).append(value.__code__)
    called, left = set(), ["__init__", "forward"]
    while left:
        called.add(name := left.pop())
        left += [other for code in methods.get(name, ()) for other in code.co_names if other in methods and other not in called]
    for name in methods.keys() - called:
        touched = {(one.opname, one.argval) for code in methods[name] for one in dis.get_instructions(code)}
        if ("STORE_ATTR", attribute) in touched and ("LOAD_ATTR", attribute) not in touched:
            return name
    return ""
