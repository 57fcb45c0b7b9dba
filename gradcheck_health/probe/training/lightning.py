"""Optimizers that a model configures itself, as a LightningModule does; Lightning need not be installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradcheck_health.records.errors import ModelError, UsageError, describe_error


def configures(model: Any) -> bool:
    """It has a `configure_optimizers` of its own beside a `training_step`."""
    method = getattr(type(model), "configure_optimizers", None)
    framework = getattr(method, "__module__", "").split(".")[0] in ("lightning", "pytorch_lightning")
    return callable(method) and not framework and callable(getattr(type(model), "training_step", None))


def configured(model: nn.Module) -> tuple[torch.optim.Optimizer, ...]:
    """The optimizers of every form that Lightning documents; none where the model says None.

    Raises:
        ModelError: the method raised, because it asks the trainer for something, most of the time.
        UsageError: it returned something else.
    """
    try:
        returned = model.configure_optimizers()  # type: ignore[operator]
    except Exception as error:
        raise ModelError(f"{type(model).__name__}.configure_optimizers() raised {describe_error(error)}") from error
    found = list(_optimizers(returned))
    if not all(isinstance(one, torch.optim.Optimizer) for one in found):
        raise UsageError(
            f"{type(model).__name__}.configure_optimizers() returned a {type(returned).__name__}; allowed: an optimizer, "
            "a list of them, a dict with the key optimizer, or (optimizers, schedulers)"
        )
    return tuple(found)


def _optimizers(returned: Any) -> Iterator[Any]:
    if returned is None:
        return
    if isinstance(returned, dict):
        yield returned.get("optimizer")
    elif isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], list):
        yield from returned[0]
    elif isinstance(returned, list | tuple):
        for one in returned:
            yield from _optimizers(one)
    else:
        yield returned
