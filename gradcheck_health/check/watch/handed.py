"""What a loop hands over to be watched, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from gradcheck_health.probe.training.observer import held
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.wording import a_kind


def models(model: Any) -> nn.Module:
    """One module; several are held together by a container, whose names begin with their place in it."""
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, Mapping) and model and all(isinstance(one, nn.Module) for one in model.values()):
        return nn.ModuleDict(model)
    if isinstance(model, list | tuple) and model and all(isinstance(one, nn.Module) for one in model):
        return nn.ModuleList(model)
    raise UsageError(f"model= got {a_kind(model)}; allowed: an nn.Module, or a list or a dict of several")


def optimizers(model: nn.Module, optimizer: Any) -> tuple[torch.optim.Optimizer, ...]:
    """One or several, without the wrappers of accelerate, which call themselves optimizers and have none of the hooks.

    Raises:
        UsageError: something else, or optimizers that hold nothing of the model, nor of its shapes.
    """
    given: Sequence[Any] = optimizer if isinstance(optimizer, list | tuple) else [optimizer]
    found = []
    for one in given:
        inner = one if hasattr(one, "_optimizer_step_pre_hooks") else getattr(one, "optimizer", one)
        if not isinstance(inner, torch.optim.Optimizer):
            raise UsageError(f"optimizer= got {a_kind(one)}; allowed: a torch.optim.Optimizer, or a list of several")
        found.append(inner)
    if not found:
        raise UsageError("optimizer= is an empty list; allowed: a torch.optim.Optimizer, or a list of several")
    tensors = [p for one in found for p in held(one)]
    known = {id(p) for p in model.parameters()}
    if any(id(p) in known for p in tensors) or {tuple(p.shape) for p in tensors} & {tuple(p.shape) for p in model.parameters()}:
        return tuple(found)
    raise UsageError(
        f"optimizer= {type(found[0]).__name__} holds {len(tensors)} tensors, and none of them is a parameter of "
        f"{type(model).__name__}: hand over the model that it trains"
    )


def whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name}= got {value!r}; allowed: a whole number from {least}")
    return value
