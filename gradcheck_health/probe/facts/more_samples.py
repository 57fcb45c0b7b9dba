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

SAMPLES = 256
_PASSES = 64


def more_samples(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """The trace with its activations measured over at least 256 samples, and what goes into rectifiers.

    A batch that no other can be drawn for is examined once: then `samples` says how few it were.
    """
    model = unwrap(subject.model)
    batch = subject.inputs.batch or 1
    passes = min(_PASSES, -(-SAMPLES // batch)) if subject.inputs.resample is not None else 1
    watch = Instrument(layer_names(model), Gather())
    watch.functions.before = True
    with sandbox(model):
        for k in range(passes):
            inputs = subject.inputs if k == 0 else subject.inputs.another(subject.seed + k)
            with watch.forward():
                call(subject.model, inputs, subject.seed + k)
    return (dataclasses.replace(trace, activations=activation_traces(watch), facts={}),)
