"""One forward and one backward pass that nothing watches: the gradients of the parameters, and nothing else."""

from __future__ import annotations

import dataclasses

from gradcheck_health.model.call import call
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def bare_pass(subject: Subject, trace: Trace) -> Trace:
    """`trace` with nothing but its parameters, with the gradients of this pass. Call it in a sandbox."""
    output = call(subject.model, subject.inputs, subject.seed)
    backward(objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed), unwrap(subject.model))
    named, gather = named_parameters(unwrap(subject.model)), Gather()
    indices = gather.add_all((entry.tensor.grad for entry in named), extremes=True)
    stats = gather.collect()
    found = {entry.name: stats[index] for entry, index in zip(named, indices, strict=True) if index is not None}
    return trace.only(
        parameters={name: dataclasses.replace(p, gradient=found.get(name)) for name, p in trace.parameters.items()}
    )
