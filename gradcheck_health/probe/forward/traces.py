"""From what the instrument saw to the traces of layers, parameters and activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.model.tree import is_wrapper, named_modules
from gradcheck_health.model.wrappers import own_class
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.forward.units import SATURATED, SHUT, Units
from gradcheck_health.probe.statistics.histogram import Spread
from gradcheck_health.records.measurements import ActivationTrace, LayerTrace, ParameterTrace, TensorStats

_ONE_SIDED = 0.05


def layer_traces(model: nn.Module, instrument: Instrument, stats: Sequence[TensorStats]) -> dict[str, LayerTrace]:
    """Called layers in the order of their first call, then those that were never called."""
    traces = {}
    named = [pair for pair in named_modules(model) if not is_wrapper(pair[1])]
    modes = {name: module.training for name, module in named}
    for name, seen in sorted(instrument.layers.items(), key=lambda item: item[1].order):
        gradients = [index for tensor in seen.tensors for index in instrument.gradients[tensor]]
        traces[name] = LayerTrace(
            name,
            seen.kind,
            seen.order,
            seen.calls,
            TensorStats.merge([stats[i] for i in seen.outputs]) if seen.outputs else None,
            TensorStats.merge([stats[i] for i in gradients]) if gradients else None,
            training=modes.get(name, True),
        )
    for name, module in named:
        if name not in traces:
            traces[name] = LayerTrace(name, own_class(module).__name__, -1, 0)
    return traces


@collector_paused()
def parameter_traces(
    named: Sequence[NamedParameter],
    instrument: Instrument,
    values: Sequence[TensorStats | None],
    gradients: Sequence[TensorStats | None],
    spread: Sequence[Spread],
    unused: frozenset[str],
    uses: Mapping[int, int],
    shrunk: Mapping[int, float],
) -> dict[str, ParameterTrace]:
    """In execution order of the owning layers; those of layers that were never called come last, by name."""
    traces = []
    for entry, value, gradient, entries in zip(named, values, gradients, spread, strict=True):
        tensor = entry.tensor
        seen = instrument.layers.get(entry.layer)
        traces.append(
            ParameterTrace(
                name=entry.name,
                layer=entry.layer,
                kind=entry.kind,
                shape=() if is_lazy(tensor) else tuple(tensor.shape),
                dtype=str(tensor.dtype).removeprefix("torch."),
                trainable=tensor.requires_grad,
                value=value or TensorStats(0 if is_lazy(tensor) else tensor.numel(), 0.0, 0.0),
                gradient=gradient,
                order=-1 if seen is None else seen.order,
                aliases=entry.aliases,
                role=entry.role,
                followed=entry.name not in unused,
                decades=entries.decades,
                zeros=entries.zeros,
                uses=uses.get(id(tensor), 0),
                shrunk=shrunk.get(id(tensor), 1.0),
            )
        )
    traces.sort(key=lambda trace: (trace.order < 0, trace.order, trace.name))
    return {trace.name: trace for trace in traces}


def activation_traces(instrument: Instrument) -> tuple[ActivationTrace, ...]:
    """In execution order."""
    traces = [_units(units) for units in instrument.functions.units.values()]
    traces += [
        ActivationTrace(
            rows.layer, rows.function, rows.order, rows.count, rows.samples, rows.off, rows.saturated, rows.producer
        )
        for rows in instrument.functions.rows.values()
    ]
    return tuple(sorted(traces, key=lambda trace: trace.order))


def _units(seen: Units) -> ActivationTrace:
    units = off = saturated = 0
    one_sided = False
    if seen.alive is not None:
        units = seen.alive.numel()
        off = units - int(seen.alive.sum())
    if seen.slope is not None and seen.high is not None:
        units = seen.slope.numel()
        slope = seen.slope / seen.calls
        flat = slope < SATURATED
        saturated, off = int(flat.sum()), int((slope < SHUT).sum())
        if seen.function.gate and saturated and not off:
            share = float((seen.high[flat] / seen.calls > 0.5).float().mean())
            one_sided = share < _ONE_SIDED or share > 1 - _ONE_SIDED
    return ActivationTrace(
        seen.layer,
        seen.function.name,
        seen.order,
        units,
        seen.samples,
        off,
        saturated,
        producer=seen.producer,
        one_sided=one_sided,
        on=seen.on,
        lean=seen.lean,
    )
