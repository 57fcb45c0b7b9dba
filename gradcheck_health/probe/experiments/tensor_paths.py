"""By which attributes a tensor can be reached from a model, registered or not."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.tree import named_modules
from gradcheck_health.model.wrappers import own_class
from gradcheck_health.probe.graph import graph as graphs

_DEPTH = 12
_REGISTERED = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class TensorPath:
    """Where a tensor lives."""

    name: str
    owner: str
    """Class name of the module that holds it directly."""
    held: str
    """"module": inside a module that is not registered; "attribute": in an attribute, list or dict; "global"; "product":
    only something that was computed from it is in an attribute."""


def homes(model: nn.Module) -> dict[int, TensorPath]:
    """id(tensor) -> the shortest way to it: through attributes, lists, dicts and plain objects, then globals of forward."""
    found: dict[int, TensorPath] = {}
    for tensor, home in _reachable(model):
        found.setdefault(id(tensor), home)
    return found


def products(model: nn.Module) -> dict[int, TensorPath]:
    """id(leaf) -> the attribute that holds what was computed from it, the one with the least computation between."""
    found: dict[int, tuple[int, TensorPath]] = {}
    for tensor, home in _reachable(model):
        graph = None if tensor.grad_fn is None else graphs.walk([tensor.grad_fn])
        if graph is None:
            continue
        for leaf in (graph.nodes[position].variable for position in graph.leaves.values()):
            size = len(graph.nodes)
            if id(leaf) not in found or size < found[id(leaf)][0]:
                found[id(leaf)] = (size, dataclasses.replace(home, held="product"))
    return {leaf: home for leaf, (_, home) in found.items()}


def _reachable(model: nn.Module) -> Iterator[tuple[torch.Tensor, TensorPath]]:
    known = {id(module) for module in model.modules()}
    queue: deque[tuple[Any, str, str, str, int]] = deque()
    for path, module in named_modules(model):
        queue.append((module, path, own_class(module).__name__, "attribute", 0))
    for path, module in named_modules(model):
        for name, value in _of_the_class(type(module)):
            queue.append((value, f"{path}.{name}".lstrip("."), own_class(module).__name__, "attribute", 1))
        for name, value in _outside(type(module).forward):
            queue.append((value, name, "", "global", 1))
    seen: set[int] = set()
    while queue:
        item, path, owner, held, depth = queue.popleft()
        if isinstance(item, torch.Tensor):
            yield item, TensorPath(path, owner or type(item).__name__, held)
        if id(item) in seen or depth > _DEPTH:
            continue
        seen.add(id(item))
        if isinstance(item, nn.Module):
            owner = type(item).__name__
            held = "attribute" if id(item) in known else "global" if held == "global" else "module"
        for key, value in _inside(item):
            queue.append((value, f"{path}.{key}" if path else str(key), owner, held, depth + 1))


def _inside(item: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(item, nn.Module):
        for key, value in vars(item).items():
            if key in _REGISTERED:
                yield from value.items()
            else:
                yield key, value
    elif isinstance(item, dict):
        yield from item.items()
    elif isinstance(item, list | tuple | deque | set | frozenset):
        yield from enumerate(item)
    elif not isinstance(item, torch.Tensor | type | types.ModuleType | types.FunctionType) and hasattr(item, "__dict__"):
        yield from vars(item).items()


def _of_the_class(cls: type) -> Iterator[tuple[str, Any]]:
    """What all instances share: attributes of a user's class, and the defaults of its forward."""
    for owner in cls.__mro__:
        if not owner.__module__.startswith("torch."):
            for name, value in vars(owner).items():
                if isinstance(value, torch.Tensor | nn.Module | list | dict):
                    yield name, value
    forward = vars(cls).get("forward")
    if isinstance(forward, types.FunctionType):
        parameters = inspect.signature(forward).parameters.values()
        yield from ((p.name, p.default) for p in parameters if isinstance(p.default, torch.Tensor | nn.Module))


def _outside(forward: Any) -> Iterator[tuple[str, Any]]:
    """The globals and closure variables that a forward of the user's refers to."""
    if not isinstance(forward, types.FunctionType) or forward.__module__.startswith("torch."):
        return
    for name, cell in zip(forward.__code__.co_freevars, forward.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in forward.__code__.co_names:
        value = forward.__globals__.get(name)
        if isinstance(value, torch.Tensor | nn.Module | list | dict):
            yield name, value
