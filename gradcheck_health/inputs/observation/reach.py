"""Which parameters the outputs of a forward pass depend on, read from the autograd graph without running it backward."""

from __future__ import annotations

from typing import Any

from torch import nn

from gradcheck_health.model.nest import tensors

_CAP = 200_000


def reached(model: nn.Module, output: Any) -> tuple[frozenset[str], bool]:
    """Names of the trainable parameters behind the outputs, and whether any output can be differentiated."""
    stack = [tensor.grad_fn for tensor in tensors(output) if tensor.grad_fn is not None]
    found = {id(tensor) for tensor in tensors(output) if tensor.requires_grad and tensor.grad_fn is None}
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
