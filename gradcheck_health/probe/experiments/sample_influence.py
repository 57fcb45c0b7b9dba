"""Where the samples of a batch move one another: the operation, how smoothly, and whether a gradient flows between them."""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from gradcheck_health.model.call import eager, seed_everything
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.backward import slopes
from gradcheck_health.probe.experiments.first_difference import FirstDifference, first_difference
from gradcheck_health.probe.experiments.paired_runs import changed, distance, evaluated, nudged, outputs_in_sandbox, share
from gradcheck_health.probe.experiments.subbatch import axis_of, chosen
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

_FAINT = 0.03
"""Below this share a step of a hundredth may be lost in rounding."""
_LOCATING = (5, 7, 11, 13)
"""Samples while the place is searched for: sizes that few other axes have."""
_SHIFTS = (2, 3, 7)
"""Exchanges of the other samples that are tried: a maximum may be the same after one of them."""


def output_axis(trace: Trace, path: str, y: torch.Tensor, n: int) -> int | None:
    """The only axis of an output whose size follows the number of samples (B x B similarities have two)."""
    whole = next((output.shape for output in trace.outputs if output.path == path), None)
    if whole is None or len(whole) != y.dim():
        return None
    differing = [axis for axis, (a, b) in enumerate(zip(whole, y.shape, strict=True)) if a != b]
    if len(differing) != 1 or (whole[differing[0]], y.shape[differing[0]]) != (trace.inputs.batch, n):
        return None
    return differing[0]


def explained(subject: Subject, trace: Trace, worst: Influence, batches: list[Inputs]) -> tuple[Influence, nn.Module | None]:
    """The worst influence with its place, what a small step towards the exchanged samples says, and the module at the place."""
    first = "first" in worst.kept
    y = outputs_in_sandbox(subject, batches[0])[worst.output]
    axis = output_axis(trace, worst.output, y, batches[0].batch or 0) or 0
    row = 0 if first else y.shape[axis] - 1
    moved = [0.0, 0.0]
    for step in (0.01, 0.25) if worst.share < _FAINT else (0.01,):
        near = [nudged(subject, batches[0], batches[k], step)[worst.output] for k in ((1, 2) if first else (2, 1))]
        moved = [distance(y.select(axis, row), one.select(axis, row)) for one in near]
        if moved[0] > 0.0:
            break
    smooth = share(*moved) if moved[1] > 0.0 else worst.share  # nothing could be nudged
    return _placed(subject, trace, worst, smooth, row)


def _placed(subject: Subject, trace: Trace, worst: Influence, smooth: float, row: int) -> tuple[Influence, nn.Module | None]:
    declared, batch = subject.declared.batch_axis, subject.inputs.batch or 0
    count = _rare_size(subject, trace)
    rows = [k % batch for k in range(count)]
    keep = 0 if row == 0 else count - 1

    def part(tensor: torch.Tensor) -> torch.Tensor | None:
        if sum(size == count for size in tensor.shape) != 1:
            return None
        return tensor.select(list(tensor.shape).index(count), keep)

    first, where = chosen(subject.inputs, rows, declared), FirstDifference()
    for shift in _SHIFTS:
        other = [rows[k] if k == keep else (rows[k] + shift) % batch for k in range(count)]
        where = first_difference(subject, first, chosen(subject.inputs, other, declared), part, statistics=True)
        if where.op:
            break
    norm = isinstance(where.module, nn.modules.batchnorm._BatchNorm) and where.module.running_mean is None
    found = Influence(
        worst.output,
        worst.kept,
        worst.share,
        smooth,
        where.layer,
        type(where.module).__name__ if where.module is not None else "",
        where.op,
        where.source,
        statistics=norm,
        reduces=where.reduces,
        joined=_is_joined(subject, worst, first, keep),
    )
    return found, where.module


def _rare_size(subject: Subject, trace: Trace) -> int:
    """A number of samples that no other axis has, so that the axis of the samples can be recognised everywhere."""
    shapes = [p.shape for p in trace.parameters.values()] + [output.shape[1:] for output in trace.outputs]
    shapes += [leaf.tensor.shape[1:] for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))]
    taken = {size for shape in shapes for size in shape}
    return next((count for count in _LOCATING if count not in taken), _LOCATING[0])


def _is_joined(subject: Subject, worst: Influence, inputs: Inputs, keep: int) -> bool:
    """A gradient flows from the output of the kept sample into other samples; True where that cannot be seen."""
    samples = inputs.batch or 0
    with evaluated(subject), eager(), contextlib.suppress(Exception):  # whatever a custom backward raises
        seed_everything(subject.seed)
        fed = changed(inputs, lambda tensor: tensor.detach().clone().requires_grad_(tensor.is_floating_point()))
        given = [leaf.tensor for leaf in leaves((fed.args, dict(fed.kwargs))) if leaf.tensor.requires_grad]
        returned = {leaf.path: leaf.tensor for leaf in leaves(subject.model(*fed.args, **fed.kwargs))}
        y = returned[worst.output]
        kept = y.select(list(y.shape).index(samples), keep)
        found = slopes([kept], given, [torch.ones_like(kept)])
        others = torch.tensor([row for row in range(samples) if row != keep], device=y.device)
        axes = [axis_of(tensor, samples, subject.declared.batch_axis) for tensor in given]
        pairs = [(slope, axis) for slope, axis in zip(found, axes, strict=True) if slope is not None and axis is not None]
        return not pairs or any(bool(slope.index_select(axis, others).any()) for slope, axis in pairs)
    return True
