"""Modules that can only be trained: without a `forward`, with a `training_step(batch, batch_idx)` as in Lightning."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

from torch import nn


@contextlib.contextmanager
def as_forward(model: nn.Module) -> Iterator[bool]:
    """Within the block, calling the model is taking its training step, where it has no forward: whether that is so."""
    bound = bind_step(model)
    try:
        yield bound
    finally:
        if bound:
            vars(model).pop("forward", None)


def bind_step(model: nn.Module) -> bool:
    """Let calls go to `training_step`, where the module has no forward of its own; whether that was done."""
    step = getattr(type(model), "training_step", None)
    if not _unwritten(model) or "forward" in vars(model) or not inspect.isfunction(step):
        return False
    parameters = list(inspect.signature(step).parameters.values())
    if len(parameters) < 2:
        return False
    batch = parameters[1]
    indices = [parameter.name for parameter in parameters[2:] if parameter.default is parameter.empty]

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return step(self, args[0] if args else kwargs[batch.name], **dict.fromkeys(indices, 0))

    # the batch keeps its name and its annotation
    forward.__signature__ = inspect.Signature(parameters[:2])  # type: ignore[attr-defined]
    # a method, not a closure over the model: a copy then takes a step of its own
    vars(model)["forward"] = types.MethodType(forward, model)
    return True


def is_beside_forward(model: nn.Module) -> bool:
    """The class has a training_step, and a forward of its own that is run instead of it."""
    return inspect.isfunction(getattr(type(model), "training_step", None)) and not _unwritten(model)


def _unwritten(model: nn.Module) -> bool:
    """The forward of the class is the one of its framework, which does nothing but raise."""
    forward = inspect.getattr_static(type(model), "forward", None)  # of a ScriptModule it is no plain attribute
    return forward is nn.Module.forward or (forward.__module__ or "").split(".")[0] in ("lightning", "pytorch_lightning")
