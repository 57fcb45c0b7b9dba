"""The second, slower pass: source lines, the first operation that made NaN, and where the graph lost a parameter."""

from __future__ import annotations

import dataclasses
import math

from gradcheck_health.model.distributed.shards import whole_parameters
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.source.assignments import Assignments
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def detailed(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `source`, `cuts` and `nonfinite` filled in; the parameters without a gradient are the ones followed."""
    model = unwrap(subject.model)
    lost = {name for name, p in trace.parameters.items() if p.trainable and (p.gradient is None or p.gradient.is_zero)}
    with sandbox(subject.model):
        whole = whole_parameters(model)
        named = [(entry.name, entry.tensor) for entry in named_parameters(model) if entry.name in lost]
        followed = {name: whole.get(id(tensor), tensor) for name, tensor in named}
        dataflow = Dataflow(followed, look_for_nonfinite=not _finite(trace))
        seen = probe(subject, dataflow=dataflow)
    source = Assignments(model)
    return (
        dataclasses.replace(
            seen,
            layers={name: dataclasses.replace(layer, source=source(name)) for name, layer in seen.layers.items()},
            parameters={
                name: dataclasses.replace(
                    p,
                    source=source(name),
                    referenced=name not in lost or _excused(source, seen, seen.idle_layer(p.layer) or name),
                )
                for name, p in seen.parameters.items()
            },
            activations=tuple(
                # an activation module is where it was built, a function where forward calls it
                dataclasses.replace(
                    a, source=source(a.layer) if source.is_of_torch(a.layer) else dataflow.applied.get((a.layer, a.function))
                )
                for a in seen.activations
            ),
        ),
    )


def _excused(source: Assignments, seen: Trace, idle: str) -> bool:
    """Another run may call it: the code refers to it, and does not pass it by while it takes all others of its list."""
    if not source.referenced(idle):
        return False
    container = idle.rpartition(".")[0]
    others = [layer for name, layer in seen.layers.items() if name.rpartition(".")[0] == container and name != idle]
    passed_by = len(others) > 1 and all(layer.calls for layer in others) and source.fixed(idle)
    return not passed_by


def _finite(trace: Trace) -> bool:
    """Nothing that was measured at a layer, a parameter or an output is NaN or Inf: then no operation is to be found."""
    stats = [x for layer in trace.layers.values() for x in (layer.output, layer.output_gradient)]
    stats += [x for p in trace.parameters.values() for x in (p.value, p.gradient)]
    stats += [out.stats for out in trace.outputs]
    numbers = [trace.loss or 0.0, *(point.gradient for point in trace.flow)]
    return all(one is None or one.finite for one in stats) and all(map(math.isfinite, numbers))
