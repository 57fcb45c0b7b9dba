"""The modules of a model in one loop: torch hands each through a generator of every level above it, and a check asks often."""

from __future__ import annotations

from torch import nn

WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Attributes under which compile, FSDP and activation checkpointing hold the module that they wrap."""
STAGE = "_pipeline_stage_"
"""How the names begin under which the stages of a pipeline are held, where they have names of their own already."""
_COPIES = frozenset({"DataParallel", "DistributedDataParallel"})
"""Classes that hold the module that they wrap as `module`, a name that other classes have, too."""


def named_modules(model: nn.Module, *, remove_duplicate: bool = True) -> list[tuple[str, nn.Module]]:
    """As `model.named_modules()`: each module once, under its first name, before its children; names are without wrappers.

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
        if module._modules:
            inside = above if remove_duplicate else above | {id(module)}
            stack += [(name, child, inside) for name, child in reversed(_children(path, module))]
    return found


def modules(model: nn.Module) -> list[nn.Module]:
    """As `model.modules()`."""
    found: dict[int, nn.Module] = {}
    stack = [model]
    while stack:
        module = stack.pop()
        if id(module) not in found:
            found[id(module)] = module
            if module._modules:
                stack += [child for _, child in reversed([*module._modules.items()]) if child is not None]
    return [*found.values()]


def is_wrapper(module: nn.Module) -> bool:
    """It holds a module that goes by the same name, and is no layer of its own."""
    return bool(module._modules) and any(_hands_on(module, name) for name, _ in module._modules.items())


def _children(path: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    prefix = f"{path}." if path else ""
    return [
        (path if _hands_on(module, name) else prefix + name, child)
        for name, child in module._modules.items()
        if child is not None
    ]


def _hands_on(module: nn.Module, name: str) -> bool:
    """What it holds under this name has its own."""
    if name[:1] == "_":
        return name in WRAPPERS or name.startswith(STAGE)
    return name == "module" and type(module).__name__ in _COPIES
