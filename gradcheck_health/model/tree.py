"""The modules of a model in one loop: torch hands each through a generator of every level above it, and a check asks often."""

from __future__ import annotations

from torch import nn


def named_modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """As `model.named_modules()`: each module once, under its first name, before its children."""
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    stack = [("", model)]
    while stack:
        path, module = pair = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.append(pair)
        if children := module._modules:
            prefix = f"{path}." if path else ""
            stack += [(prefix + name, child) for name, child in reversed([*children.items()]) if child is not None]
    return found


def modules(model: nn.Module) -> list[nn.Module]:
    """As `model.modules()`."""
    return [module for _, module in named_modules(model)]
