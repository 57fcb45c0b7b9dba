"""Is a loss blind to which target belongs to which sample, where predictions and targets are joined by broadcasting?"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.forward.losses import JOINS, pairs_all
from gradcheck_health.probe.loss_arguments import LOSSES, operands
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import GradhealthError
from gradcheck_health.records.trace import Trace

_ROUNDING = 1e-5


def pairing(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the answers: the loss is evaluated with the targets in another order, and with other targets."""
    found = []
    for position, one in enumerate(trace.pairings):
        found.append(dataclasses.replace(one, blind=_blind(subject, position)))
    return (trace.only(pairings=tuple(found)),)


def _blind(subject: Subject, position: int) -> bool | None:
    try:
        plain = _loss(subject, position, lambda target: target)
        again = _loss(subject, position, lambda target: target.roll(1, 0))
        other = _loss(subject, position, _changed)
    except (GradhealthError, RuntimeError):
        return None
    if plain is None or again is None or other is None or not all(map(math.isfinite, (plain, again, other))):
        return None
    slack = _ROUNDING * max(abs(plain), abs(other))
    return abs(again - plain) <= slack and abs(other - plain) > 10 * slack


def _changed(target: torch.Tensor) -> torch.Tensor:
    """Other values of the same size in the first half of it."""
    changed = target.clone()
    half = changed[: max(1, len(changed) // 2)]
    half.copy_(half * 0.5 + (1 if half.dtype != torch.bool else 0) if half.is_floating_point() else half.roll(1, -1))
    return changed


def _loss(subject: Subject, position: int, change: Callable[[torch.Tensor], torch.Tensor]) -> float | None:
    """The loss, with the target of the pairing at `position` exchanged."""
    with sandbox(subject.model), eager(), warnings.catch_warnings(), _Exchange(position, change):
        warnings.simplefilter("ignore")  # torch has warned of these shapes once
        output = call(subject.model, subject.inputs, subject.seed)
        return objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed).value


class _Exchange(TorchFunctionMode):
    """Changes the operand that needs no gradient in one of the pairings."""

    def __init__(self, position: int, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._position, self._change = position, change
        self._count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in LOSSES or func.__name__ in JOINS:
            first, second = operands(args, kwargs)
            if pairs_all(first, second):
                if self._count == self._position:
                    target = second if first.requires_grad else first
                    new = self._change(target)
                    args = tuple(new if one is target else one for one in args)
                    kwargs = {key: new if one is target else one for key, one in kwargs.items()}
                self._count += 1
        return func(*args, **kwargs)
