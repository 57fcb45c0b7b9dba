"""Which parameters the outputs of a forward pass depend on, read from the autograd graph without running it backward."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

_CAP = 200_000


def outputs(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """Tensors in whatever forward returned: containers, dataclasses, mappings, objects with attributes (distributions too)."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth > 6:
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from outputs(item, depth + 1)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from outputs(item, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from outputs(getattr(value, field.name, None), depth + 1)
    elif hasattr(value, "__dict__") and not isinstance(value, nn.Module | type):
        for item in vars(value).values():
            yield from outputs(item, depth + 1)


def reached(model: nn.Module, output: Any) -> tuple[frozenset[str], bool]:
    """Names of the trainable parameters behind the outputs, and whether any output can be differentiated."""
    stack = [tensor.grad_fn for tensor in outputs(output) if tensor.grad_fn is not None]
    found = {id(tensor) for tensor in outputs(output) if tensor.requires_grad and tensor.grad_fn is None}
    differentiable = bool(stack or found)
    seen: set[Any] = set()
    while stack and len(seen) < _CAP:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.add(id(variable))
        stack.extend(parent for parent, _ in node.next_functions if parent is not None)
    names = (name for name, p in model.named_parameters() if p.requires_grad and id(p) in found)
    return frozenset(names), differentiable


def trainable(model: nn.Module) -> frozenset[str]:
    """Names of the parameters that want a gradient; tied ones once."""
    return frozenset(name for name, p in model.named_parameters() if p.requires_grad)
