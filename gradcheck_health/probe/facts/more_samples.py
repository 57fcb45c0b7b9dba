"""Forward passes on further batches until a fraction of dead units is certain."""

from __future__ import annotations

import dataclasses

from gradcheck_health.model.call import call
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.forward.traces import activation_traces
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace

FIRST, SAMPLES, GROWTH = 16, 256, 4


def more_samples(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """The trace with its activations over further samples, and what goes into rectifiers; its `inputs.batch` counts them.

    A few at first, and four times as many whenever a rule asks again, 256 in the end. A batch that no other can be drawn for is
    examined once.
    """
    model = unwrap(subject.model)
    batch = subject.inputs.batch or 1
    before = max((one.inputs.batch or 0 for one in trace.facts.get("more_samples", ())), default=0)
    wanted = min(GROWTH * before, SAMPLES) if before else FIRST
    passes = -(-wanted // batch) if subject.inputs.resample is not None else 1
    watch = Instrument(layer_names(model), Gather())
    watch.functions.before = True
    with sandbox(model):
        for k in range(passes):
            inputs = subject.inputs if k == 0 else subject.inputs.another(subject.seed + k)
            with watch.forward():
                call(subject.model, inputs, subject.seed + k)
            watch.forget()  # one graph at a time: a costly model has no room for sixteen
    examined = batch * passes if subject.inputs.resample is not None else SAMPLES
    inputs_trace = dataclasses.replace(trace.inputs, batch=examined)
    return (dataclasses.replace(trace, activations=activation_traces(watch), inputs=inputs_trace, facts={}),)
