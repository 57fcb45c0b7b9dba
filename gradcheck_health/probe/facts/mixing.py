"""Does the output of one sample move when the others change? Two forward passes in eval mode on five samples; more if so."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.experiments.paired_runs import (
    distance,
    evaluated,
    first_difference,
    nudged,
    outputs,
    outputs_in_sandbox,
    share,
)
from gradcheck_health.probe.experiments.subbatch import STEPS, axis_of, chosen, stepped, unclear
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.evidence import Influence
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

SUSPICIOUS = 1e-3
"""Below this share of its own influence nothing is looked at again."""
_STEPS_NOT_SAMPLES = (
    "the rows of the made-up inputs may be the steps of one sample: with an axis of steps behind the batch no sample moves "
    "another; pass inputs= to have it judged"
)
ROUNDING = 1e-5
"""Below this share of its own influence nothing moved but the last digits."""
_LOCATING = 5
"""Samples while the place is looked for: a size that few other axes have."""


def mixing(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `influences`, of the others on the first or the last sample; `gaps` says why nothing could be judged."""
    axis = subject.declared.batch_axis
    batch = subject.inputs.batch or 0
    reason = unclear(subject.inputs, 3, axis)
    if reason:
        return (trace.only(gaps=(reason,)),)
    n = len(_rows(batch)[0])
    try:
        if _stays(subject, trace):
            return (trace.only(),)
        batches = [chosen(subject.inputs, rows, axis) for rows in _rows(batch)]
        found = _influences(subject, trace, _seen(subject, batches), n)
        if found is None:
            return (trace.only(gaps=("no output has the batch axis",)),)
        if ROUNDING < max((influence.share for influence in found), default=0.0) <= SUSPICIOUS:
            # by chance the others may weigh as much as those they were exchanged for: a second exchange says
            batches = [chosen(subject.inputs, rows, axis) for rows in _rows(batch, second=True)]
            found = _influences(subject, trace, _seen(subject, batches), n) or found
        if not any(influence.share > SUSPICIOUS for influence in found):
            return (trace.only(),)
        # a state that is carried from call to call is no mixing: each on a model that has seen nothing
        found = _influences(subject, trace, [outputs_in_sandbox(subject, inputs) for inputs in batches], n) or []
    except (ModelError, RuntimeError) as error:
        return (trace.only(gaps=(f"it does not run on a few samples ({type(error.__cause__ or error).__name__})",)),)
    worst = max(found, key=lambda influence: influence.share)
    if worst.share <= SUSPICIOUS:
        return (trace.only(),)
    if subject.inputs.made_up and _are_steps(subject, batches):
        return (trace.only(gaps=(_STEPS_NOT_SAMPLES,)),)
    return (trace.only(influences=(_explained(subject, trace, worst, batches[0]),)),)


def _seen(subject: Subject, batches: list[Inputs]) -> list[dict[str, torch.Tensor]]:
    """The outputs on one batch after the other."""
    with evaluated(subject):
        return [outputs(subject, inputs) for inputs in batches]


def _are_steps(subject: Subject, batches: list[Inputs]) -> bool:
    """Made-up rows were taken for samples and are the steps of one: with an axis more no sample moves another.

    An attention over [T, D] runs on any [B, D]. A softmax or mean over the batch mixes the samples of [B, T, D], too.
    """
    try:
        seen = [outputs_in_sandbox(subject, stepped(inputs)) for inputs in batches]
    except (ModelError, RuntimeError):
        return False
    n = batches[0].batch or 0
    found = [_ends(path, y, 0, seen) for path, y in seen[0].items() if y.dim() > 2 and y.shape[:2] == (n, STEPS)]
    return bool(found) and all(influence.share <= SUSPICIOUS for influences in found for influence in influences)


def _glance(batch: int) -> tuple[list[int], list[int]]:
    """Rows of a batch with row 1 among others, and of one with row 1 alone, over and over: sums over the samples differ, too.

    Another number than the whole batch, and one that few other axes have: four heads and four samples may keep them apart.
    """
    others = [row for row in range(batch) if row != 1]
    base = [others[i % len(others)] for i in range(7 if batch == 5 else 5)]
    base[1] = 1
    return base, [1] * len(base)


def _stays(subject: Subject, trace: Trace) -> bool:
    """Row 1 of every output with a batch axis, and there is one, is what it was when all others become copies of it."""
    base, others = _glance(subject.inputs.batch or 0)
    before, after = _seen(subject, [chosen(subject.inputs, rows, subject.declared.batch_axis) for rows in (base, others)])
    axes = {path: axis for path, y in before.items() if (axis := _output_axis(trace, path, y, len(base))) is not None}
    return bool(axes) and all(
        path in after
        and after[path].shape == before[path].shape
        and distance(before[path].select(axis, 1), after[path].select(axis, 1)) == 0.0
        for path, axis in axes.items()
    )


