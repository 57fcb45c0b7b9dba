"""A loss and its targets -> one function of the model's output."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.loss_arguments import range_of
from gradcheck_health.probe.subject import Loss
from gradcheck_health.records.errors import UsageError, describe_error, did_you_mean
from gradcheck_health.records.wording import a_kind

_Make = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def bind(loss: Any, targets: Any, seed: int) -> Loss | None:
    """A function of the output alone; None without a loss.

    Args:
        loss: a function of the output, or of (output, targets); a loss module or its class; the name of one in `torch.nn` or
            `torch.nn.functional`, or "package.module:function".
        targets: what a loss of two arguments is handed beside the output: a tensor, numbers, or a function of the output. Made
            up where None, for the losses of torch whose targets have an obvious form.
        seed: of targets that are made up. They depend on nothing but it, the shape of the output and
            what its last activation can return.

    Raises:
        UsageError: no such loss, targets without a loss, or a loss of two arguments whose targets cannot be made up.
    """
    if loss is None:
        if targets is not None:
            raise UsageError("targets= without loss=: give the loss that takes (output, targets), such as nn.MSELoss()")
        return None
    loss = _named(loss) if isinstance(loss, str) else loss
    if isinstance(loss, type):
        loss = loss()
    if not callable(loss):
        raise UsageError(f"loss= got {a_kind(loss)}; allowed: a function of the output, or of (output, targets)")
    if targets is not None:
        return partial(_with_targets, loss, targets)
    make = _maker(loss)
    if make is not None:
        return partial(_with_made_up, loss, make, seed)
    if _required(loss) > 1:
        name = getattr(loss, "__name__", type(loss).__name__)
        raise UsageError(f"loss= {name} takes {_required(loss)} arguments: pass targets=, the second one, or a function of one")
    return loss  # type: ignore[no-any-return]


def _named(name: str) -> Any:
    module_name, colon, attribute = name.partition(":")
    if colon:
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except Exception as error:
            raise UsageError(f"loss {name!r} cannot be imported: {describe_error(error)}") from error
    found = getattr(nn, name, None) or getattr(nn.functional, name, None)
    if found is None or not callable(found):
        known = [key for key in vars(nn) if key.endswith("Loss")] + [f.__name__ for f in _FUNCTIONS]
        raise UsageError(
            f"no loss {name!r} in torch.nn{did_you_mean(name, known)}; allowed: one of those, or package.module:function"
        )
    return found


def _required(loss: Any) -> int:
    """How many positional arguments it must have; 1 where that is unknown."""
    try:
        parameters = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def _with_targets(loss: Any, targets: Any, output: Any) -> Any:
    value = targets(output) if callable(targets) and not isinstance(targets, torch.Tensor) else targets
    prediction = _prediction(loss, output)
    like = next((leaf.tensor for leaf in leaves(output) if leaf.differentiable), None)
    if isinstance(value, list | int | float):
        value = torch.as_tensor(value)
    if isinstance(value, torch.Tensor) and like is not None:
        # the float64 and the half pass ask the same question in their own precision
        value = value.to(like.device, like.dtype) if value.is_floating_point() else value.to(like.device)
    return loss(prediction, value)


def _with_made_up(loss: Any, make: _Make, seed: int, output: Any) -> Any:
    prediction = _prediction(loss, output)
    if not isinstance(prediction, torch.Tensor):
        raise UsageError(f"targets of loss= cannot be made up for an output that is {a_kind(output)}: pass targets=")
    drawn = make(prediction, torch.Generator().manual_seed(seed))
    return loss(prediction, drawn.to(prediction.device, prediction.dtype if drawn.is_floating_point() else drawn.dtype))


def _prediction(loss: Any, output: Any) -> Any:
    """A loss of torch takes a tensor: of a structured output the first leaf with a gradient."""
    if isinstance(output, torch.Tensor) or _maker(loss) is None:
        return output
    return next((leaf.tensor for leaf in leaves(output) if leaf.differentiable), output)


def _classes(output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Class indices; the classes lie along axis 1 (axis 0 of a single sample)."""
    shape = output.shape[:1] + output.shape[2:] if output.dim() > 1 else output.shape[:0]
    return torch.randint(output.shape[min(output.dim() - 1, 1)], shape, generator=generator)


def _numbers(output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Numbers that the output can become: a model is not blamed for targets that nobody gave."""
    _, low, high = range_of(output)
    if high < math.inf:
        return low + (high - low) * torch.rand(output.shape, generator=generator, dtype=torch.float32)
    drawn = torch.randn(output.shape, generator=generator, dtype=torch.float32)
    return drawn if low == -math.inf else drawn.abs()


def _binary(output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(2, output.shape, generator=generator).float()


def _signs(output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return 2 * _binary(output, generator) - 1


def _counts(output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(5, output.shape, generator=generator).float()


_MODULES: dict[type[nn.Module], _Make] = {
    nn.CrossEntropyLoss: _classes,
    nn.NLLLoss: _classes,
    nn.MultiMarginLoss: _classes,
    nn.MSELoss: _numbers,
    nn.L1Loss: _numbers,
    nn.SmoothL1Loss: _numbers,
    nn.HuberLoss: _numbers,
    nn.BCELoss: _binary,
    nn.BCEWithLogitsLoss: _binary,
    nn.MultiLabelSoftMarginLoss: _binary,
    nn.SoftMarginLoss: _signs,
    nn.PoissonNLLLoss: _counts,
}
_FUNCTIONS: dict[Any, _Make] = {
    nn.functional.cross_entropy: _classes,
    nn.functional.nll_loss: _classes,
    nn.functional.mse_loss: _numbers,
    nn.functional.l1_loss: _numbers,
    nn.functional.smooth_l1_loss: _numbers,
    nn.functional.huber_loss: _numbers,
    nn.functional.binary_cross_entropy: _binary,
    nn.functional.binary_cross_entropy_with_logits: _binary,
}


def _maker(loss: Any) -> _Make | None:
    """How targets of a loss of torch are made up; None for any other."""
    if isinstance(loss, nn.Module):
        return next((make for cls, make in _MODULES.items() if type(loss) is cls), None)
    return next((make for function, make in _FUNCTIONS.items() if loss is function), None)
