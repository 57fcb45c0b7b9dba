"""Parameters that get a gradient and that no optimizer moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.step import ParameterStep, StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time, steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def unoptimized_parameter(trace: Trace) -> Iterator[Finding]:
    """A trainable parameter that gets a gradient is in no parameter group of any optimizer.

    What it does: compares the parameters that a gradient reached with the tensors that the optimizers hold. Where an
    optimizer holds other tensors of the same shapes instead, which got no gradient, it is stale: an error. Otherwise the
    parameters were left out: a warning.

    Why it is bad: they are never changed, and nothing says so: the loss still falls as far as the rest can bring it.

    How it is measured: one step is taken, or the given one watched. Parameters are compared by identity and by the memory
    that they lie in, never by name, over the union of all optimizers. A watched loop counts what had a gradient, or had none,
    at its first two steps; there it is an error, too, where what is left out stands behind a parameter that is trained.

    When it is legitimate: a part that another optimizer trains which was not handed over, or that is to stay as it is but
    was not frozen: hand over a list of all optimizers, or say requires_grad_(False).

    How to fix: build the optimizer last, after re-initialising, wrapping, injecting adapters and exchanging layers, from
    model.parameters(); add later layers with optimizer.add_param_group.

    How to silence: ignore={"unoptimized-parameter:teacher.*": "the reason"}.
    """
    if over_time.watched_only(trace):
        yield from _in_a_loop(trace)
        return
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


def _in_a_loop(trace: Trace) -> Iterator[Finding]:
    history = trace.history
    if history is None:
        return
    held = " and ".join(dict.fromkeys(track.optimizer for track in history.tracks))
    strangers = Counter(shape for track in history.tracks for shape in track.strangers)
    if strangers:
        known = [p.name for p in trace.parameters.values() if p.shape in strangers and p.name in history.left_out]
        yield Finding(
            rule="unoptimized-parameter",
            severity=Severity.ERROR,
            message=f"{held} holds {strangers.total()} tensors that are no parameters of the model and got no gradient "
            "(0 allowed): it is stale",
            places=tuple(Place(name, "", None, "not in the optimizer") for name in known) or (Place(held, "optimizer"),),
            details=(
                ("because", "the model's parameters were replaced after the optimizer was built"),
                ("help", "build the optimizer last, from model.parameters(), after the layers were re-initialised or replaced"),
            ),
            got=float(strangers.total()),
            bound=0.0,
        )
    elif history.left_out:
        where = "they stand behind a parameter that is trained" if history.gap else "nothing before them is trained"
        yield Finding(
            rule="unoptimized-parameter",
            severity=Severity.ERROR if history.gap else Severity.WARNING,
            message=f"{len(history.left_out)} parameters that get a gradient are in no parameter group of {held} (0 allowed)",
            places=tuple(Place(name, "", None, "in no parameter group") for name in history.left_out),
            details=(
                ("because", where),
                (
                    "help",
                    "add them with optimizer.add_param_group, watch all optimizers, or freeze them: requires_grad_(False)",
                ),
            ),
            got=float(len(history.left_out)),
            bound=0.0,
        )


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
