"""Modules that a trainer calls by their `training_step(batch, batch_idx)`, as in Lightning."""

from __future__ import annotations

import contextlib
import inspect
import types
import warnings
from collections.abc import Iterator
from typing import Any

from torch import nn


@contextlib.contextmanager
def as_forward(model: nn.Module) -> Iterator[bool]:
    """Within the block, calling the model is taking its training step, where it has no forward: whether that is so."""
    try:
        yield bind_step(model)
    finally:
        unbind_step(model)


def bind_step(model: nn.Module, beside_forward: bool = False) -> bool:
    """Let calls go to `training_step`; whether that was done.

    Args:
        beside_forward: where the module has a forward of its own, too; the step finds it where it calls the module.
    """
    step = getattr(type(model), "training_step", None)
    if not beside_forward and not _unwritten(model) or "forward" in vars(model) or not inspect.isfunction(step):
        return False
    parameters = list(inspect.signature(step).parameters.values())
    if len(parameters) < 2:
        return False
    batch = parameters[1]
    indices = [parameter.name for parameter in parameters[2:] if parameter.default is parameter.empty]

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        mine = vars(self).pop("forward")  # the step calls the forward of the class
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "You are trying to `self.log")  # there is no trainer, as is right
                return step(self, args[0] if args else kwargs[batch.name], **dict.fromkeys(indices, 0))
        finally:
            vars(self)["forward"] = mine

    # the batch keeps its name and its annotation
    forward.__signature__ = inspect.Signature(parameters[:2])  # type: ignore[attr-defined]
    forward.takes_step = True  # type: ignore[attr-defined]
    # a method, not a closure over the model: a copy then takes a step of its own
    vars(model)["forward"] = types.MethodType(forward, model)
    return True


def unbind_step(model: nn.Module) -> None:
    """Let calls go to the forward of the class again."""
    if is_bound(model):
        vars(model).pop("forward")


def is_bound(model: nn.Module) -> bool:
    """Calling the model is taking its training step."""
    return getattr(vars(model).get("forward"), "takes_step", False)


def is_beside_forward(model: nn.Module) -> bool:
    """The class has a training_step, and a forward of its own beside it."""
    return inspect.isfunction(getattr(type(model), "training_step", None)) and not _unwritten(model)


def _unwritten(model: nn.Module) -> bool:
    """The forward of the class is the one of its framework, which does nothing but raise."""
    forward = inspect.getattr_static(type(model), "forward", None)  # of a ScriptModule it is no plain attribute
    return forward is nn.Module.forward or (forward.__module__ or "").split(".")[0] in ("lightning", "pytorch_lightning")
