"""Do zeros of a gradient wake up once the weights that are zero have moved? A step of those alone, a bare pass of few rows."""

from __future__ import annotations

import dataclasses
from functools import partial

from gradcheck_health.model.call import call
from gradcheck_health.model.distributed.kinds import is_distributed
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.experiments.zero_start import after_one_step
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace


def stirred(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace of nothing but the parameters with their gradients then; an empty one if no zero moves.

    Half the price of the fact `woken`, which also shows units, outputs and the flow. Of a gradient that lies on several ranks a
    probe puts the rows together.
    """
    look = probe if is_distributed(unwrap(subject.model)) else partial(_bare_pass, trace=trace)
    return (after_one_step(look, subject, trace) or trace.only(),)


def _bare_pass(subject: Subject, trace: Trace) -> Trace:
    output = call(subject.model, subject.inputs, subject.seed)
    backward(objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed), unwrap(subject.model))
    named, gather = named_parameters(unwrap(subject.model)), Gather()
    indices = gather.add_all((entry.tensor.grad for entry in named), extremes=True)
    stats = gather.collect()
    found = {entry.name: stats[index] for entry, index in zip(named, indices, strict=True) if index is not None}
    return trace.only(
        parameters={name: dataclasses.replace(p, gradient=found.get(name)) for name, p in trace.parameters.items()}
    )
