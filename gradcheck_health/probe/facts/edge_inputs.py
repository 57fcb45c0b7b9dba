"""Inputs that people do have: a row of zeros, equal rows, a constant one, a masked one, one step. Is the gradient finite?"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch

from gradcheck_health.model.call import call
from gradcheck_health.model.distributed.ranks import on_any_rank
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.experiments.subbatch import axis_of, chosen, unclear
from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.forward.fragile import MASKED
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.statistics.tensor_stats import nonfinite_kind
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.edges import EdgeInput
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

ROWS = 4
"""Samples of the batch whose first ones are replaced."""
_Row = Callable[[torch.Tensor], torch.Tensor]


def edge_inputs(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `edges`: the kinds of input under which the gradient of a parameter is not finite, or an output is NaN.

    All kinds of rows are tried in one small batch, and each alone only where its gradient is not finite: a sound model costs a
    forward and a backward pass on four to six samples, and one more with a single step where it takes steps.
    """
    reason = unclear(subject.inputs, 2, subject.declared.batch_axis)
    if reason:
        return (trace.only(gaps=(f"inputs at the edge were not tried: {reason}",)),)
    few = _few(subject)
    declared = subject.declared.edge_inputs
    kinds = dict(_rows(few, masks_only=not declared and set(trace.fragile) <= {MASKED}))
    found = []
    if not kinds and not declared:
        return (trace.only(),)
    if not _is_finite(few, _with(few, list(kinds.values()), twice=True)):
        alone = {kind: _with(few, [row]) for kind, row in kinds.items()}
        alone["two equal rows"] = _with(few, [], twice=True)
        found += [edge for kind, inputs in alone.items() if (edge := _tried(few, kind, inputs)) is not None]
    found += [edge for kind, inputs in _lengths(few) if (edge := _tried(few, kind, inputs)) is not None]
    return (trace.only(edges=tuple(found)),)


def _few(subject: Subject) -> Subject:
    """The same on a few samples, judged by a projection: the targets of a loss belong to the whole batch."""
    batch = subject.inputs.batch or 0
    rows = [i % batch for i in range(ROWS)]
    return dataclasses.replace(subject, inputs=chosen(subject.inputs, rows, subject.declared.batch_axis), loss=None)


def _rows(subject: Subject, *, masks_only: bool) -> Iterator[tuple[str, _Row]]:
    """Kind of a row -> what makes one of a sample of a tensor."""
    tensors = [leaf.tensor for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))]
    masks = [tensor for tensor in tensors if _is_mask(tensor)]
    if not masks_only and any(not _is_mask(tensor) for tensor in tensors):
        yield "a row of zeros", lambda row: row if _is_mask(row) else torch.zeros_like(row)
    if not masks_only and any(tensor.is_floating_point() for tensor in tensors):
        yield "a constant row", lambda row: torch.ones_like(row) if row.is_floating_point() else row
    if masks:
        yield "a mask of zeros", lambda row: torch.zeros_like(row) if _is_mask(row) else row
        yield "a mask of ones", lambda row: torch.ones_like(row) if _is_mask(row) else row


def _is_mask(tensor: torch.Tensor) -> bool:
    if tensor.dtype == torch.bool:
        return True
    return not tensor.is_floating_point() and not tensor.is_complex() and tensor.numel() > 0 and int(tensor.max()) <= 1


def _with(subject: Subject, rows: list[_Row], *, twice: bool = False) -> Inputs:
    """The batch with such rows in front, and `twice` with its last sample a second time: two equal ones."""
    axis = subject.declared.batch_axis
    order = [0] * len(rows) + [*range(1, ROWS), *([ROWS - 1] if twice else [])]
    taken = chosen(subject.inputs, order, axis)

    def change(tensor: torch.Tensor) -> torch.Tensor:
        at = axis_of(tensor, len(order), axis)
        if at is None:
            return tensor
        samples = list(tensor.unbind(at))
        return torch.stack([*(row(sample) for row, sample in zip(rows, samples, strict=False)), *samples[len(rows) :]], at)

    return changed(taken, change)


def _lengths(subject: Subject) -> Iterator[tuple[str, Inputs]]:
    """With a single step, where axis 1 of the inputs may hold steps; and with none, where such inputs are declared to come."""
    tensors = [leaf.tensor for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))]
    sizes = {t.shape[1] for t in tensors if t.dim() > 2 or (t.dim() == 2 and not t.is_floating_point())}
    if subject.declared.batch_axis not in (None, 0) or len(sizes) != 1 or sizes <= {0, 1}:
        return
    (size,) = sizes
    for kind, length in (("a single step", 1), *((("no step", 0),) if subject.declared.edge_inputs else ())):

        def cut(tensor: torch.Tensor, length: int = length) -> torch.Tensor:
            return tensor.narrow(1, 0, length).clone() if tensor.dim() > 1 and tensor.shape[1] == size else tensor

        yield kind, changed(subject.inputs, cut)


def _tried(subject: Subject, kind: str, inputs: Inputs) -> EdgeInput | None:
    """None where the gradient is finite, or the model does not take such inputs."""
    if _is_finite(subject, inputs):
        return None
    with sandbox(subject.model):
        seen = probe(dataclasses.replace(subject, inputs=inputs), dataflow=Dataflow({}))
    return EdgeInput(kind, seen.nonfinite[0] if seen.nonfinite else None)


def _is_finite(subject: Subject, inputs: Inputs) -> bool:
    """No output holds a NaN, and all gradients are finite; also where the model does not take such inputs."""
    model, odd = unwrap(subject.model), False
    with contextlib.suppress(ModelError, RuntimeError), sandbox(subject.model):
        output = call(subject.model, inputs, subject.seed)
        odd = any(nonfinite_kind(leaf.tensor) == "nan" for leaf in leaves(output))
        backward(objective(output, loss=None, batch=inputs.batch, seed=subject.seed), model)
        odd = odd or any(nonfinite_kind(parameter.grad) is not None for parameter in model.parameters())
    return not on_any_rank(odd)  # a gradient that lies on several ranks may be odd on one, and all take the same passes
