"""The same forward pass on larger inputs: which softmaxes and normalisations over one entry get more, and which never do."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import torch

from gradcheck_health.model.call import call
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.forward.traces import activation_traces
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.measurements import ActivationTrace
from gradcheck_health.records.trace import Trace

_TRIALS = 8
"""Enlarged inputs that are tried, at most."""
_Axes = frozenset[tuple[int, int]]
"""(number of an input tensor, axis)."""


def resized(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the activations that lost their single entry when some axes of the inputs were doubled."""
    wanted = {_place(a) for a in trace.activations if a.single}
    freed: dict[tuple[str, str, str], ActivationTrace] = {}
    for inputs in itertools.islice(_enlarged(subject.inputs), _TRIALS):
        if len(freed) == len(wanted):
            break
        for a in _activations(subject, inputs):
            if _place(a) in wanted and not a.single:
                freed.setdefault(_place(a), a)
    return (trace.only(activations=tuple(freed.values())),)


def _place(a: ActivationTrace) -> tuple[str, str, str]:
    return a.layer, a.function, a.producer


def _choices(inputs: Inputs) -> Iterator[_Axes]:
    """Axes to double together: those of one size, the maps of pictures, one axis alone. Samples stay what they are."""
    tensors = [leaf.tensor for leaf in leaves((inputs.args, dict(inputs.kwargs)))]
    free = [
        (k, axis)
        for k, tensor in enumerate(tensors)
        for axis in range(tensor.dim())
        if tensor.shape[axis] != inputs.batch or tensor.shape[axis] == 1
    ]
    sizes = {tensors[k].shape[axis] for k, axis in free}
    together = [frozenset(place for place in free if tensors[place[0]].shape[place[1]] == size) for size in sorted(sizes)]
    maps = [frozenset((k, axis) for k, axis in free if tensors[k].dim() > 3 and axis > 1)]
    alone = [frozenset([place]) for place in free]
    yield from (axes for axes in dict.fromkeys((*together, *maps, *alone)) if axes)


def _enlarged(inputs: Inputs) -> Iterator[Inputs]:
    """With some axes doubled; and made-up ones, whose rank is a guess, with two steps behind the batch."""
    yield from (_doubled(inputs, axes) for axes in _choices(inputs))
    if inputs.made_up:
        steps = changed(inputs, lambda tensor: torch.stack((tensor, tensor), 1) if tensor.dim() else tensor)
        yield dataclasses.replace(steps, resample=None, fuller=None)


def _doubled(inputs: Inputs, axes: _Axes) -> Inputs:
    count = itertools.count()

    def double(tensor: torch.Tensor) -> torch.Tensor:
        number = next(count)
        for k, axis in axes:
            tensor = torch.cat((tensor, tensor), axis) if k == number else tensor
        return tensor

    return dataclasses.replace(changed(inputs, double), resample=None, fuller=None)


def _activations(subject: Subject, inputs: Inputs) -> tuple[ActivationTrace, ...]:
    """Of one forward pass; none where it does not run."""
    model = unwrap(subject.model)
    watch = Instrument(layer_names(model), Gather())
    try:
        with sandbox(model), watch.forward():
            call(subject.model, inputs, subject.seed)
    except (ModelError, RuntimeError):
        return ()
    return activation_traces(watch)
