"""Does the output of one sample move when the others change? Two forward passes in eval mode, among others and alone."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import nn

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.experiments.paired_runs import distance, evaluated, outputs, outputs_in_sandbox, share
from gradcheck_health.probe.experiments.sample_influence import explained, output_axis
from gradcheck_health.probe.experiments.subbatch import STEPS, chosen, stepped, unclear
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

SUSPICIOUS = 1e-4
"""Below this share of its own influence nothing is examined again."""
_STEPS_NOT_SAMPLES = (
    "the rows of the made-up inputs may be the steps of one sample: with an axis of steps behind the batch no sample moves "
    "another; pass inputs= to have it judged"
)
_SAMPLES_SECOND = (
    "the made-up inputs may have their batch along axis 1, where no sample moves another: pass inputs=, or batch_axis=1"
)
ROUNDING = 1e-5
"""Below this share of its own influence nothing moved but the last digits."""


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
    if subject.inputs.made_up and _is_clean_along_the_next_axis(subject, trace):
        return (trace.only(gaps=(_SAMPLES_SECOND,)),)
    worst, module = explained(subject, trace, worst, batches)
    layout = _takes_batch_second(module) and _is_clean_along_the_next_axis(subject, trace)
    return (trace.only(influences=(dataclasses.replace(worst, layout=layout),)),)


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


def _glance(batch: int) -> list[int]:
    """Rows of a batch, with row 1 second: of two passes that are compared only one needs neighbours.

    Another number than the whole batch, and not three, whose middle stays where it is when the samples are turned round.
    """
    others = [row for row in range(batch) if row != 1]
    rows = [others[i % len(others)] for i in range(5 if batch == 4 else 4)]
    return [rows[0], 1, *rows[1:-1]]


def _stays(subject: Subject, trace: Trace) -> bool:
    """Row 1 of every output with a batch axis, and there is one, is what it is where it is the only sample."""
    rows, declared = _glance(subject.inputs.batch or 0), subject.declared.batch_axis
    try:
        among, alone = _seen(subject, [chosen(subject.inputs, picked, declared) for picked in (rows, [1])])
    except (ModelError, RuntimeError):  # it does not run on a single sample
        return False
    axes = {path: axis for path, y in among.items() if (axis := output_axis(trace, path, y, len(rows))) is not None}
    return bool(axes) and all(
        path in alone
        and alone[path].shape == among[path].narrow(axis, 0, 1).shape
        and distance(among[path].narrow(axis, 1, 1), alone[path]) == 0.0
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
        axis = output_axis(trace, path, y, n)
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


def _takes_batch_second(module: nn.Module | None) -> bool:
    return getattr(module, "batch_first", True) is False and isinstance(module, nn.MultiheadAttention | nn.RNNBase)


def _is_clean_along_the_next_axis(subject: Subject, trace: Trace) -> bool:
    """With the batch along axis 1 no sample moves another."""
    if subject.declared.batch_axis is not None:
        return False
    sizes = {
        leaf.tensor.shape[1] for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs))) if leaf.tensor.dim() > 1
    }
    if len(sizes) != 1:
        return False
    (size,) = sizes
    inputs = dataclasses.replace(subject.inputs, batch=size, resample=None, fuller=None)
    turned = dataclasses.replace(subject, inputs=inputs, declared=dataclasses.replace(subject.declared, batch_axis=1))
    seen = mixing(turned, dataclasses.replace(trace, inputs=dataclasses.replace(trace.inputs, batch=size)))
    return not any(one.influences or one.gaps for one in seen)
