"""A model whose zeros have moved: one Adam step of all parameters that are zero and have a gradient, and of no other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.call import call
from gradcheck_health.model.distributed.ranks import on_any_rank
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.dense import is_dense
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

SAMPLES = 2
RATE = 1e-3
_Seen = TypeVar("_Seen")


def after_one_step(look: Callable[[Subject], _Seen], subject: Subject, trace: Trace) -> _Seen | None:
    """What `look` sees on a few samples, or the whole batch of a loss; None where no zero moves.

    A zero whose own gradient is zero does not move, so that zeros excuse one another nowhere.
    """
    zeros = {name for name, p in trace.parameters.items() if p.trainable and p.value.numel and p.value.is_zero}
    zeros = {name for name in zeros if (gradient := trace.parameters[name].gradient) is not None and not gradient.is_zero}
    if not zeros:
        return None

    def stepped(subject: Subject) -> _Seen:
        with _stepped(subject, zeros):
            return look(subject)

    return judged_on_few(stepped, subject, SAMPLES)


@contextlib.contextmanager
def _stepped(subject: Subject, zeros: set[str]) -> Iterator[None]:
    named = [entry for entry in named_parameters(unwrap(subject.model)) if entry.name in zeros and not is_lazy(entry.tensor)]
    steps = {entry.name: _step(entry.tensor.grad) for entry in named}  # as the first pass left them behind
    with sandbox(subject.model):
        if on_any_rank(any(step is None for step in steps.values())):
            output = call(subject.model, subject.inputs, subject.seed)
            goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
            backward(goal, unwrap(subject.model))
            steps = {entry.name: _step(entry.tensor.grad) for entry in named}
            for parameter in unwrap(subject.model).parameters():
                parameter.grad = None
        with torch.no_grad():
            for entry in named:
                if (step := steps[entry.name]) is not None:
                    entry.tensor.sub_(step)
        yield


def _step(gradient: torch.Tensor | None) -> torch.Tensor | None:
    """The first of Adam's steps is as long in every entry."""
    if gradient is None:
        return None
    return RATE * torch.sgn(gradient.detach() if is_dense(gradient) else gradient.detach().to_dense())
