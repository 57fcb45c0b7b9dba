"""The user's own training step, watched: called a few times, undone afterwards."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.call import eager, seed_everything
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.nest import fresh
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.probe.training.events import Events
from gradcheck_health.probe.training.observer import Observer, groups
from gradcheck_health.probe.training.optimizers import Trainers
from gradcheck_health.probe.training.rows import rows
from gradcheck_health.probe.training.step_call import call_step
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.step import ParameterStep, StepTrace
from gradcheck_health.records.trace import Trace

STEPS = 3
MOST_CALLS = 16
"""Calls of the step, at most, until the optimizers have taken `STEPS`: a step may gather gradients over several calls."""


def watch_step(
    step: Callable[..., Any],
    model: nn.Module,
    trainers: Trainers,
    batches: Sequence[Any] | None,
    seed: int,
    look: Callable[[str], None] = lambda when: None,
) -> tuple[StepTrace, ...]:
    """What each step of the optimizers showed. Model, optimizers, schedulers, scaler and what `step` has closed over come back.

    Args:
        look: called with "before" and "after", where the model still is as the steps left it.

    Raises:
        UsageError: the step needs other arguments, or does nothing that trains.
        ModelError: it raised.
    """
    takes = _takes_batch(step, batches)
    with sandbox(model, also=(*trainers.objects, step, *what_it_uses(step), *(batches or ()))):
        optimizers = trainers.build(model)
        found = _Watched(model, optimizers, trainers)
        look("before")
        with found, eager():
            for k in range(MOST_CALLS):
                seed_everything(seed + k)
                batch = (fresh(batches[k % len(batches)]),) if takes and batches else ()
                call_step(step, batch)
                if len(found.steps) >= STEPS * max(1, len(optimizers)) or (k + 1 >= STEPS and not found.events.seen):
                    break
        look("after")
        return found.result()


def watch_given(
    step: Callable[..., Any], trainers: Trainers, subject: Subject, count: int, probed: Trace | None
) -> tuple[StepTrace, ...]:
    """The same for a check of the model, whose inputs are the batch. The step computes its gradients itself."""
    return watch_step(step, subject.model, trainers, [_fed(subject)], subject.seed)


def batch_of(step: Callable[..., Any], subject: Subject) -> tuple[Any, ...]:
    """What the step is called with: the subject's inputs, where it takes a batch.

    Raises:
        UsageError: it takes more than a batch.
    """
    return (_fed(subject),) if _takes_batch(step, [_fed(subject)]) else ()


def _fed(subject: Subject) -> Any:
    fed = subject.inputs
    return dict(fed.kwargs) if fed.kwargs and not fed.args else fed.args[0] if len(fed.args) == 1 else fed.args


class _Watched:
    """Observer and events together: one `StepTrace` a step."""

    def __init__(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], trainers: Trainers) -> None:
        self.model, self.optimizers, self.trainers = model, optimizers, trainers
        self.events = Events(model, optimizers)
        self.steps: list[StepTrace] = []
        self._observer = Observer(model, optimizers, self._saw, self._begins)
        self._begun: dict[int, Any] = {}

    def __enter__(self) -> None:
        self._observer.__enter__()
        self.events.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.events.__exit__(*error)
        self._observer.__exit__()

    def _begins(self, optimizer: torch.optim.Optimizer) -> None:
        self._begun[id(optimizer)] = groups(self.optimizers, named_parameters(self.model))
        self.events.taken(optimizer)

    def _saw(self, optimizer: torch.optim.Optimizer, seen: tuple[ParameterStep, ...]) -> None:
        self.steps.append(
            StepTrace(
                by="the given step",
                parameters=rows(named_parameters(self.model), self.optimizers, [(optimizer, seen)]),
                groups=self._begun.pop(id(optimizer), ()),
                events=tuple(self.events.seen),
                scale=self._scale(),
                rescaled=self.events.rescaled,
            )
        )
        self.events.seen.clear()
        self.events.rescaled = False

    def _scale(self) -> float | None:
        scaler = self.trainers.scaler
        return float(scaler.get_scale()) if scaler is not None and scaler.is_enabled() else None

    def result(self) -> tuple[StepTrace, ...]:
        """The steps; where none was taken, what happened instead.

        Raises:
            UsageError: nothing happened at all.
        """
        rest = tuple(self.events.seen)
        if self.steps:
            return (*self.steps[:-1], dataclasses.replace(self.steps[-1], after=rest))
        if not any(event.kind == "backward" for event in rest):
            raise UsageError(
                "step= ran neither a backward pass nor a step of optimizer= in "
                f"{STEPS} calls: hand over a function that calls loss.backward() and optimizer.step(), and its optimizer"
            )
        return (
            StepTrace(
                by="the given step",
                parameters=rows(named_parameters(self.model), self.optimizers, ()),
                groups=groups(self.optimizers, named_parameters(self.model)),
                events=rest,
                scale=self._scale(),
                taken=False,
            ),
        )


def _takes_batch(step: Callable[..., Any], batches: Sequence[Any] | None) -> bool:
    """Raises: UsageError: it takes more than a batch, or a batch and none was given."""
    if not callable(step):
        raise UsageError(f"step= got a {type(step).__name__}; allowed: a function of nothing, or of a batch")
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):
        return bool(batches)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(required) > 1:
        raise UsageError(
            f"step= takes {', '.join(required)}; allowed: a function of nothing, or of a batch: bind the rest, "
            "lambda batch: step(model, optimizer, batch)"
        )
    if required and not batches:
        raise UsageError(f"step= takes {required[0]}, and there is none: give batches=[...], or a function of nothing")
    accepts = any(p.kind in (*kinds, inspect.Parameter.VAR_POSITIONAL) for p in parameters)
    return bool(batches) and accepts


def what_it_uses(step: Any) -> list[Any]:
    """Models, optimizers and the like that a step reaches by a global name."""
    function = getattr(step, "__func__", getattr(step, "func", step))
    if not isinstance(function, FunctionType):
        return []
    found = [function.__globals__.get(name) for name in function.__code__.co_names]
    return [
        one
        for one in found
        if isinstance(one, nn.Module | torch.optim.Optimizer | torch.Tensor | dict | list)
        or type(one).__module__.startswith(("torch.optim", "torch.amp"))
    ]
