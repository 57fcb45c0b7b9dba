"""Making the flow profile of a baseline from a trace: the gradient that arrives at each layer, over all measured seeds."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from gradcheck_health.baseline.layer_matching import FROZEN
from gradcheck_health.records.measurements import TensorStats
from gradcheck_health.records.profile import Level, Profile, Share
from gradcheck_health.records.trace import Trace

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
ENOUGH = 3
"""Seeds under which a gradient has to arrive at a layer, where it arrives under some only."""


def profile_of(trace: Trace) -> Profile:
    """The gradient at each layer, as the mean over this measurement and those under other seeds (the `reseeded` fact)."""
    looks = (trace, *trace.facts.get("reseeded", ()))
    rows = [_decades(look) for look in looks]
    names = _order(trace)
    called = [name for name in names if trace.layers[name].calls]
    gains = [_gains(row, called) for row in rows]
    kinds = {name: layer.kind for name, layer in trace.layers.items()} | {p.name: p.kind for p in trace.parameters.values()}
    levels = []
    woken = _woken(trace)
    for name in (*names, *(name for name in rows[0] if name not in trace.layers)):
        decades, spread = _over_seeds([row.get(name) for row in rows])
        _, gain_spread = _over_seeds([gain[name] for gain in gains]) if name in gains[0] else (None, None)
        idle = sum(row.get(name) is None for row in rows)
        closed = idle == len(rows) and name in woken
        levels.append(Level(name, kinds[name], decades, spread, gain_spread, 0 < idle < len(rows), closed, _scale(looks, name)))
    weights = [_weights(look) for look in looks]
    return Profile(
        levels=tuple(levels),
        parameters={
            p.name: f"{p.dtype}[{', '.join(map(str, p.shape))}]{'' if p.trainable else FROZEN}"
            for p in trace.parameters.values()
        },
        shares=_shares(looks, woken),
        seeds=tuple(look.seed for look in looks),
        weights=weights[0],
        fixed=len(looks) > 1 and len(set(weights)) == 1,
        note=trace.flow_note or trace.backward_error,
    )


def _order(trace: Trace) -> list[str]:
    """Every layer, each behind the layers inside it: the order in which outputs are made; what was not called comes last.

    The model itself and containers are left out: they hand out what their last layer does, or nothing.
    """
    called = sorted((layer for layer in trace.layers.values() if layer.calls), key=lambda layer: layer.order)
    done: list[str] = []
    around: list[str] = []
    for layer in called:
        while around and not layer.name.startswith(f"{around[-1]}."):
            done.append(around.pop())
        around.append(layer.name)
    done += reversed(around)
    done += (layer.name for layer in trace.layers.values() if not layer.calls)
    return [name for name in done if name and trace.layers[name].kind not in CONTAINERS]


def _decades(trace: Trace) -> dict[str, float | None]:
    """Level by name: layers, then parameters whose layer hands out no tensor of its own."""
    head = _head(trace)
    names = _order(trace)
    found: dict[str, float | None] = {}
    for name in names:
        gradient = trace.layers[name].output_gradient
        found[name] = None if gradient is None else _relative(gradient.norm, head)
    for parameter in trace.parameters.values():
        if parameter.trainable and found.get(parameter.layer) is None and parameter.name not in found:
            gradient = parameter.gradient
            found[parameter.name] = None if gradient is None else _relative(gradient.norm, head)
    return found


def _head(trace: Trace) -> float:
    """The norm that everything is compared with: that at the last cut point, else at the output."""
    if trace.flow:
        return trace.flow[-1].gradient
    layers = sorted(trace.layers.values(), key=lambda layer: (layer.name != "", -layer.order))
    return next((layer.output_gradient.norm for layer in layers if layer.output_gradient is not None), 0.0)


def _relative(norm: float, head: float) -> float | None:
    return math.log10(norm) - math.log10(head) if 0.0 < norm < math.inf and 0.0 < head < math.inf else None


def _gains(row: Mapping[str, float | None], names: Sequence[str]) -> dict[str, float | None]:
    """Level minus that of the next layer towards the output; the last is compared with the head."""
    found: dict[str, float | None] = {}
    for name, following in zip_longest(names, names[1:]):
        here, there = row.get(name), 0.0 if following is None else row.get(following)
        found[name] = None if here is None or there is None else here - there
    return found


def _over_seeds(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of those that have a value; no deviation where those are too few."""
    known = [value for value in values if value is not None]
    if not known:
        return None, 0.0
    spread = statistics.stdev(known) if len(known) > 1 else 0.0
    return statistics.fmean(known), spread if len(known) == len(values) or len(known) >= ENOUGH else None


def _scale(looks: Sequence[Trace], name: str) -> float | None:
    """log10 of the rms of a layer's output, as the mean over the seeds."""
    outputs = [look.layers[name].output for look in looks if name in look.layers]
    sizes = [math.log10(output.rms) for output in outputs if output is not None and 0.0 < output.rms < math.inf]
    return statistics.fmean(sizes) if len(sizes) == len(looks) else None


def _woken(trace: Trace) -> frozenset[str]:
    """Layers and parameters that got zeros, and get a gradient after a few steps: a branch that starts at zero."""
    found = [
        name
        for later in trace.facts.get("after_steps", ())
        for name, gradient in _gradients(later)
        if gradient is not None and not gradient.is_zero
    ]
    zeros = {name for name, gradient in _gradients(trace) if gradient is not None and gradient.is_zero}
    return frozenset(zeros.intersection(found))


def _gradients(trace: Trace) -> Iterator[tuple[str, TensorStats | None]]:
    yield from ((name, layer.output_gradient) for name, layer in trace.layers.items())
    yield from ((name, parameter.gradient) for name, parameter in trace.parameters.items())


def _shares(looks: Sequence[Trace], woken: frozenset[str]) -> dict[str, Share]:
    rows = [dict(_fractions(look, woken)) for look in looks]
    found = {}
    for name in rows[0]:
        mean, spread = _over_seeds([row.get(name) for row in rows])
        found[name] = Share(mean or 0.0, spread or 0.0)
    return found


def _fractions(trace: Trace, woken: frozenset[str]) -> Iterator[tuple[str, float]]:
    units = [a for a in trace.activations if a.units and not a.by_rows]
    if units:
        yield "dead_fraction", sum(a.off for a in units) / sum(a.units for a in units)
    activations = [a for a in trace.activations if a.units]
    if activations:
        yield "saturated_fraction", sum(a.saturated for a in activations) / sum(a.units for a in activations)
    trainable = [p for p in trace.parameters.values() if p.trainable]
    if trainable:
        reached = [p for p in trainable if p.name in woken or (p.gradient is not None and not p.gradient.is_zero)]
        yield "reached_fraction", len(reached) / len(trainable)


def _weights(trace: Trace) -> str:
    """The same for the same weights, whatever the last bits of a sum over them are."""
    rows = sorted(f"{p.name} {p.value.rms:.2e}" for p in trace.parameters.values())
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()[:12]
