"""Which gradients stay when all weights move by a ten thousandth? Two passes on one sample; rounding does not stay."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.call import call
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import measure, plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.evidence import Difference
from gradcheck_health.records.trace import Trace

SAMPLES = (1, 2)
"""What is zero by algebra on any batch is so on one sample; a batch norm may want two."""
STEP = 2e-4
"""Beside a weight, at most: a thousand times the rounding of float32, and little beside what a gradient depends on."""
STAYS = 0.1
"""Movement of a gradient beside its norm up to which it was resolved. What is rounding is another one each time: 1.4."""


def jittered(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with a `Difference`, whose `names` are the parameters whose gradient is another one, or none.

    Far cheaper than float64, which only what does not stay needs.
    """
    return judged_on_few(partial(_moved, trace=trace), subject, *SAMPLES)


def _moved(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    with sandbox(subject.model):
        before = _gradients(subject)
        with torch.no_grad():
            moved = [entry.tensor for entry in named_parameters(unwrap(subject.model)) if entry.name in before]
            moved = [tensor for tensor in moved if tensor.is_floating_point()]
            generator = torch.Generator().manual_seed(subject.seed)
            factors = torch.empty(max((tensor.numel() for tensor in moved), default=0))
            factors.uniform_(1.0 - STEP, 1.0 + STEP, generator=generator)  # the same for all: drawing them takes longest
            for tensor in moved:
                tensor.mul_(factors[: tensor.numel()].view(tensor.shape).to(tensor))
        after = _gradients(subject)
    far = {name: _far(values, after.get(name)) for name, values in before.items()}
    unsteady = tuple(name for name in trace.parameters if not far.get(name, 1.0) <= STAYS)
    return (trace.only(differences=(Difference("gradient", unsteady, max(far.values(), default=0.0)),)),)


def _gradients(subject: Subject) -> dict[str, torch.Tensor]:
    """By names, taken off the parameters."""
    output = call(subject.model, subject.inputs, subject.seed)
    backward(objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed), unwrap(subject.model))
    found = {}
    for entry in named_parameters(unwrap(subject.model)):
        if is_lazy(entry.tensor) or entry.tensor.grad is None:
            continue
        if (values := plain(entry.tensor.grad)) is not None:
            found[entry.name] = values
        entry.tensor.grad = None
    return found


def _far(before: torch.Tensor, after: torch.Tensor | None) -> float:
    """Distance over the norm; 1 where there is nothing to compare."""
    if after is None or after.shape != before.shape:
        return 1.0
    size = measure(before, extremes=False).norm
    return measure(after - before, extremes=False).norm / size if size else 1.0
