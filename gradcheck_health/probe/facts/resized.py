"""The same pass on larger inputs: which softmaxes and normalisations over one entry get more, and which weights are reached."""

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
from gradcheck_health.probe.experiments.subbatch import axis_of, on_few
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.forward.traces import activation_traces
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.measurements import ActivationTrace, ParameterTrace
from gradcheck_health.records.trace import Trace

_TRIALS = 12
"""Enlarged inputs that are tried, at most."""
_MUCH = 8
"""How many times as long a made-up sequence becomes: a patch of a text may be longer than a text that was made up."""
_LONGER = 3
_ROUNDING = 1e-4
"""What float64 leaves of a gradient that is nothing but rounding, at most."""
_ABOVE = 30.0
"""How many times as large as rounding a gradient is that no one takes for it."""
_SAMPLES = 4
_Axes = frozenset[tuple[int, int]]
"""(number of an input tensor, axis)."""


def resized(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with what some doubled axes of the inputs changed.

    Its activations are those that lost their single entry. Where the inputs were made up, and their sizes are a guess, its
    parameters are those that had no gradient, one of zeros, or nothing but rounding (by the fact `float64`), and got one.
    """
    wanted = {_place(a) for a in trace.activations if a.single}
    guessed = trace.parameters.values() if subject.inputs.made_up else ()
    lost = {p.name for p in guessed if p.trainable and _is_lost(trace, p)}
    freed: dict[tuple[str, str, str], ActivationTrace] = {}
    reached: dict[str, ParameterTrace] = {}
    for inputs, same_rank in itertools.islice(_enlarged(subject.inputs), _TRIALS):
        if len(freed) == len(wanted) and len(reached) == len(lost):
            break
        seen = _probed(subject, inputs) if same_rank and len(reached) < len(lost) else None
        if seen is not None:
            reached |= {name: seen.parameters[name] for name in lost if _arrives(trace.parameters[name], seen.parameters[name])}
        for a in _activations(subject, inputs) if seen is None else seen.activations:
            if _place(a) in wanted and not a.single:
                freed.setdefault(_place(a), a)
    return (dataclasses.replace(trace.only(activations=tuple(freed.values())), parameters=reached),)


def _is_lost(trace: Trace, parameter: ParameterTrace) -> bool:
    wide = [one.parameters.get(parameter.name) for one in trace.facts.get("float64", ())]
    return _norm(parameter) == 0.0 or any(other is not None and _norm(other) < _ROUNDING * _norm(parameter) for other in wide)


def _arrives(before: ParameterTrace, parameter: ParameterTrace) -> bool:
    """Rounding grows with the inputs a little, and a gradient stands far above it."""
    return _norm(parameter) > _ABOVE * _norm(before)


def _norm(parameter: ParameterTrace) -> float:
    return 0.0 if parameter.gradient is None else parameter.gradient.norm


def _place(a: ActivationTrace) -> tuple[str, str, str]:
    return a.layer, a.function, a.producer


def _choices(inputs: Inputs) -> Iterator[_Axes]:
    """Axes to double together: those of one size, the maps of pictures, one axis alone. Samples stay what they are."""
    tensors = [leaf.tensor for leaf in leaves((inputs.args, dict(inputs.kwargs)))]
    free = [
        (k, axis)
        for k, tensor in enumerate(tensors)
        for axis in range(tensor.dim())
        if tensor.shape[axis] == 1 or axis != axis_of(tensor, inputs.batch or 0)
    ]
    sizes = {tensors[k].shape[axis] for k, axis in free}
    together = [frozenset(place for place in free if tensors[place[0]].shape[place[1]] == size) for size in sorted(sizes)]
    maps = [frozenset((k, axis) for k, axis in free if tensors[k].dim() > 3 and axis > 1)]
    alone = [frozenset([place]) for place in free]
    yield from (axes for axes in dict.fromkeys((*together, *maps, *alone)) if axes)


def _enlarged(inputs: Inputs) -> Iterator[tuple[Inputs, bool]]:
    """With some axes doubled, and whether the rank stays; made-up ones also much longer, and with two steps after the batch."""
    choices = list(_choices(inputs))
    yield from ((_repeated(inputs, axes, 2), True) for axes in choices)
    if inputs.made_up:
        one_each = [axes for axes in choices if len({k for k, _ in axes}) == len(axes)]
        yield from ((_repeated(inputs, axes, _MUCH), True) for axes in one_each[:_LONGER])
        steps = changed(inputs, lambda tensor: torch.stack((tensor, tensor), 1) if tensor.dim() else tensor)
        yield dataclasses.replace(steps, resample=None, fuller=None), False


def _repeated(inputs: Inputs, axes: _Axes, times: int) -> Inputs:
    count = itertools.count()

    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        number = next(count)
        for k, axis in axes:
            tensor = torch.cat(_copies(tensor, axis, times), axis) if k == number else tensor
        return tensor

    return dataclasses.replace(changed(inputs, repeat), resample=None, fuller=None)


def _probed(subject: Subject, inputs: Inputs) -> Trace | None:
    """A pass forward and backward on a few samples; None where it does not run."""
    try:
        with sandbox(subject.model):
            return on_few(probe, dataclasses.replace(subject, inputs=inputs), _SAMPLES)
    except (ModelError, RuntimeError):
        return None


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


def _copies(tensor: torch.Tensor, axis: int, times: int) -> list[torch.Tensor]:
    """The tensor so many times; every other one of numbers is turned round, for queries choose nothing among equal keys."""
    other = tensor.flip(axis) if tensor.is_floating_point() else tensor
    return [(tensor, other)[number % 2] for number in range(times)]
