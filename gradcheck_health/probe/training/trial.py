"""Steps that the check takes itself: forward, backward and step on the subject's batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.objective import Objective, objective
from gradcheck_health.probe.subject import Subject
from gradcheck_health.probe.training.observer import Observer, groups, held, needs_closure
from gradcheck_health.probe.training.optimizers import Trainers
from gradcheck_health.probe.training.rows import rows
from gradcheck_health.records.errors import GradhealthError, ModelError, describe_error
from gradcheck_health.records.step import ParameterStep, StepTrace
from gradcheck_health.records.trace import Trace

SETTLES = 24
"""A loss scale of 65536 is halved at each overflow: after so many skipped steps it is below 1e-2."""


def take_steps(trainers: Trainers, subject: Subject, count: int, probed: Trace | None = None) -> tuple[StepTrace, ...]:
    """As many steps on the subject's batch, each as it was seen. Everything comes back as it was.

    Args:
        probed: of a pass over this batch whose gradients still lie in `.grad`: the first step need not compute them again.

    Raises:
        ModelError: forward, the loss or the optimizer raised.
        UsageError: the optimizer does not fit the model.
    """
    there = [] if probed is None else [(entry.tensor, entry.tensor.grad) for entry in named_parameters(subject.model)]
    with sandbox(subject.model, also=trainers.objects):
        optimizers = trainers.build(subject.model)
        done = None
        if probed is not None and _need_no_other_pass(probed, trainers, optimizers):
            done = Objective((), (), probed.objective, probed.loss)
            for parameter, gradient in there:
                parameter.grad = gradient
        seen: list[tuple[torch.optim.Optimizer, tuple[ParameterStep, ...]]] = []
        with Observer(subject.model, optimizers, lambda *step: seen.append(step)):
            return tuple(_step(trainers, optimizers, subject, seen, None if k else done) for k in range(count))


def _need_no_other_pass(probed: Trace, trainers: Trainers, optimizers: Sequence[torch.optim.Optimizer]) -> bool:
    """The gradients of the pass are those of the step: nothing scales them, and no optimizer computes its own."""
    return not probed.backward_error and trainers.scaler is None and not any(map(needs_closure, optimizers))


def one_step(
    trainers: Trainers,
    optimizers: Sequence[torch.optim.Optimizer],
    subject: Subject,
    loss: Callable[[float], Any],
) -> None:
    """Forward, backward and step, once, with `loss` called in between; a step that the scaler skips counts."""
    goal = _passes(trainers, optimizers, subject)
    if goal.value is not None:
        loss(goal.value)
    for optimizer in optimizers:
        _take(optimizer, trainers, optimizers, subject)
    if trainers.scaler is not None:
        trainers.scaler.update()
    for scheduler in trainers.schedulers:
        scheduler.step()


def _step(
    trainers: Trainers,
    optimizers: Sequence[torch.optim.Optimizer],
    subject: Subject,
    seen: list[tuple[torch.optim.Optimizer, tuple[ParameterStep, ...]]],
    done: Objective | None,
) -> StepTrace:
    scaler = trainers.scaler
    skipped, goal = 0, Objective((), (), "")
    while True:
        seen.clear()
        goal = done or _passes(trainers, optimizers, subject)
        named = named_parameters(subject.model)
        before = groups(optimizers, named)
        scale = float(scaler.get_scale()) if scaler is not None and scaler.is_enabled() else None
        for optimizer in optimizers:
            _take(optimizer, trainers, optimizers, subject)
        if scaler is not None:
            scaler.update()
        overflowed = scale is not None and scaler.get_scale() < scale
        if not overflowed or skipped == SETTLES:
            break
        skipped += 1
    found = rows(named, optimizers, () if overflowed else seen)
    for scheduler in trainers.schedulers:
        scheduler.step()
    return StepTrace(
        by="the check",
        parameters=found,
        groups=before,
        loss=goal.value,
        skipped=skipped,
        taken=not overflowed,
        scale=scale,
    )


def _passes(trainers: Trainers, optimizers: Sequence[torch.optim.Optimizer], subject: Subject) -> Objective:
    """One forward and one backward pass."""
    _clear(subject.model, optimizers)
    with eager():
        output = call(subject.model, subject.inputs, subject.seed)
        goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
        start = goal
        if trainers.scaler is not None:
            start = dataclasses.replace(goal, gradients=tuple(trainers.scaler.scale(one) for one in goal.gradients))
        try:
            backward(start, subject.model)
        except Exception as error:
            raise ModelError(f"backward raised {describe_error(error)} in the training step") from error
    return goal


def _take(
    optimizer: torch.optim.Optimizer, trainers: Trainers, optimizers: Sequence[torch.optim.Optimizer], subject: Subject
) -> None:
    def closure() -> float | None:
        value = _passes(trainers, optimizers, subject).value
        return 0.0 if value is None else value

    try:
        if needs_closure(optimizer):
            optimizer.step(closure)  # type: ignore[arg-type]
        elif trainers.scaler is not None:
            trainers.scaler.step(optimizer)
        else:
            optimizer.step()
    except GradhealthError:
        raise
    except Exception as error:
        raise ModelError(f"{type(optimizer).__name__}.step() raised {describe_error(error)}") from error


def _clear(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    for tensor in (*model.parameters(), *(p for optimizer in optimizers for p in held(optimizer))):
        tensor.grad = None
