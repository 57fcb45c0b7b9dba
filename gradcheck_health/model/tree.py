"""The modules of a model in one loop: torch hands each through a generator of every level above it, and a check asks often."""

from __future__ import annotations

from torch import nn


def named_modules(model: nn.Module, *, remove_duplicate: bool = True) -> list[tuple[str, nn.Module]]:
    """As `model.named_modules()`: each module once, under its first name, before its children.

    Args:
        remove_duplicate: otherwise a shared module comes under all its names; inside itself a module is left out.
    """
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    stack: list[tuple[str, nn.Module, frozenset[int]]] = [("", model, frozenset())]
    while stack:
        path, module, above = stack.pop()
        if id(module) in (seen if remove_duplicate else above):
            continue
        seen.add(id(module))
        found.append((path, module))
        if children := module._modules:
            prefix = f"{path}." if path else ""
            inside = above if remove_duplicate else above | {id(module)}
            stack += [(prefix + name, child, inside) for name, child in reversed([*children.items()]) if child is not None]
    return found


def modules(model: nn.Module) -> list[nn.Module]:
    """As `model.modules()`."""
    return [module for _, module in named_modules(model)]
