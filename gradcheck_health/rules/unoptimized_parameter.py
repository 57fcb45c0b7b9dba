"""Parameters that get a gradient and that no optimizer moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.step import ParameterStep, StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def unoptimized_parameter(trace: Trace) -> Iterator[Finding]:
    """A trainable parameter that gets a gradient is in no parameter group of any optimizer.

    What it does: compares the parameters that a gradient reached with the tensors that the optimizers hold. Where an
    optimizer holds other tensors of the same shapes instead, which got no gradient, it is stale: an error. Otherwise the
    parameters were left out: a warning.

    Why it is bad: they are never changed, and nothing says so: the loss still falls as far as the rest can bring it.

    How it is measured: one step is taken, or the given one watched. Parameters are compared by identity and by the memory
    that they lie in, never by name, over the union of all optimizers.

    When it is legitimate: a part that another optimizer trains which was not handed over, or that is to stay as it is but
    was not frozen: hand over a list of all optimizers, or say requires_grad_(False).

    How to fix: build the optimizer last, after re-initialising, wrapping, injecting adapters and exchanging layers, from
    model.parameters(); add later layers with optimizer.add_param_group.

    How to silence: ignore={"unoptimized-parameter:teacher.*": "the reason"}.
    """
    step = trace.steps[-1] if trace.steps else None  # of several optimizers, when each has had its turn
    if step is None or not step.groups:
        return
    left_out = [row for row in step.parameters if row.group is None and row.gradient]
    if not left_out:
        return
    strangers = Counter(shape for group in step.groups for shape in group.strangers)
    stale, forgotten = [], []
    for row in left_out:
        shape = trace.parameters[row.name].shape if row.name in trace.parameters else None
        if shape is not None and strangers[shape]:
            strangers[shape] -= 1
            stale.append(row)
        else:
            forgotten.append(row)
    reached = sum(1 for row in step.parameters if row.gradient)
    if stale:
        yield _stale(trace, step, stale, reached)
    if forgotten:
        yield _forgotten(trace, step, forgotten, reached)


def _stale(trace: Trace, step: StepTrace, rows: Sequence[ParameterStep], reached: int) -> Finding:
    return Finding(
        rule="unoptimized-parameter",
        severity=Severity.ERROR,
        message=f"{steps.optimizers(step)} holds other tensors than {len(rows)} of {reached} parameters that get a gradient "
        "(0 allowed): it is stale",
        places=steps.places(trace, rows, "not in the optimizer"),
        details=(
            ("because", "tensors of the same shapes are in its groups, which are no parameters of the model (any more)"),
            ("help", "build the optimizer last, from model.parameters(), after the layers were re-initialised or replaced"),
        ),
        got=float(len(rows)),
        bound=0.0,
    )


def _forgotten(trace: Trace, step: StepTrace, rows: Sequence[ParameterStep], reached: int) -> Finding:
    places: tuple[Place, ...] = steps.places(trace, rows, "in no parameter group")
    return Finding(
        rule="unoptimized-parameter",
        severity=Severity.WARNING,
        message=f"{len(rows)} of {reached} parameters that get a gradient are in no parameter group of "
        f"{steps.optimizers(step)} (0 allowed)",
        places=places,
        details=(
            (
                "help",
                "add them with optimizer.add_param_group, hand over all optimizers, or freeze them: requires_grad_(False)",
            ),
        ),
        got=float(len(rows)),
        bound=0.0,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    body = torch.optim.SGD(model[0].parameters(), lr=0.01)
    head = torch.optim.AdamW(model[2].parameters(), lr=1e-3)
    return Training(model, optimizer=[body, head])


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model[2] = nn.Linear(16, 1)
    return Training(model, optimizer=optimizer)