def _rows(batch: int, second: bool = False) -> tuple[list[int], list[int], list[int]]:
    """Rows of a batch, of one in which all but the first are others, and of one in which all but the last are."""
    if batch == 2:
        return [0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 1, 1]
    if batch == 3:  # another number than the whole batch, to see which axis of an output follows it
        return [0, 1, 2, 0], [0, 2, 2, 2], [2, 2, 2, 0]
    spare = 4 if batch > 4 else 3
    if second:
        last = batch - 1
        return [0, 1, 2], [0, last, last], [last, last, 2]
    return [0, 1, 2], [0, 3, spare], [3, spare, 2]


def _influences(subject: Subject, trace: Trace, seen: list[dict[str, torch.Tensor]], n: int) -> list[Influence] | None:
    """On the first and on the last sample, for every output leaf with a batch axis; None if there is none."""
    found, judged = [], False
    for path, y in seen[0].items():
        axis = _output_axis(trace, path, y, n)
        if axis is None or any(path not in one or one[path].shape != y.shape for one in seen):
            continue
        judged = True
        found += _ends(path, y, axis, seen)
    return found if judged else None


def _ends(path: str, y: torch.Tensor, axis: int, seen: list[dict[str, torch.Tensor]]) -> list[Influence]:
    """On the first and on the last sample of one output."""
    found = []
    for row, name, kept, moved in ((0, "first", 1, 2), (y.shape[axis] - 1, "last", 2, 1)):
        other = distance(y.select(axis, row), seen[kept][path].select(axis, row))
        own = distance(y.select(axis, row), seen[moved][path].select(axis, row))
        if not math.isnan(other) and not math.isnan(own):
            found.append(Influence(path, f"the {name} sample", share(other, own), 0.0))
    return found


def _output_axis(trace: Trace, path: str, y: torch.Tensor, n: int) -> int | None:
    """The only axis of an output whose size follows the number of samples (B x B similarities have two)."""
    whole = next((output.shape for output in trace.outputs if output.path == path), None)
    if whole is None or len(whole) != y.dim():
        return None
    differing = [axis for axis, (a, b) in enumerate(zip(whole, y.shape, strict=True)) if a != b]
    if len(differing) != 1 or (whole[differing[0]], y.shape[differing[0]]) != (trace.inputs.batch, n):
        return None
    return differing[0]


def _explained(subject: Subject, trace: Trace, worst: Influence, base: Inputs) -> Influence:
    """The worst influence with its place, and what a small perturbation says."""
    declared = subject.declared.batch_axis
    n = base.batch or 0
    row = 0 if "first" in worst.kept else n - 1

    def mask(own: bool, tensor: torch.Tensor) -> torch.Tensor | None:
        axis = axis_of(tensor, n, declared)
        if axis is None:
            return None
        weight = torch.zeros(n, dtype=torch.float64, device=tensor.device) if own else torch.ones(n, dtype=torch.float64)
        weight[row] = 1.0 if own else 0.0
        return weight.view([-1 if i == axis % tensor.dim() else 1 for i in range(tensor.dim())]).to(tensor.device)

    y = outputs_in_sandbox(subject, base)[worst.output]
    axis = _output_axis(trace, worst.output, y, n) or 0
    near = [nudged(subject, base, partial(mask, own))[worst.output] for own in (False, True)]
    moved = [distance(y.select(axis, row), one.select(axis, row)) for one in near]
    smooth = share(*moved) if moved[1] > 0.0 else worst.share  # nothing could be nudged
    return _placed(subject, worst, smooth, row)


def _placed(subject: Subject, worst: Influence, smooth: float, row: int) -> Influence:
    declared, batch = subject.declared.batch_axis, subject.inputs.batch or 0
    rows = [k % batch for k in range(_LOCATING)]
    keep = 0 if row == 0 else _LOCATING - 1
    other = [rows[k] if k == keep else (rows[k] + 2) % batch for k in range(_LOCATING)]

    def part(tensor: torch.Tensor) -> torch.Tensor | None:
        if sum(size == _LOCATING for size in tensor.shape) != 1:
            return None
        return tensor.select(list(tensor.shape).index(_LOCATING), keep)

    first, second = (chosen(subject.inputs, chosen_rows, declared) for chosen_rows in (rows, other))
    where = first_difference(subject, first, second, part)
    layout = _takes_batch_second(where.module) and not _other_axis_is_gone(subject, worst, first)
    norm = isinstance(where.module, nn.modules.batchnorm._BatchNorm) and where.module.running_mean is None
    return Influence(
        worst.output,
        worst.kept,
        worst.share,
        smooth,
        where.layer,
        type(where.module).__name__ if where.module is not None else "",
        where.op,
        where.source,
        layout,
        norm,
    )


def _takes_batch_second(module: nn.Module | None) -> bool:
    return getattr(module, "batch_first", True) is False and isinstance(module, nn.MultiheadAttention | nn.RNNBase)


def _other_axis_is_gone(subject: Subject, worst: Influence, inputs: Inputs) -> bool:
    """The second axis of the input is not in the output: so the first one is that of the samples."""
    sizes = {leaf.tensor.shape[1] for leaf in leaves((inputs.args, dict(inputs.kwargs))) if leaf.tensor.dim() > 1}
    y = outputs_in_sandbox(subject, inputs)[worst.output]
    return y.dim() < 2 or y.shape[1] not in sizes
